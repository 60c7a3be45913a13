"""Formulas become operators and back; what only looks like one is left alone."""

from __future__ import annotations

import math

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import ops

from chipwise.optimize import fuse_activations, fuse_hard_sigmoid, spell_out_activations

WIDTH = 5
NUMBERS = {
    "zero": 0.0, "half": 0.5, "one": 1.0, "two": 2.0, "three": 3.0, "six": 6.0, "sixth": 1 / 6, "tiny": 1e-3,
    "root": math.sqrt(2), "iroot": math.sqrt(0.5), "cube": 0.044715, "pi": math.sqrt(2 / math.pi), "many": 20.0,
}  # fmt: skip


def graph(body: str, opset: int, kind: str = "float") -> ir.Model:
    """A graph of x [2, 3, 5] and named numbers; `s` and `b` are one value for each along the last axis."""
    arrays = {name: np.array(value) for name, value in NUMBERS.items()}
    rng = np.random.default_rng(0)
    arrays |= {"s": rng.standard_normal(WIDTH), "b": rng.standard_normal((1, WIDTH)), "c": rng.standard_normal((3, 1))}
    shape = f"{kind}[N, 3, {WIDTH}]"
    text = f'<ir_version: 10, opset_import: ["": {opset}]> g ({shape} x) => ({shape} y) {{ {body} }}'
    proto = onnx.parser.parse_model(text)
    read = {name for node in proto.graph.node for name in node.input}
    dtype = {"float": np.float32, "double": np.float64}[kind]
    for name, array in arrays.items():
        if name in read:
            proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(dtype), name))
    if "axis" in read:
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([-1]), "axis"))
    if "middle" in read:
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1]), "middle"))
    onnx.checker.check_model(proto)
    return ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(proto))


def values(model: ir.Model, x: np.ndarray) -> np.ndarray:
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto)
    return onnx.reference.ReferenceEvaluator(proto).run(None, {"x": x})[0]


def sample(scale: float = 4.0) -> np.ndarray:
    return (scale * np.random.default_rng(1).standard_normal((2, 3, WIDTH))).astype(np.float32)


GATE = "a = Add(x, three)  g = Clip(a, zero, six) "
NORM = "m = ReduceMean(x, axis)  d = Sub(x, m)  p = Mul(d, d)  v = ReduceMean(p, axis)  w = Add(v, tiny)  r = Sqrt(w) "
OLD_NORM = (
    "m = ReduceMean<axes = [2]>(x)  d = Sub(x, m)  p = Pow(d, two)  "
    "v = ReduceMean<axes = [-1]>(p)  w = Add(tiny, v)  r = Sqrt(w) "
)
CUBIC = "t = Pow(x, three)  u = Mul(cube, t)  v = Add(x, u)  w = Mul(v, pi)  h = Tanh(w)  g = Add(one, h) "
FUSED = {
    "hard swish": (14, GATE + "m = Mul(x, g)  y = Div(m, six)", ["HardSwish"]),
    "hard swish, other order": (14, GATE + "m = Mul(sixth, g)  y = Mul(m, x)", ["HardSwish"]),
    "hard swish of a gate": (14, "g = HardSigmoid<alpha = 0.16666667>(x)  y = Mul(g, x)", ["HardSwish"]),
    "gelu": (20, "a = Div(x, root)  e = Erf(a)  g = Add(e, one)  h = Mul(x, g)  y = Mul(h, half)", ["Gelu"]),
    "gelu, halved first": (
        20,
        "a = Mul(x, iroot)  e = Erf(a)  g = Add(one, e)  h = Div(x, two)  y = Mul(g, h)",
        ["Gelu"],
    ),
    "gelu, tanh": (20, CUBIC + "h2 = Mul(half, g)  y = Mul(x, h2)", ["Gelu"]),
    "gelu, squares": (
        20,
        "q = Mul(x, x)  u = Mul(q, cube)  v = Add(u, one)  k = Mul(x, pi)  w = Mul(k, v)  h = Tanh(w)  g = Add(h, one)"
        "  h2 = Mul(half, x)  y = Mul(h2, g)",
        ["Gelu"],
    ),
    "softmax": (
        18,
        "m = ReduceMax(x, axis)  d = Sub(x, m)  e = Exp(d)  s1 = ReduceSum(e, axis)  y = Div(e, s1)",
        ["Softmax"],
    ),
    "softmax without maximum": (13, "e = Exp(x)  s1 = ReduceSum(e, axis)  y = Div(e, s1)", ["Softmax"]),
    "layer norm": (18, NORM + "n = Div(d, r)  k = Mul(n, s)  y = Add(k, b)", ["LayerNormalization"]),
    "layer norm, old": (17, OLD_NORM + "n = Div(d, r)  k = Mul(s, n)  y = Add(b, k)", ["LayerNormalization"]),
    "layer norm, reciprocal": (18, NORM + "i = Reciprocal(r)  n = Mul(d, i)  y = Mul(n, s)", ["LayerNormalization"]),
    "rms norm": (
        23,
        "p = Mul(x, x)  v = ReduceMean(p, axis)  w = Add(v, tiny)  r = Sqrt(w)  "
        "i = Div(one, r)  n = Mul(x, i)  y = Mul(n, s)",
        ["RMSNormalization"],
    ),
    "clip": (12, "a = Max(x, zero)  y = Min(six, a)", ["Clip"]),
    "clip, other order": (12, "a = Min(x, six)  y = Max(zero, a)", ["Clip"]),
    "relu 6": (12, "a = Relu(x)  y = Min(a, six)", ["Clip"]),
    "twice": (
        14,
        GATE + "m = Mul(x, g)  z = Div(m, six)  h = HardSigmoid<alpha = 0.16666667>(z)  y = Mul(h, z)",
        ["HardSwish"] * 2,
    ),
}


@pytest.mark.parametrize("name", FUSED)
def test_a_formula_becomes_an_operator(name: str) -> None:
    opset, body, wanted = FUSED[name]
    model = graph(body, opset)
    before = values(model, sample())
    assert fuse_activations.apply(model).startswith("joined formulas into ")
    assert ops(model) == wanted
    np.testing.assert_allclose(values(model, sample()), before, rtol=2e-5, atol=2e-6)


ALIKE = {
    "an operator set before": (13, FUSED["hard swish"][1]),
    "gelu before 20": (19, FUSED["gelu"][1]),
    "norm before 17": (16, FUSED["layer norm, old"][1]),
    "another bound": (14, "a = Add(x, three)  g = Clip(a, zero, three)  m = Mul(x, g)  y = Div(m, six)"),
    "another shift": (14, "a = Add(x, two)  g = Clip(a, zero, six)  m = Mul(x, g)  y = Div(m, six)"),
    "another factor": (14, GATE + "m = Mul(x, g)  y = Div(m, three)"),
    "another input": (14, GATE + "n = Neg(x)  m = Mul(n, g)  y = Div(m, six)"),
    "another slope": (14, "g = HardSigmoid(x)  y = Mul(g, x)"),
    "a gate that is read twice": (14, GATE + "m = Mul(x, g)  k = Div(m, six)  y = Add(k, g)"),
    "gelu with another root": (20, "a = Div(x, two)  e = Erf(a)  g = Add(e, one)  h = Mul(x, g)  y = Mul(h, half)"),
    "gelu with another power": (20, CUBIC.replace("three", "two") + "h2 = Mul(half, g)  y = Mul(x, h2)"),
    "softmax over another axis": (18, "e = Exp(x)  s1 = ReduceSum(e, middle)  y = Div(e, s1)"),
    "a sum of another value": (18, "e = Exp(x)  f = Abs(x)  s1 = ReduceSum(f, axis)  y = Div(e, s1)"),
    "a norm over another axis": (18, NORM.replace("axis", "middle") + "n = Div(d, r)  y = Mul(n, s)"),
    "a mean over another axis": (18, NORM.replace("(x, axis)", "(x, middle)") + "n = Div(d, r)  y = Mul(n, s)"),
    "a scale along another axis": (18, NORM + "n = Div(d, r)  y = Mul(n, c)"),
    "bounds the wrong way round": (12, "a = Max(x, six)  y = Min(a, zero)"),
    "silu": (22, "g = Sigmoid(x)  y = Mul(x, g)"),
}


@pytest.mark.parametrize("name", ALIKE)
def test_looks_alike(name: str) -> None:
    opset, body = ALIKE[name]
    model = graph(body, opset)
    before = ops(model)
    assert fuse_activations.apply(model) == ""
    assert ops(model) == before


def test_doubles_are_left_alone() -> None:
    model = graph(FUSED["hard swish"][1], 14, "double")
    assert fuse_activations.apply(model) == fuse_hard_sigmoid.apply(model) == spell_out_activations.apply(model) == ""


@pytest.mark.parametrize("last", ["y = Div(g, six)", "y = Mul(sixth, g)"])
def test_a_hard_sigmoid(last: str) -> None:
    model = graph(GATE + last, 14)
    before = values(model, sample())
    assert fuse_hard_sigmoid.apply(model) == "joined formulas into 1 HardSigmoid"
    assert ops(model) == ["HardSigmoid"]
    np.testing.assert_allclose(values(model, sample()), before, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "body", ["y = Div(g, three)", "k = Mul(x, g)  y = Div(k, six)", "k = Div(g, six)  y = Mul(k, g)"]
)
def test_no_hard_sigmoid(body: str) -> None:
    model = graph(GATE + body, 14)
    assert fuse_hard_sigmoid.apply(model) == ""


SPELLED = {
    "mish": (18, "y = Mish(x)"),
    "mish, as torch exports it": (17, "a = Softplus(x)  t = Tanh(a)  y = Mul(x, t)"),
    "softplus": (17, "y = Softplus(x)"),
    "swish": (24, "y = Swish(x)"),
}


@pytest.mark.parametrize("name", SPELLED)
@settings(max_examples=40, deadline=None)
@given(x=st.floats(-1e4, 1e4, width=32), scale=st.sampled_from([1.0, 1e-3, 1e-6, 1e3]))
def test_a_formula_says_the_same_everywhere(name: str, x: float, scale: float) -> None:
    opset, body = SPELLED[name]
    model = graph(body, opset)
    points = np.full((1, 3, WIDTH), x, np.float32) + np.float32(scale) * np.arange(15, dtype=np.float32).reshape(
        1, 3, 5
    )
    assert spell_out_activations.apply(model) == "spelled out 1 activation without a fast kernel"
    assert not {"Mish", "Softplus", "Swish"} & set(ops(model))
    precise = points.astype(np.float64)
    soft = np.logaddexp(0, precise)
    wanted = {"mish": precise * np.tanh(soft), "softplus": soft, "swish": precise * np.exp(-np.logaddexp(0, -precise))}
    np.testing.assert_allclose(values(model, points), wanted[name.partition(",")[0]], rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("body", ["y = Swish<alpha = 2.0>(x)", "a = Softplus(x)  t = Tanh(a)  y = Mul(t, a)"])
def test_other_formulas_stay(body: str) -> None:
    model = graph(body, 24)
    spell_out_activations.apply(model)
    assert "Tanh" in ops(model) or "Swish" in ops(model)
