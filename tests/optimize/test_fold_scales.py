"""Constant factors and summands go into the weights around them, to the last bit of integers."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import ops, outputs, parse

from chipwise.optimize import fold_scales

EXACT = (-4.0, -2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 4.0)  # their reciprocals are floats as well


def same(model: ir.Model, x: np.ndarray) -> str:
    """Run the pass; what it said. Outputs are the same, and called the same."""
    before, names = outputs(model, x), [value.name for value in model.graph.outputs]
    said = fold_scales.apply(model)
    assert [value.name for value in model.graph.outputs] == names
    for got, want in zip(outputs(model, x), before, strict=True):
        np.testing.assert_array_equal(got, want)
    return said


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    groups=st.sampled_from([1, 2, 4]),
    pad=st.integers(0, 1),
    bias=st.booleans(),
    rows=st.sampled_from(
        [
            "b = Mul(a, s)",
            "b = Div(a, s)",
            "b = Add(a, t)",
            "b = Sub(a, t)",
            "c = Sub(a, t)  b = Div(c, s)",
            "c = Mul(a, s)  b = Add(a2, c)",
            "c = Div(a, two)  d = Sub(c, t)  b = Div(d, s)",
        ]
    ),
    number=st.booleans(),
)
def test_what_a_convolution_reads(seed: int, groups: int, pad: int, bias: bool, rows: str, number: bool) -> None:
    """Standardized inputs: at most a shift is left before a padded convolution, and nothing before another."""
    rng = np.random.default_rng(seed)
    shape = () if number else (1, 4, 1, 1)
    weights = {"s": rng.choice(EXACT, shape), "t": rng.choice(EXACT, shape), "two": np.array(2.0)}
    weights |= {
        "w": rng.choice(EXACT, (8, 4 // groups, 3, 3)),
        "c0": rng.choice(EXACT, 8),
        "a2": rng.choice(EXACT, shape),
    }
    conv = f"Conv <group = {groups}, pads = [{pad}, {pad}, {pad}, {pad}]>"
    text = f"a = Abs(x)  {rows}  y = {conv} (b, w{', c0' if bias else ''})"
    model = parse(f"g (double[N, 4, 5, 5] x) => (double[N, 8, H, W] y) {{ {text} }}", **weights)
    shifts = any(op in rows for op in ("Add", "Sub"))
    said = same(model, rng.integers(-3, 4, (2, 4, 5, 5)).astype(np.float64))
    if not (pad and shifts):
        assert ops(model) == ["Abs", "Conv"]
    else:
        assert ops(model) in (["Abs", "Add", "Conv"], ["Abs", "Sub", "Conv"])
        assert bool(said) == (len(rows.split("=")) > 2)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        # positive factors pass rectifiers and the largest, both ways
        ("a = Conv(x, w)  b = Relu(a)  y = Mul(b, up)", ["Conv", "Relu"]),
        (
            "a = Conv(x, w)  b = LeakyRelu(a)  c = MaxPool <kernel_shape = [2, 2], pads = [1, 1, 0, 0]> (b)"
            "  y = Mul(c, up)",
            ["Conv", "LeakyRelu", "MaxPool"],
        ),
        (
            "a = Mul(x, up)  b = Relu(a)  c = MaxPool <kernel_shape = [2, 2], pads = [1, 1, 0, 0]> (b)  y = Conv(c, w)",
            ["Relu", "MaxPool", "Conv"],
        ),
        ("a = Add(x, off)  b = MaxPool <kernel_shape = [2, 2]> (a)  y = Conv(b, w)", ["MaxPool", "Conv"]),
        ("a = Mul(x, down)  p = Pad(a, border)  y = Conv(p, w)", ["Pad", "Conv"]),
        ("a = Add(x, off)  b = AveragePool <kernel_shape = [2, 2]> (a)  y = Conv(b, w)", ["AveragePool", "Conv"]),
        (
            "a = Add(x, off)  b = AveragePool <kernel_shape = [2, 2], strides = [2, 2], pads = [1, 1, 1, 1]> (a)"
            "  y = Conv(b, w)",
            ["AveragePool", "Conv"],
        ),
        # a number, behind what only moves values
        ("a = Conv(x, w)  b = Transpose(a)  c = Reshape(b, to)  y = Add(c, two)", ["Conv", "Transpose", "Reshape"]),
        # the addition after a matrix product is its bias
        ("t = Transpose(x)  a = MatMul(t, m)  b = Add(a, v)  y = Mul(b, v)", ["Transpose", "MatMul", "Add"]),
        ("t = Transpose(x)  a = Add(t, v)  b = MatMul(a, m)  y = Add(b, v)", ["Transpose", "MatMul", "Add"]),
        ("a = Mul(x, down)  y = ConvTranspose(a, w)", ["ConvTranspose"]),
        ("a = ConvTranspose(x, w)  b = Mul(a, down)  y = Add(b, off)", ["ConvTranspose"]),
        # the channels of one input of a concatenation
        ("a = Mul(x, down)  b = Concat <axis = -3> (x, a)  y = Conv(b, w2)", ["Concat", "Conv"]),
        ("a = BatchNormalization(x, v, v, v, ones)  b = Relu(a)  n = Neg(b)  y = Mul(n, up)", None),
        (
            "a = Mul(x, down)  b = BatchNormalization <epsilon = 0.0> (a, v, v, v, ones)  y = Neg(b)",
            ["BatchNormalization", "Neg"],
        ),
    ],
)
def test_through_what_is_between(text: str, left: list[str] | None) -> None:
    rng = np.random.default_rng(0)
    weights = {
        "up": np.array([[[2.0]], [[4]]]),
        "down": np.array([[[-2.0]], [[0]]]),
        "off": np.array([[[3.0]], [[-1]]]),
    }
    weights |= {"w": rng.integers(-2, 3, (2, 2, 2, 2)) * 1.0, "m": rng.integers(-2, 3, (2, 2)) * 1.0}
    weights |= {"w2": rng.integers(-2, 3, (2, 4, 1, 1)) * 1.0, "v": np.array([2.0, -4]), "ones": np.ones(2)}
    weights |= {"border": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "to": np.array([0, -1]), "two": np.array([[2.0]])}
    rank = 2 if "Reshape" in text else 4
    if "Transpose(x)" in text:  # channels last
        text = text.replace("Transpose(x)", "Transpose <perm = [0, 2, 3, 1]> (x)")
    model = parse(f"g (double[N, 2, 4, 4] x) => (double[{', '.join('NCHW'[:rank])}] y) {{ {text} }}", **weights)
    before = ops(model)
    x = rng.integers(-3, 4, (2, 2, 4, 4)).astype(np.float64)
    if left is None:
        want = outputs(model, x)[0]
        assert fold_scales.apply(model) == ""
        np.testing.assert_array_equal(outputs(model, x)[0], want)
    else:
        assert same(model, x)
    assert ops(model) == (left or before)


@pytest.mark.parametrize(
    "text",
    [
        "a = Conv(x, w)  b = Relu(a)  y = Mul(b, down)",  # a factor that turns the sign
        "a = Conv(x, w)  b = Relu(a)  y = Mul(b, zero)",
        "a = Conv(x, w)  b = Relu(a)  y = Add(b, up)",  # a shift
        "a = Mul(x, down)  b = MaxPool <kernel_shape = [2, 2]> (a)  y = Conv(b, w)",
        "a = Conv(x, w)  b = Clip(a, none, six)  y = Mul(b, up)",  # not where it is cut
        "a = Add(x, up)  y = Conv <pads = [0, 0, 0, 1]> (a, w)",
        "a = Add(x, up)  p = Pad(a, border)  y = Conv(p, w)",
        "a = Mul(x, up)  p = Pad(a, border, six)  y = Conv(p, w)",  # the border is no zero
        "a = Add(x, up)  y = ConvTranspose(a, w)",  # places at the border are made of fewer
        "a = Mul(x, line)  y = Conv(a, w)",  # one factor per column
        "a = Mul(x, up)  b = Relu(a)  c = Neg(b)  d = Conv(b, w)  e = Conv(c, w)  y = Sub(d, e)",
        "a = Mul(x, four)  b = Conv(a, w2)  y = Neg(b)",  # it makes channels
        "a = Conv(x, w)  b = Relu(a)  c = Mul(b, up)  y = Sub(c, b)",
        "a = Mul(x, zero)  b = Add(a, up)  y = Conv <pads = [0, 0, 0, 1]> (b, w)",
        "a = Add(x, up)  b = AveragePool <kernel_shape = [2, 2], pads = [1, 1, 1, 1], count_include_pad = 1> (a)"
        "  y = Conv(b, w)",
        "a = Add(x, line)  b = MatMul(a, m)  y = Neg(b)",  # it would become an addition of as many
    ],
)
def test_look_alikes_are_left_alone(text: str) -> None:
    rng = np.random.default_rng(0)
    weights = {
        "up": np.array([[[2.0]], [[4]]]),
        "down": np.array([[[-2.0]], [[1]]]),
        "zero": np.array([[[2.0]], [[0]]]),
    }
    weights |= {"w": rng.integers(-2, 3, (2, 2, 2, 2)) * 1.0, "m": rng.integers(-2, 3, (4, 4)) * 1.0}
    weights |= {"w2": rng.integers(-2, 3, (2, 4, 1, 1)) * 1.0, "none": np.array(0.0), "six": np.array(6.0)}
    weights |= {"border": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "line": np.array([1.0, 2, 4, 8])}
    weights |= {"four": rng.choice(EXACT, (4, 1, 1))}
    channels = 1 if "four" in text else 2
    model = parse(f"g (double[N, {channels}, 4, 4] x) => (double[A, B, C, D] y) {{ {text} }}", **weights)
    before = ops(model)
    assert same(model, rng.integers(-3, 4, (2, channels, 4, 4)).astype(np.float64)) == ""
    assert ops(model) == before


def test_a_thousand_factors_in_a_row_fold_in_no_time() -> None:
    rows = "  ".join(f"a{n + 1} = Mul(a{n}, s)" for n in range(1000))
    model = parse(f"g (double[2] x) => (double[2] y) {{ a0 = Abs(x)  {rows}  y = Neg(a1000) }}", s=np.array(1.0))
    assert same(model, np.array([1.0, -2.0]))
    assert ops(model) == ["Abs", "Mul", "Neg"]
