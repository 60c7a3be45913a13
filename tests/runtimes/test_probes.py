"""Networks to measure are what their rows say, and runtimes time each kernel of them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from chipwise import runtimes
from chipwise.compiler.layer_times import Whole, fitted, kernel_times
from chipwise.core.device import Machine
from chipwise.core.measured import KernelTime
from chipwise.cost.fused import kernels
from chipwise.runtimes.engine import EngineOptions
from chipwise.runtimes.probes import PROBES
from chipwise.runtimes.products import chain, native, numpy_products, products

MACHINE = Machine("example", "x86_64", ("avx512_vnni",), cores=1, logical_cpus=1)


@pytest.mark.parametrize("name", PROBES)
def test_shapes_of_the_rows_are_those_of_the_graph(name: str) -> None:
    probe = PROBES[name](2)
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(probe.model), strict_mode=True)
    known = {value.name: value.type.tensor_type.shape for value in [*model.graph.value_info, *model.graph.output]}
    for row in probe.layers:
        shape = known.get(f"{row.name}_a") or known[f"{row.name}_y"]
        assert tuple(dim.dim_value for dim in shape.dim) == row.outputs[0]
        assert row.outputs[0][0] == 2
    assert all(row.read_bytes > 0 and row.write_bytes > 0 for row in probe.layers)


def test_probes_cover_the_classes_that_networks_have() -> None:
    found = {kernel.kind for build in PROBES.values() for kernel in kernels(build(1).layers)}
    assert {"conv", "pointwise", "depthwise", "grouped", "linear", "pool", "concat", "scale", "mean"} <= found


@pytest.mark.parametrize("runtime", ["onnxruntime", pytest.param("openvino", marks=pytest.mark.runtime)])
def test_each_kernel_of_a_probe_is_timed(runtime: str) -> None:
    probe = PROBES["small-pictures"](1)
    adapter = runtimes.load(runtime)
    assert adapter.node_times is not None
    array = np.zeros(probe.input_shape, np.float32)
    rounds = adapter.node_times(probe.model, EngineOptions(threads=1), [array], 3)
    assert len(rounds) == 3
    found = kernel_times(probe, rounds)
    names = {name for times in rounds for name in times}
    least = sum(min(times.get(name, 0.0) for times in rounds) for name in names)
    most = min(sum(times.values()) for times in rounds)
    assert 0.999 * least <= sum(each.time_s for each in found) <= 1.001 * most
    assert sum(each.time_s > 0 for each in found) > len(found) / 2


def test_kernels_without_a_row_are_spread_over_all() -> None:
    probe = PROBES["digits"](1)
    named = {f"{kernel.names[0]}_fused": 1e-3 for kernel in kernels(probe.layers)}
    found = kernel_times(probe, [{**named, "ReorderOutput": 7e-4}] * 4)
    assert [each.time_s for each in found] == pytest.approx([1.1e-3] * 7)


def test_rows_without_a_kernel_share_what_has_no_row() -> None:
    probe = PROBES["digits"](1)
    first, *rest = (kernel.names[0] for kernel in kernels(probe.layers))
    found = kernel_times(probe, [{**dict.fromkeys(rest, 1e-3), "fused_away": 5e-4}])
    assert found[0].time_s == pytest.approx(5e-4)
    assert found[1].time_s == pytest.approx(1e-3)
    assert first == "L000"


def made_up(name: str, sizes: range, batch: int) -> Whole:
    """A network whose kernels take 10 ns a value, run 20% slower together, and 50 us to start."""
    seen = tuple(
        KernelTime("pool", 0.0, 2.0**size * batch, (2.0**size * batch, 64.0, 9.0), 1e-8 * 2.0**size * batch)
        for size in sizes
    )
    return Whole(name, 5e-5 + 1.2 * sum(each.time_s for each in seen), seen)


def test_overheads_and_errors_are_found() -> None:
    wholes = [
        made_up(name, range(start, start + 4), batch)
        for name, start in (("a", 8), ("b", 10), ("c", 12), ("d", 14), ("e", 16))
        for batch in (1, 8)
    ]
    found = fitted("onnxruntime", EngineOptions(), wholes, native=True)
    assert found.factor == pytest.approx(1.2, rel=0.03)
    assert found.start_s + 4 * found.each_s == pytest.approx(5e-5, rel=0.1)  # each has four kernels
    assert len(found.errors) == 10
    assert max(map(abs, found.errors[2:-2])) < 0.1  # what lies between others


def test_products_multiply() -> None:
    for product in numpy_products(threads=2):
        assert product.make(256)() is not None
        assert product.operations(256) > 1e6
    on_runtime = [each for each in products(MACHINE) if each.through == "onnxruntime"]
    assert [each.format for each in on_runtime] == ["fp32", "int8"]
    for product in on_runtime:
        assert product.make(64)()[0].shape == (64, 64)  # type: ignore[index]


@pytest.mark.runtime
def test_products_of_optional_libraries() -> None:
    found = {(each.through, each.format): each for each in products(MACHINE) if each.through in ("openvino", "torch")}
    for key in (("openvino", "fp32"), ("openvino", "bf16"), ("openvino", "int8"), ("torch", "fp32"), ("torch", "bf16")):
        assert found[key].make(64)() is not None


@pytest.mark.gpu
def test_products_of_a_graphics_processor() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    from chipwise.runtimes.torch_products import copy_calls, gpu_products

    assert all(each.make(256)() is not None for each in gpu_products("cuda"))
    for pinned in (False, True):
        for _, call in copy_calls("cuda", 1 << 20, pinned=pinned):
            call()


@pytest.mark.runtime
def test_what_runs_on_a_graphics_processor_runs_on_any_device() -> None:
    pytest.importorskip("torch")
    from chipwise.runtimes.torch_products import copy_calls, gpu_stream_calls, launch_calls

    assert [direction for direction, _ in copy_calls("cpu", 1 << 10, pinned=False)] == ["to device", "to host"]
    assert [(kernel, moved) for kernel, _, moved in gpu_stream_calls("cpu", 1 << 10)] == [("copy", 2048), ("add", 3072)]
    for call in launch_calls("cpu", 3):
        call()


def test_formats_without_instructions_are_told() -> None:
    assert [native(each, MACHINE) for each in ("fp32", "int8", "bf16", "fp16")] == [True, True, False, False]


def test_a_chain_has_as_many_operators() -> None:
    model, array = chain(5)
    assert len(onnx.load_from_string(model).graph.node) == 5
    assert runtimes.load("onnxruntime").build(model, EngineOptions()).run([array])[0].shape == (1, 8)
