"""Layers that read the same value become one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_networks import Builder, ops, outputs

from chipwise.optimize import merge_siblings


def applied(model: ir.Model, x: np.ndarray) -> str:
    before = outputs(model, x)
    said = merge_siblings.apply(model)
    for got, want in zip(outputs(model, x), before, strict=True):
        np.testing.assert_array_equal(got, want)
    return said


def two(b: Builder, *options: dict[str, object], kernel: int = 1) -> list[str]:
    """Convolutions of the same value, of 2, 3, ... outputs."""
    value, made = b.value, []
    for extra, option in enumerate(options):
        groups = int(option.get("group", 1))
        weight = b.integers((2 + extra) * groups, b.channels // groups, kernel, kernel)
        bias = [b.integers((2 + extra) * groups)] if extra else []
        made.append(b.node("Conv", value, weight, *bias, **option))
    return made


def test_layers_that_are_joined_behind_need_no_split() -> None:
    b = Builder(0)
    parts = [b.node("Relu", each) for each in two(b, {}, {}, {})]
    b.node("Concat", parts[2], parts[0], parts[1], axis=1)
    model = b.model()
    assert applied(model, b.sample()) == "merged 3 layers that read the same value into 1"
    assert ops(model) == ["Conv", "Relu"]


def test_layers_that_go_different_ways_are_split() -> None:
    b = Builder(1)
    parts = two(b, {}, {})
    b.node("Concat", b.node("Relu", parts[0]), b.node("Neg", parts[1]), axis=1)
    model = b.model()
    assert applied(model, b.sample()) == "merged 2 layers that read the same value into 1"
    assert ops(model) == ["Conv", "Split", "Relu", "Neg", "Concat"]


@pytest.mark.parametrize("op", ["Gemm", "MatMul"])
def test_matrix_products(op: str) -> None:
    b = Builder(2)
    flat = b.node("Flatten", b.value)
    parts = [b.node(op, flat, b.integers(108, size), *([b.integers(size)] if op == "Gemm" else [])) for size in (2, 5)]
    b.node("Concat", *parts, axis=1)
    model = b.model(2)
    assert applied(model, b.sample()) == "merged 2 layers that read the same value into 1"
    assert ops(model) == ["Flatten", op]


def _output(b: Builder) -> None:
    two(b, {}, {})  # the second one is the output


def _join(*options: dict[str, object]) -> Callable[[Builder], None]:
    def block(b: Builder) -> None:
        b.node("Concat", *two(b, *options), axis=1)

    return block


ALIKE = {
    "an output": _output,
    "other dilations": _join({"dilations": [1, 1]}, {"dilations": [2, 2]}),
    "groups": _join({"group": 3}, {"group": 3}),
    "one": lambda b: b.node("Neg", *two(b, {})),
}


@pytest.mark.parametrize("name", ALIKE)
def test_looks_alike(name: str) -> None:
    b = Builder(3)
    ALIKE[name](b)
    model = b.model()
    before = ops(model)
    assert applied(model, b.sample()) == ""
    assert ops(model) == before


def test_before_operator_set_13_sizes_are_an_attribute() -> None:
    text = """<ir_version: 7, opset_import: ["": 11]> g (float[1, 2, 3, 3] x) => (float[1, 2, 3, 3] y) {
        a = Conv(x, u)  b = Conv(x, v)  c = Neg(b)  y = Mul(a, c) }"""
    proto = onnx.parser.parse_model(text)
    rng = np.random.default_rng(0)
    arrays = {name: rng.integers(-2, 3, (2, 2, 1, 1)).astype(np.float32) for name in "uv"}
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in arrays.items())
    model = ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(proto))
    assert applied(model, rng.integers(-3, 4, (1, 2, 3, 3)).astype(np.float32))
    assert ops(model) == ["Conv", "Split", "Neg", "Mul"]


SIDE = st.tuples(st.sampled_from(["", "Relu", "Abs"]), st.sampled_from([1, 3]), st.integers(0, 1), st.booleans())


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(SIDE, min_size=1, max_size=5), st.permutations(range(5)), st.integers(0, 2**16))
def test_random_siblings_keep_their_values(
    sides: list[tuple[str, int, int, bool]], order: list[int], seed: int
) -> None:
    b = Builder(seed)
    parts = []
    for size, (act, kernel, stride, bias) in enumerate(sides, 1):
        b.value, b.channels = "x", 3
        more = [b.integers(size)] if bias else []
        b.node("Conv", "x", b.integers(size, 3, kernel, kernel), *more, pads=[kernel // 2] * 4, strides=[1, 1])
        b.node(act, b.value) if act else None
        parts.append(b.value)
        b.node("Neg", b.value) if stride else None
    b.node("Concat", *(parts[place] for place in order if place < len(parts)), axis=1)
    applied(b.model(), b.sample())
