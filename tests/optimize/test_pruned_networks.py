"""Half of the inner channels zeroed in networks of five kinds: they are really gone, and nothing else changed."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from random_networks import Builder, outputs

from chipwise.optimize import channels, pipeline, remove_dead_channels


def residual() -> Builder:
    b = Builder(1)
    b.conv(8, 3)
    b.node("Relu", b.value)
    for _ in range(2):
        before = b.value
        for inner in (12, 12):
            b.conv(inner, 3)
            b.norm()
            scale = b.weights[b.nodes[-1].input[1]]
            scale[scale == 0] = 1  # a scale of 0 would kill more
            b.node("Relu", b.value)
        b.conv(8, 1)
        b.node("Relu", b.node("Add", b.value, before))
    b.node("GlobalMaxPool", b.value)
    b.conv(4, 1)
    return b


def mobile() -> Builder:
    """Inverted bottlenecks with squeeze and excitation."""
    b = Builder(2)
    b.conv(8, 3)
    for _ in range(2):
        before = b.value
        b.conv(16, 1)
        b.node("Relu", b.value)
        b.conv(16, 3, groups=16)
        wide = b.node("Relu", b.value)
        b.node("GlobalMaxPool", wide)
        b.conv(4, 1)
        b.node("Relu", b.value)
        b.conv(16, 1)
        b.node("Mul", wide, b.node("Clip", b.value, b.keep(np.array(0)), b.keep(np.array(3))))
        b.conv(8, 1)
        b.node("Add", b.value, before)
    b.node("GlobalMaxPool", b.value)
    b.conv(4, 1)
    return b


def dense() -> Builder:
    b = Builder(3)
    b.conv(8, 3)
    for _ in range(3):
        before, width = b.value, b.channels
        b.norm()
        b.node("Relu", b.value)
        b.conv(8, 1)
        b.node("Relu", b.value)
        b.conv(4, 3, bias=False)
        b.node("Concat", before, b.value, axis=1)
        b.channels = width + 4
    b.node("MaxPool", b.value, kernel_shape=[2, 2], strides=[2, 2])
    b.conv(4, 1)
    return b


def plain() -> Builder:
    b = Builder(4)
    for width in (8, 16):
        b.conv(width, 3)
        b.node("Relu", b.value)
        b.node("MaxPool", b.value, kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 0, 0])
    b.node("Flatten", b.value)
    b.node("Relu", b.node("Gemm", b.value, b.integers(32, 16), b.integers(32), transB=1))
    b.node("Gemm", b.value, b.integers(4, 32), b.integers(4), transB=1)
    return b


def perceptron() -> Builder:
    b = Builder(5)
    b.node("Flatten", b.value)
    for width, wide in ((108, 32), (32, 16)):
        b.node("Add", b.node("MatMul", b.value, b.integers(width, wide)), b.integers(wide))
        b.node("Relu", b.value)
    b.node("MatMul", b.value, b.integers(16, 4))
    return b


# What is made, and how many channels each of its layers makes before and after.
NETWORKS = {
    "residual": (residual, 4, [8, 12, 12, 8, 12, 12, 8, 4], [4, 6, 6, 4, 6, 6, 4, 4]),
    "mobile": (mobile, 4, [8] + [16, 16, 4, 16, 8] * 2 + [4], [4] + [8, 8, 2, 8, 4] * 2 + [4]),
    "dense": (dense, 4, [8] + [8, 4] * 3 + [4], [4] + [4, 2] * 3 + [4]),
    "plain": (plain, 2, [8, 16, 32, 4], [4, 8, 16, 4]),
    "perceptron": (perceptron, 2, [32, 16, 4], [16, 8, 4]),
}


def pruned(name: str, seed: int = 0) -> tuple[ir.Model, np.ndarray]:
    """A network of which half of each group of channels is zeroed in all places that write it."""
    build, rank, *_ = NETWORKS[name]
    builder = build()
    model = builder.model(rank)
    rng = np.random.default_rng(seed)
    for group in channels.groups(model):
        dead = rng.permutation(group.width)[: group.width // 2]
        for place in group.places:
            if place.written:
                value = model.graph.initializers[place.weight]
                array = value.const_value.numpy().copy()
                np.moveaxis(array, place.axis, 0)[np.isin(place.channels, dead)] = 0
                value.const_value = ir.tensor(array)
    return model, builder.sample()


def widths(model: ir.Model) -> list[int]:
    return [len(layer.targets) for layer in channels.trace(model).layers]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("seed", [0, 1])
def test_half_of_the_channels_are_gone(name: str, seed: int) -> None:
    model, x = pruned(name, seed)
    assert widths(model) == NETWORKS[name][2]
    before = outputs(model, x)
    said = remove_dead_channels.apply(model)
    assert said.startswith("removed")
    assert widths(model) == NETWORKS[name][3]
    for got, want in zip(outputs(model, x), before, strict=True):
        np.testing.assert_array_equal(got, want)


def single(model: ir.Model, rng: np.random.Generator) -> bytes:
    """The same network in single precision, with weights that are no integers where they were not zero."""
    proto = ir.serde.serialize_model(model)
    for tensor in proto.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.dtype == np.float64:
            moved = array * rng.uniform(0.5, 1.5, array.shape) if array.ndim > 1 else array
            tensor.CopyFrom(onnx.numpy_helper.from_array(moved.astype(np.float32), tensor.name))
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    del proto.graph.value_info[:]
    return proto.SerializeToString()


def run_onnxruntime(data: bytes, x: np.ndarray) -> np.ndarray:
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


def run_openvino(data: bytes, x: np.ndarray) -> np.ndarray:
    pytest.importorskip("openvino")
    from chipwise.runtimes.openvino import core

    compiled = core().compile_model(core().read_model(data, b""), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.array(compiled([x])[0])


@pytest.mark.runtime
@pytest.mark.parametrize("run", [run_onnxruntime, run_openvino])
@pytest.mark.parametrize("name", NETWORKS)
def test_runtimes_answer_the_same(name: str, run) -> None:
    model, x = pruned(name)
    data = single(model, np.random.default_rng(0))
    smaller = ir.serde.deserialize_model(onnx.load_from_string(data))
    assert remove_dead_channels.apply(smaller)
    assert widths(smaller) == NETWORKS[name][3]
    want = run(data, x.astype(np.float32))
    got = run(ir.serde.serialize_model(smaller).SerializeToString(), x.astype(np.float32))
    assert np.abs(want).max() > 0
    assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_whole_pipeline_removes_them(name: str) -> None:
    model, x = pruned(name)
    smaller, done = pipeline.optimize(model)
    assert any("channels that are always the same" in line for line in done), done
    assert sum(widths(smaller)) <= sum(NETWORKS[name][3])
    np.testing.assert_allclose(outputs(smaller, x)[0], outputs(model, x)[0], rtol=1e-12, atol=0)


def test_groups_name_what_goes_together() -> None:
    """A residual stream is one group of three layers; a depthwise layer goes with what it reads."""
    b = Builder(0)
    b.conv(4, 1, bias=False)  # w0
    before = b.value
    b.conv(6, 1, bias=False)  # w1
    b.conv(6, 3, groups=6, bias=False)  # w2
    b.conv(4, 1, bias=False)  # w3
    b.node("Add", b.value, before)
    b.node("Flatten", b.value)
    b.node("MatMul", b.value, b.integers(144, 2))  # w4
    found = channels.groups(b.model(2))
    assert [group.width for group in found] == [4, 6]
    stream, inner = ({(p.weight, p.axis, p.written) for p in group.places} for group in found)
    assert stream == {("w0", 0, True), ("w1", 1, False), ("w3", 0, True), ("w4", 0, False)}
    assert inner == {("w1", 0, True), ("w2", 0, True), ("w3", 1, False)}
    features = next(place for place in found[0].places if place.weight == "w4")
    np.testing.assert_array_equal(features.channels, np.repeat(np.arange(4), 36))


def test_what_must_stay_is_in_no_group() -> None:
    b = Builder(0)
    b.conv(4, 1)
    b.node("Softmax", b.value, axis=1)
    b.conv(4, 1)
    assert channels.groups(b.model()) == []


def test_layers_that_share_a_weight_are_pruned_together() -> None:
    b = Builder(0)
    weight = b.integers(3, 3, 1, 1)
    b.node("Conv", b.value, weight)
    b.node("Relu", b.value)
    b.node("Conv", b.value, weight)
    b.conv(2, 1)
    assert [group.width for group in channels.groups(b.model())] == [3]
