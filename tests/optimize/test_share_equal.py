"""Equal weights and computations are shared, and nothing else."""

from __future__ import annotations

import time

import numpy as np
import onnx
import onnx.reference
import onnx_ir as ir
import pytest
from random_networks import ops, outputs, parse

from chipwise.optimize import pipeline, share_equal

X = np.arange(8.0).reshape(2, 4)


def test_equal_weights_of_any_size_and_then_equal_nodes() -> None:
    square = np.random.default_rng(0).integers(-2, 3, (4, 4)) * 1.0
    model = parse(
        "g (double[2, 4] x) => (double[2, 4] y) { a = MatMul(x, w)  b = MatMul(x, v)"
        "  c = MatMul(a, u)  y = Add(b, c) }",
        **dict.fromkeys("wvu", square),
    )
    want = outputs(model, X)[0]
    assert share_equal.apply(model) == "shared 1 repeated computation and 2 equal weights"
    assert ops(model) == ["MatMul", "MatMul", "Add"]
    assert len(model.graph.initializers) == 1
    np.testing.assert_array_equal(outputs(model, X)[0], want)
    assert share_equal.apply(model) == ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.zeros(4), -np.zeros(4)),  # 1 / x tells them apart
        (np.zeros((1, 4)), np.zeros(4)),
        (np.full(4, np.nan), np.arange(4.0)),
    ],
)
def test_weights_that_only_look_equal_stay(one: np.ndarray, other: np.ndarray) -> None:
    model = parse(
        "g (double[2, 4] x) => (double[2, 4] y) { a = Add(x, w)  b = Sub(x, v)  y = Add(a, b) }", w=one, v=other
    )
    assert share_equal.apply(model) == ""
    assert len(model.graph.initializers) == 2


@pytest.mark.parametrize("kind", [ir.DataType.BFLOAT16, ir.DataType.FLOAT16, ir.DataType.INT4, ir.DataType.STRING])
def test_any_element_type(kind: ir.DataType) -> None:
    model = parse("g (double[2, 4] x) => (double[2, 4] y) { y = Neg(x) }")
    array = np.array(["a", "b"], object) if kind == ir.DataType.STRING else np.ones(2).astype(kind.numpy())
    for name in "wv":
        tensor = ir.StringTensor(array) if kind == ir.DataType.STRING else ir.Tensor(array, dtype=kind)
        model.graph.register_initializer(ir.Value(name=name, const_value=tensor))
    assert bool(share_equal.apply(model)) == (kind != ir.DataType.STRING)


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        ("a = RandomUniformLike(x)  b = RandomUniformLike(x)  y = Sub(a, b)", 3),
        ("a = Bernoulli(x)  b = Bernoulli(x)  y = Sub(a, b)", 3),
        ("r = Constant <value_float = 0.5> ()  t = Constant <value_ints = [1]> ()  on = Cast <to = 9> (t)"
         "  a = Dropout(x, r, on)  b = Dropout(x, r, on)  y = Sub(a, b)", 6),
        ("a = Softmax <axis = 0> (x)  b = Softmax <axis = 1> (x)  y = Sub(a, b)", 3),
        ("a = Sub(x, w)  b = Sub(w, x)  y = Sub(a, b)", 3),
        ("a = Neg(x)  b = Neg(x)  y = Sub(a, b)", 2),
        ("a = Neg(x)  b = Neg(a)  c = Neg(x)  d = Neg(c)  y = Sub(b, d)", 3),
        ("a, b = Split <axis = 1, num_outputs = 2> (x)"
         "  c, d = Split <axis = 1, num_outputs = 2> (x)  e = Sub(a, d)  y = Concat <axis = 1> (e, b)", 3),
    ],
)  # fmt: skip
def test_only_what_repeats_itself_is_shared(text: str, nodes: int) -> None:
    model = parse(f"g (double[2, 4] x) => (double[2, 4] y) {{ {text} }}", w=np.ones(4))
    repeats = len(ops(model)) - nodes
    said = share_equal.apply(model)
    assert len(ops(model)) == nodes
    assert bool(said) == (repeats > 0)
    assert not any("chipwise" in name for node in model.graph for name in node.attributes)
    if not any(op in text for op in ("Random", "Bernoulli", "Dropout")):
        assert np.isfinite(outputs(model, X)[0]).all()


def test_operators_of_others_may_answer_differently_each_time() -> None:
    model = parse("g (double[2, 4] x) => (double[2, 4] y) { a = Neg(x)  b = Neg(x)  y = Sub(a, b) }")
    for node in list(model.graph)[:2]:
        node.domain = "com.example"
    assert share_equal.apply(model) == ""


def test_outputs_of_the_graph_keep_their_names_and_values() -> None:
    text = """g (double[2, 4] x) => (double[2, 4] y, double[2, 4] z, double[2, 4] q) {
        p = Exp(x)  y = Abs(p)  z = Abs(p)  r = Abs(p)  q = Sub(r, x) }"""
    model = parse(text)
    want = outputs(model, X)
    assert share_equal.apply(model)
    assert [value.name for value in model.graph.outputs] == ["y", "z", "q"]
    for got, wanted in zip(outputs(model, X), want, strict=True):
        np.testing.assert_array_equal(got, wanted)
    assert sorted(ops(model)) == ["Abs", "Exp", "Identity", "Sub"]


def test_a_branch_goes_on_reading_what_was_shared() -> None:
    text = """g (double[2, 4] x, bool t) => (double[2, 4] y) { a = Neg(x)  b = Neg(x)  d = Mul(a, w)  y = If (t) <
        then_branch = g1 () => (double[2, 4] p) { p = Add(b, v) }, else_branch = g2 () => (double[2, 4] q) {
        q = Sub(d, b) }> }"""
    model = parse(text, w=np.ones(4), v=np.ones(4))
    assert share_equal.apply(model) == "shared 1 repeated computation and 1 equal weight"
    proto = ir.serde.serialize_model(model)
    run = onnx.reference.ReferenceEvaluator(proto).run
    for branch in (True, False):
        want = 1 - X if branch else -X + X
        np.testing.assert_array_equal(run(None, {"x": X, "t": np.array(branch)})[0], want)


def test_an_input_with_a_default_is_no_weight() -> None:
    model = parse("g (double[2, 4] x) => (double[2, 4] y) { a = Add(x, w)  y = Add(a, v) }", w=np.ones(4), v=np.ones(4))
    model.graph.inputs.append(model.graph.initializers["w"])
    assert share_equal.apply(model) == ""


def test_many_weights_take_no_longer_than_reading_them() -> None:
    model = parse("g (double[2, 4] x) => (double[2, 4] y) { y = Neg(x) }")
    for number in range(2000):
        array = np.full(5000, number // 2, np.float32)
        model.graph.register_initializer(ir.Value(name=f"w{number}", const_value=ir.tensor(array)))
    start = time.perf_counter()
    assert share_equal.apply(model) == "shared 1000 equal weights"
    assert time.perf_counter() - start < 5  # comparing each with each would take minutes


def test_it_runs_with_the_others() -> None:
    assert share_equal in pipeline.PASSES
