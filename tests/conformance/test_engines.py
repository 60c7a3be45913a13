"""What every runtime's engine must do, whatever its vendor's library is like."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import NETWORKS, N, data, graph, lenet, mlp, two_inputs, weight

from chipwise import runtimes
from chipwise.core.errors import ChipwiseError, InputError, MachineError
from chipwise.devices.detect import detect
from chipwise.runtimes import Adapter, EngineOptions, check_inputs

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
