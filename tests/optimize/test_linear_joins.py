"""Two linear layers in a row are what they are joined to, to the last bit of integers and at every border."""

from __future__ import annotations

import itertools
import math

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from random_networks import Builder, outputs

from chipwise.optimize import linear_joins
from chipwise.optimize.linear_joins import compose, join, regroup
from chipwise.optimize.linear_layers import Layer, read_layer, read_pool, read_scale, write
from chipwise.optimize.rewrite import swap

CHANNELS = 4
small = st.integers(0, 2)


@st.composite
def layers(draw: st.DrawFn, b: Builder) -> None:
    """One more linear layer."""
    kind = draw(st.sampled_from(["Conv", "Conv", "Conv", "ConvTranspose", "Mul", "Add", "BatchNormalization"]))
    if kind == "BatchNormalization":
        b.norm()
        return
    if kind in ("Mul", "Add"):
        b.node(kind, b.integers(*draw(st.sampled_from([(CHANNELS, 1, 1), (1, CHANNELS, 1, 1), (1,), ()]))), b.value)
        return
    # onnx's reference evaluator gets groups of transposed convolutions wrong; ONNX Runtime is asked about them below.
    groups = draw(st.sampled_from([1, 1, 2, 4])) if kind == "Conv" else 1
    kernel = [draw(st.integers(1, 3)) for _ in range(2)]
    strides, dilations = ([draw(st.sampled_from([1, 1, 2])) for _ in range(2)] for _ in range(2))
    pads = [draw(small) for _ in range(4)]
    if kind == "ConvTranspose":
        reach = [(k - 1) * d for k, d in zip(kernel, dilations, strict=True)]
        pads = [min(pad, reach[axis % 2] // 2) for axis, pad in enumerate(pads)]
    more = [b.integers(CHANNELS)] if draw(st.booleans()) else []
    grown = {"output_padding": [s - 1 for s in strides]} if kind == "ConvTranspose" and draw(st.booleans()) else {}
    weight = b.integers(CHANNELS, CHANNELS // groups, *kernel)
    b.node(kind, b.value, weight, *more, group=groups, strides=strides, dilations=dilations, pads=pads, **grown)


def read(node: ir.Node, beside: Layer | None) -> Layer | None:
    layer = read_layer(node)
    if layer is None and beside is not None:
        scale = read_scale(node, CHANNELS, beside.form)
        layer = None if scale is None else scale[0]
    return layer


def fits(node: ir.Node) -> bool:
    """True when a kernel is no larger than its padded image: shape inference rounds what is below 1 up to it."""
    layer, shape = read_layer(node), node.inputs[0].shape
    if layer is None:
        return True
    if node.op_type == "ConvTranspose":
        return min(node.outputs[0].shape[2:]) > 0
    form = layer.form
    return all(shape[axis + 2] + form.pads[axis] + form.pads[axis + 2] >= form.extent[axis] for axis in range(2))


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), seed=st.integers(0, 2**20))
def test_what_joins_is_the_same(data: st.DataObject, seed: int) -> None:
    b = Builder(seed, CHANNELS)
    for _ in range(data.draw(st.integers(2, 3))):
        data.draw(layers(b))
    model, x = b.model(), b.sample()
    assume(all(map(fits, model.graph)))
    before = outputs(model, x)[0]
    graph, nodes = model.graph, list(model.graph)
    beside = next((layer for node in nodes if (layer := read_layer(node)) is not None), None)
    found = [read(node, beside) for node in nodes]
    whole, like = found[0], next((node for node in nodes if read_layer(node) is not None), None)
    for layer in found[1:]:
        whole = None if whole is None or layer is None or not join(whole.form, layer.form) else compose(whole, layer)
    if whole is None or like is None:
        return
    event("joined")
    swap(graph, nodes[-1], nodes, write(graph, whole, graph.inputs[0], like))
    assert len(graph) == 1
    np.testing.assert_array_equal(outputs(model, x)[0], before)


@pytest.mark.runtime
@pytest.mark.parametrize("turned", [0, 1])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_groups_of_transposed_convolutions(turned: int, groups: int) -> None:
    b = Builder(groups, CHANNELS)
    for each in range(2):
        more = [b.integers(CHANNELS)] if each or not turned else []
        if each == turned:
            b.node("ConvTranspose", b.value, b.integers(4, 4 // groups, 3, 2), *more, group=groups, strides=[2, 1])
        else:
            b.node("Conv", b.value, b.integers(4, 2, 1, 1), *more, group=2)
    model, x = b.model(), b.sample().astype(np.float32)
    for value in model.graph.initializers.values():
        value.const_value = ir.tensor(value.const_value.numpy().astype(np.float32))
    for value in (*model.graph.inputs, *model.graph.outputs):
        value.dtype = ir.DataType.FLOAT
    one, two = list(model.graph)
    before = run(model, x)
    whole = compose(read_layer(one), read_layer(two))
    swap(model.graph, two, [one, two], write(model.graph, whole, model.graph.inputs[0], one))
    np.testing.assert_array_equal(run(model, x), before)


def run(model: ir.Model, x: np.ndarray) -> np.ndarray:
    """What ONNX Runtime answers; small integers in float32 are exact too."""
    for node in model.graph:
        node.outputs[0].dtype = ir.DataType.FLOAT
    content = ir.serde.serialize_model(model).SerializeToString()
    return ort.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("first", "second", "joins"),
    [
        ({"kernel": 1, "bias": True}, {"kernel": 3}, False),  # the border sees the bias
        ({"kernel": 1, "bias": False}, {"kernel": 3}, True),
        ({"kernel": 3, "bias": True}, {"kernel": 1}, True),
        ({"kernel": 3, "bias": False}, {"kernel": 3}, False),  # the border sees what lies beyond the image
        ({"kernel": 3, "bias": False, "groups": 2}, {"kernel": 1, "groups": 4}, True),
    ],
)
def test_borders(seed: int, first: dict[str, int], second: dict[str, int], joins: bool) -> None:
    b = Builder(seed, CHANNELS)
    b.conv(CHANNELS, **first)
    b.conv(CHANNELS, **second)
    one, two = (read_layer(node) for node in b.model().graph)
    assert (join(one.form, two.form) is not None) == joins


def test_regrouped_weights_have_zeros_between() -> None:
    made = regroup(np.arange(1.0, 9).reshape(4, 2), groups=2, fewer=1)
    np.testing.assert_array_equal(made, [[1, 2, 0, 0], [3, 4, 0, 0], [0, 0, 5, 6], [0, 0, 7, 8]])


@pytest.mark.parametrize(
    ("attributes", "read"),
    [
        ({}, True),
        ({"pads": [1, 1, 1, 1]}, False),
        ({"pads": [1, 1, 1, 1], "count_include_pad": 1}, True),
        ({"ceil_mode": 1}, False),
        ({"auto_pad": "SAME_UPPER"}, False),
    ],
)
def test_an_average_is_a_convolution_where_it_divides_by_a_constant(attributes: dict[str, object], read: bool) -> None:
    b = Builder(0)
    b.node("AveragePool", "x", kernel_shape=[2, 3], **attributes)
    layer = read_pool(b.model().graph[0], 3, 2)
    assert (layer is not None) == read
    if layer is not None:
        assert math.isclose(layer.weights.sum(), 3)


def test_every_border_along_one_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not join is different at a border, what does is not; with strides, some that could join may not."""
    for reach, stride, before, behind, first, last in itertools.product(
        (1, 2, 3), (1, 2), (0, 1, 2), (0, 1, 2), (0, 1), (0, 1)
    ):
        b = Builder(reach, 1)
        b.node("Conv", "x", b.integers(1, 1, reach, 1, low=1), strides=[stride, 1], pads=[before, 0, behind, 0])
        b.node("Conv", b.value, b.integers(1, 1, 2, 1, low=1), pads=[first, 0, last, 0])
        model, x = b.model(), np.ones((1, 1, 6, 6))
        one, two = list(model.graph)
        layers = read_layer(one), read_layer(two)
        joins = join(layers[0].form, layers[1].form) is not None
        assert joins or first or last, "nothing is padded in between"
        wanted = outputs(model, x)[0]
        with monkeypatch.context() as patch:
            patch.setattr(linear_joins, "_zero_outside", lambda first, second: True)
            whole = compose(*layers)
        swap(model.graph, two, [one, two], write(model.graph, whole, model.graph.inputs[0], one))
        same = np.array_equal(outputs(model, x)[0], wanted)
        assert joins == same if stride == 1 else same or not joins
