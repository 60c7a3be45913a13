"""What every runtime's engine must do, whatever its vendor's library is like."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import NETWORKS, N, data, graph, lenet, mlp, two_inputs, weight
from onnx import TensorProto, helper

from chipwise import runtimes
from chipwise.core.errors import ChipwiseError, InputError, MachineError
from chipwise.devices.detect import detect
from chipwise.runtimes import Adapter, EngineOptions, check_inputs, run_many

# Blocked sums in another order: a few units in the last place of values near one.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def reference(model: bytes, *inputs: np.ndarray) -> list[np.ndarray]:
    return runtimes.load("reference").build_default(model).run(inputs)


@pytest.mark.parametrize("name", NETWORKS)
def test_agrees_with_the_reference_evaluator(adapter: Adapter, name: str) -> None:
    make, shape = NETWORKS[name]
    model = make()
    engine = adapter.build(model, EngineOptions())
    for seed in (1, 2):  # a second input shows results that are stale
        given = data(1, *shape, seed=seed)
        np.testing.assert_allclose(engine.run([given])[0], reference(model, given)[0], **CLOSE)


def test_one_engine_takes_any_batch(adapter: Adapter) -> None:
    model = mlp()
    engine = adapter.build(model, EngineOptions(batch=3))
    for batch in (1, 3, 8, 1, 3):
        given = data(batch, 24, seed=batch)
        result = engine.run([given])[0]
        assert result.shape == (batch, 10)
        np.testing.assert_allclose(result, reference(model, given)[0], **CLOSE)


def test_two_engines_live_side_by_side(adapter: Adapter) -> None:
    first, second = adapter.build(mlp(), EngineOptions()), adapter.build(lenet(), EngineOptions(threads=2))
    flat, picture = data(1, 24), data(1, 1, 32, 32)
    for _ in range(2):
        np.testing.assert_allclose(first.run([flat])[0], reference(mlp(), flat)[0], **CLOSE)
        np.testing.assert_allclose(second.run([picture])[0], reference(lenet(), picture)[0], **CLOSE)
    first.close()
    np.testing.assert_allclose(second.run([picture])[0], reference(lenet(), picture)[0], **CLOSE)


def test_results_belong_to_the_caller(adapter: Adapter) -> None:
    engine = adapter.build(two_inputs(), EngineOptions())
    left, right = data(2, 5, seed=1), data(2, 5, seed=2)
    difference, passed = engine.run([left, right])
    kept = left.copy()
    engine.run([right, left])
    left[...] = 0.0
    np.testing.assert_allclose(difference, kept - right, rtol=1e-6)
    np.testing.assert_array_equal(passed, kept)


def test_inputs_are_described_in_order(adapter: Adapter) -> None:
    engine = adapter.build(two_inputs(), EngineOptions())
    assert [spec.name for spec in engine.inputs] == ["a", "b"]
    assert [spec.name for spec in engine.outputs] == ["y", "z"]
    assert all(spec.dynamic_batch and spec.shape[1:] == (5,) for spec in (*engine.inputs, *engine.outputs))
    assert {spec.dtype for spec in engine.inputs} == {"float32"}


def test_large_inputs_take_the_other_way_in(adapter: Adapter) -> None:
    """Above 64 KiB arrays are handed over instead of copied; read-only ones must work too."""
    model = graph([N("Relu", ["x"], ["y"])], {"x": ["batch", 3, 96, 96]}, {"y": ["batch", 3, 96, 96]})
    engine = adapter.build(model, EngineOptions())
    for seed in (1, 2):
        given = data(1, 3, 96, 96, seed=seed)
        given.flags.writeable = seed == 2
        np.testing.assert_array_equal(engine.run([given])[0], np.maximum(given, 0))


def test_repeats_exactly(adapter: Adapter) -> None:
    engine, given = adapter.build(lenet(), EngineOptions()), data(2, 1, 32, 32)
    first = engine.run([given])[0]
    for _ in range(3):
        np.testing.assert_array_equal(engine.run([given])[0], first)


def test_says_which_precision_runs(adapter: Adapter) -> None:
    given = data(4, 24)
    for precision in adapter.precisions(detect()):
        engine = adapter.build(mlp(), EngineOptions(precision=precision))
        assert engine.precision == precision
        tolerance = 1e-5 if precision == "fp32" else 0.05
        np.testing.assert_allclose(engine.run([given])[0], reference(mlp(), given)[0], atol=tolerance, rtol=tolerance)


def test_refuses_a_precision_that_it_lacks(adapter: Adapter) -> None:
    with pytest.raises(MachineError, match="int3"):
        adapter.build(mlp(), EngineOptions(precision="int3"))


def test_default_is_a_working_peer(adapter: Adapter) -> None:
    engine, given = adapter.build_default(mlp()), data(2, 24)
    tolerance = 1e-5 if engine.precision == "fp32" else 0.05
    np.testing.assert_allclose(engine.run([given])[0], reference(mlp(), given)[0], atol=tolerance, rtol=tolerance)


def test_runs_a_quantized_graph_in_its_own_formats(adapter: Adapter) -> None:
    if adapter.NAME == "inductor":
        pytest.skip("inductor runs float graphs only")
    weights = {
        "scale": np.float32(0.02),
        "zero": np.int8(0),
        "w": np.random.default_rng(0).integers(-127, 128, (24, 10)).astype(np.int8),
        "wscale": np.float32(0.01),
    }
    model = graph(
        [
            N("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
            N("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
            N("DequantizeLinear", ["w", "wscale", "zero"], ["v"]),
            N("MatMul", ["d", "v"], ["y"]),
        ],
        {"x": ["batch", 24]},
        {"y": ["batch", 10]},
        {name: np.asarray(value) for name, value in weights.items()},
        opset=19,  # the first for which the reference evaluator has DequantizeLinear
    )
    engine = adapter.build(model, EngineOptions(precision="int8"))
    assert engine.precision == "int8"
    given = data(2, 24)
    np.testing.assert_allclose(engine.run([given])[0], reference(model, given)[0], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("damaged", [b"", b"\x89PNG\r\n\x1a\n" + bytes(64), b"\x08" * 40])
def test_bytes_that_are_no_graph(adapter: Adapter, damaged: bytes) -> None:
    for build in (adapter.build_default, lambda model: adapter.build(model, EngineOptions())):
        with pytest.raises(ChipwiseError, match="no ONNX graph"):
            build(damaged)


def test_a_truncated_graph(adapter: Adapter) -> None:
    with pytest.raises(ChipwiseError):
        adapter.build(lenet()[:-1000], EngineOptions())


def test_an_unknown_operator_is_named(adapter: Adapter) -> None:
    good = graph([N("Relu", ["x"], ["y"])], {"x": ["batch", 3]}, {"y": ["batch", 3]})
    with pytest.raises(MachineError, match="Re1u"):
        adapter.build(good.replace(b"Relu", b"Re1u"), EngineOptions())


def test_wrong_shapes_are_named_before_the_vendor_sees_them(adapter: Adapter) -> None:
    engine = adapter.build(two_inputs(), EngineOptions())
    good = data(2, 5)
    check_inputs(engine, [good, good])
    with pytest.raises(InputError, match=r"'b' takes float32 \[batch, 5\]; received float32 \[2, 4\]"):
        check_inputs(engine, [good, data(2, 4)])
    with pytest.raises(InputError, match="received float64"):
        check_inputs(engine, [good.astype(np.float64), good])
    with pytest.raises(InputError, match=r"takes 2 inputs \(a, b\); received 1"):
        check_inputs(engine, [good])
    with pytest.raises(InputError, match="empty"):
        check_inputs(engine, [good, data(0, 5)])


def test_what_the_vendor_refuses_becomes_our_error(adapter: Adapter) -> None:
    engine = adapter.build(
        graph([N("MatMul", ["x", "w"], ["y"])], {"x": ["n", "m"]}, {"y": ["n", 4]}, {"w": weight(3, 4)}),
        EngineOptions(),
    )
    with pytest.raises(MachineError, match=adapter.NAME):
        engine.run([data(2, 7)])


def test_more_batch_sizes_than_are_kept(adapter: Adapter) -> None:
    if adapter.NAME == "inductor":
        pytest.skip("every size takes seconds to compile")
    engine = adapter.build(mlp(), EngineOptions())
    for batch in (*range(1, 12), 1):
        assert engine.run([data(batch, 24)])[0].shape == (batch, 10)


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_threads(adapter: Adapter, threads: int) -> None:
    engine, given = adapter.build(lenet(), EngineOptions(threads=threads)), data(3, 1, 32, 32)
    np.testing.assert_allclose(engine.run([given])[0], reference(lenet(), given)[0], **CLOSE)


@pytest.mark.parametrize("size", [7, 13, 31])
def test_odd_sizes(adapter: Adapter, size: int) -> None:
    """Channels and pictures that are no multiple of anything that a processor likes."""
    model = graph(
        [N("Conv", ["x", "w", "b"], ["c"], pads=[1, 0, 1, 2], strides=[2, 1]), N("Relu", ["c"], ["y"])],
        {"x": ["batch", 5, size, size + 2]},
        {"y": ["batch", 11, (size - 1) // 2 + 1, size + 2]},
        {"w": weight(11, 5, 3, 3), "b": weight(11)},
    )
    given = data(3, 5, size, size + 2)
    engine = adapter.build(model, EngineOptions(batch=3))
    np.testing.assert_allclose(engine.run([given])[0], reference(model, given)[0], **CLOSE)


@pytest.mark.parametrize("streams", [1, 2, 3])
def test_several_requests_at_once(adapter: Adapter, streams: int) -> None:
    engine = adapter.build(lenet(), EngineOptions(streams=streams))
    batches = [[data(1, 1, 32, 32, seed=seed)] for seed in range(10)]
    results = run_many(engine, batches)
    assert len(results) == len(batches)
    for (given,), (result,) in zip(batches, results, strict=True):
        np.testing.assert_allclose(result, reference(lenet(), given)[0], **CLOSE)
    kept = [result.copy() for (result,) in results]
    run_many(engine, batches[::-1])
    np.testing.assert_array_equal([result for (result,) in results], kept)
    assert run_many(engine, []) == []
    if adapter.NAME != "inductor":  # a size of its own takes many seconds to compile
        (mixed,), _ = run_many(engine, [[data(2, 1, 32, 32)], batches[0]])
        assert mixed.shape == (2, 10)
    np.testing.assert_allclose(engine.run(batches[3])[0], kept[3], **CLOSE)
    engine.close()


def test_what_fails_in_a_lane_is_the_usual_error(adapter: Adapter) -> None:
    before = set(threading.enumerate())
    engine = adapter.build(lenet(), EngineOptions(streams=2))
    good, wrong = [data(1, 1, 32, 32)], [data(1, 1, 32, 31)]
    for batches in ([good, wrong, good, good], [wrong] * 4):
        with pytest.raises(MachineError, match=adapter.NAME):
            run_many(engine, batches)
    for (result,) in run_many(engine, [good] * 4):
        np.testing.assert_allclose(result, reference(lenet(), good[0])[0], **CLOSE)
    engine.close()
    assert not [each.name for each in set(threading.enumerate()) - before if each.name.startswith("chipwise-lane")]


def test_two_engines_in_two_threads(adapter: Adapter) -> None:
    flat, picture = data(1, 24), data(1, 1, 32, 32)
    wanted = {"mlp": reference(mlp(), flat)[0], "lenet": reference(lenet(), picture)[0]}
    failures: list[BaseException] = []

    def work(name: str, model: bytes, given: np.ndarray) -> None:
        try:
            for threads in (1, 2):
                engine = adapter.build(model, EngineOptions(threads=threads))
                for _ in range(20):
                    np.testing.assert_allclose(engine.run([given])[0], wanted[name], **CLOSE)
                engine.close()
        except BaseException as error:  # noqa: BLE001 (shown by the thread that waits)
            failures.append(error)

    jobs = [threading.Thread(target=work, args=each) for each in (("mlp", mlp(), flat), ("lenet", lenet(), picture))]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert not failures


def typed(kind: np.dtype, nodes: list[onnx.NodeProto], result: int) -> bytes:
    made = helper.make_graph(
        nodes,
        "typed",
        [helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(kind), ["batch", 3])],
        [helper.make_tensor_value_info("y", result, ["batch", 3])],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


@pytest.mark.parametrize(
    "name", ["float16", "float64", "int8", "uint8", "int16", "uint16", "int32", "int64", "bool", "float32"]
)
def test_inputs_of_every_type(adapter: Adapter, name: str) -> None:
    """Pictures come as bytes: uint8 in, computed in float."""
    kind = np.dtype(name)
    model = typed(kind, [N("Cast", ["x"], ["f"], to=TensorProto.FLOAT), N("Relu", ["f"], ["y"])], TensorProto.FLOAT)
    engine = adapter.build(model, EngineOptions())
    assert engine.inputs[0].dtype == name
    given = np.array([[0, 1, 2], [100, 7, 1]]).astype(kind)
    (result,) = engine.run([given])
    np.testing.assert_array_equal(result, given.astype(np.float32))


@pytest.mark.parametrize("name", ["int64", "int32", "uint8", "bool", "float64"])
def test_results_of_every_type(adapter: Adapter, name: str) -> None:
    kind = np.dtype(name)
    element = helper.np_dtype_to_tensor_dtype(kind)
    engine = adapter.build(typed(np.dtype("float32"), [N("Cast", ["x"], ["y"], to=element)], element), EngineOptions())
    given = np.array([[0, 1, 2]], np.float32)
    (result,) = engine.run([given])
    assert result.dtype == kind
    np.testing.assert_array_equal(result, given.astype(kind))


MEMORY = """
import sys
from pathlib import Path
import numpy as np
from chipwise import runtimes
from chipwise.runtimes import EngineOptions

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

adapter, model = runtimes.load(sys.argv[1]), Path(sys.argv[2]).read_bytes()
given, sizes = np.ones((1, 3600), np.float32), []
for _ in range(20):
    engine = adapter.build(model, EngineOptions())
    engine.run([given])
    engine.close()
    del engine
    sizes.append(resident())
print(*sizes)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's own account of memory")
def test_close_frees_memory(adapter: Adapter, tmp_path: Path) -> None:
    """A network of 52 MB built and closed 20 times: no more than one of them is left behind."""
    path = tmp_path / "large.onnx"
    path.write_bytes(
        graph([N("MatMul", ["x", "w"], ["y"])], {"x": ["b", 3600]}, {"y": ["b", 3600]}, {"w": weight(3600, 3600)})
    )
    command = [sys.executable, "-c", MEMORY, adapter.NAME, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    sizes = [int(size) for size in done.stdout.split()]
    assert max(sizes[10:]) - min(sizes[2:5]) < path.stat().st_size
