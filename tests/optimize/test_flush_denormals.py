"""Weights too small to matter, and costly to multiply with, become zero; all others stay."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from random_networks import parse

from chipwise.optimize import flush_denormals


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_exactly_the_denormal(kind: type) -> None:
    tiny = np.finfo(kind).tiny
    below = np.nextafter(tiny, kind(0))
    weight = np.array([tiny, below, -below, -tiny, 0, -0.0, 1, np.finfo(kind).smallest_subnormal, np.inf, np.nan], kind)
    name = {np.float32: "float", np.float64: "double"}[kind]
    model = parse(f"g ({name}[10] x) => ({name}[1] y) {{ y = MatMul(x, w) }}", w=weight[:, None])
    assert flush_denormals.count(model) == 3
    assert flush_denormals.apply(model) == "set 3 denormal weights to zero"
    after = model.graph.initializers["w"].const_value.numpy()[:, 0]
    np.testing.assert_array_equal(after, np.where(np.isin(np.arange(10), [1, 2, 7]), 0, weight))
    assert after.dtype == kind
    assert np.signbit(after[5])
    assert flush_denormals.count(model) == 0
    assert flush_denormals.apply(model) == ""


@pytest.mark.parametrize("kind", [np.float16, np.int64])
def test_others_are_left_alone(kind: type) -> None:
    weight = np.array([1, 2]) if kind is np.int64 else np.array([6e-8, 1], np.float16)  # 6e-8 is a float16 like another
    name = {np.float16: "float16", np.int64: "int64"}[kind]
    model = parse(f"g ({name}[2] x) => ({name}[1] y) {{ y = MatMul(x, w) }}", w=weight[:, None])
    assert flush_denormals.apply(model) == ""


def test_what_a_caller_may_replace_is_left_alone() -> None:
    model = parse("g (float[1] x) => (float[1] y) { y = MatMul(x, w) }", w=np.array([[1e-40]], np.float32))
    model.graph.inputs.append(model.graph.initializers["w"])
    assert flush_denormals.apply(model) == ""


def test_weights_of_a_branch() -> None:
    model = parse("""g (float[1] x, bool t) => (float[1] y) { y = If (t) <
        then_branch = g1 () => (float[1] p) { p = Neg(x) }, else_branch = g2 () => (float[1] q) { q = Abs(x) }> }""")
    inner = model.graph[0].attributes["then_branch"].as_graph()
    inner.register_initializer(ir.Value(name="w", const_value=ir.tensor(np.array([1e-40, 1], np.float32))))
    assert flush_denormals.apply(model) == "set 1 denormal weight to zero"


@pytest.mark.parametrize("text", ["y = Div(x, w)", "a = Mul(x, w)  b = MatMul(x, w)  y = Add(a, b)"])
def test_a_divisor_or_factor_that_may_be_multiplied_up_again_is_left_alone(text: str) -> None:
    model = parse(f"g (float[1] x) => (float[1] y) {{ {text} }}", w=np.array([1e-40], np.float32))
    assert flush_denormals.apply(model) == ""
