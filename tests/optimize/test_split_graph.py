"""Parts of a graph: each is valid, and one after the other they compute what the whole does."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.reference
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import network, networks, outputs, parse

from chipwise.optimize.split_graph import GraphPart, split


def run(parts: list[GraphPart], values: dict[str, np.ndarray], results: list[str]) -> list[np.ndarray]:
    """Run parts by the reference evaluator."""
    values = dict(values)
    for part in parts:
        proto = ir.serde.serialize_model(part.model)
        onnx.checker.check_model(proto, full_check=True)
        assert [value.name for value in proto.graph.input] == list(part.inputs)
        made = onnx.reference.ReferenceEvaluator(proto).run(None, {name: values[name] for name in part.inputs})
        values.update(zip(part.outputs, made, strict=True))
    return [values[name] for name in results]


@settings(max_examples=60, deadline=None)
@given(made=networks(), data=st.data())
def test_random_networks_cut_at_random_places_give_the_same(
    made: tuple[ir.Model, np.ndarray], data: st.DataObject
) -> None:
    model, x = made
    before = ir.serde.serialize_model(model).SerializeToString(deterministic=True)
    names = [node.outputs[0].name for node in list(model.graph)[:-1]]
    until = data.draw(st.lists(st.sampled_from(names), unique=True, max_size=4) if names else st.just([]))
    until.sort(key=names.index)
    parts = split(model, until)
    assert len(parts) == len(until) + 1
    assert sum(len(part.model.graph) for part in parts) == len(model.graph)
    got = run(parts, {model.graph.inputs[0].name: x}, [value.name for value in model.graph.outputs])
    for one, other in zip(got, outputs(model, x), strict=True):
        np.testing.assert_array_equal(one, other)
    assert ir.serde.serialize_model(model).SerializeToString(deterministic=True) == before


def test_weights_are_in_the_parts_that_read_them() -> None:
    model = parse(
        "g (float[N, 2] x) => (float[N, 2] y) { a = Mul(x, w)  b = Add(a, v)  y = Mul(b, w) }",
        w=np.ones(2, np.float32),
        v=np.ones(2, np.float32),
    )
    parts = split(model, ["a", "b"])
    assert [sorted(part.model.graph.initializers) for part in parts] == [["w"], ["v"], ["w"]]
    assert [(part.inputs, part.outputs) for part in parts] == [(("x",), ("a",)), (("a",), ("b",)), (("b",), ("y",))]


def test_a_value_may_cross_several_parts_and_leave_early() -> None:
    model = parse(
        "g (float[N, 2] x) => (float[N, 2] a, float[N, 2] y) { a = Neg(x)  b = Relu(a)  c = Abs(b)  y = Add(c, a) }"
    )
    parts = split(model, ["a", "b"])
    assert [(part.inputs, part.outputs) for part in parts] == [
        (("x",), ("a",)), (("a",), ("b",)), (("b", "a"), ("y",))
    ]  # fmt: skip
    x = np.array([[1, -2]], np.float32)
    got = run(parts, {"x": x}, ["a", "y"])
    np.testing.assert_array_equal(got[1], [[-1, 4]])


def test_what_a_branch_reads_crosses_too() -> None:
    model = parse(
        "g (float[2] x, bool c) => (float[2] y) { a = Neg(x)  b = Abs(x)  d = Relu(b)  e = If(c)"
        " <then_branch = t () => (float[2] p) { p = Add(a, d) }, else_branch = u () => (float[2] q) { q = Sub(a, w) }>"
        "  y = Neg(e) }",
        w=np.ones(2, np.float32),
    )
    parts = split(model, ["a", "d"])
    assert set(parts[2].inputs) == {"a", "d", "c"}
    assert list(parts[2].model.graph.initializers) == ["w"]
    x = np.array([1, -2], np.float32)
    for choice in (True, False):
        feeds = {"x": x, "c": np.array(choice)}
        want = onnx.reference.ReferenceEvaluator(ir.serde.serialize_model(model)).run(None, feeds)
        np.testing.assert_array_equal(run(parts, feeds, ["y"])[0], want[0])


def test_constants_are_in_every_part_that_reads_them() -> None:
    model = parse(
        "g (float[N, 2] x) => (float[N, 2] y)"
        " { k = Constant<value = float[1] {2}>()  a = Mul(x, k)  b = Neg(a)  y = Mul(b, k) }"
    )
    parts = split(model, ["a", "b"])
    assert [part.inputs for part in parts] == [("x",), ("a",), ("b",)]
    np.testing.assert_array_equal(run(parts, {"x": np.ones((1, 2), np.float32)}, ["y"])[0], [[-4, -4]])


@pytest.mark.parametrize(
    ("until", "said"),
    [
        (["b", "a"], "do not follow"),
        (["a", "a"], "do not follow"),
        (["y"], "nothing follows"),
        (["nobody"], "no node"),
        (["x"], "no node"),
        (["s"], "not known"),
        (["b"], ""),
    ],
)
def test_impossible_cuts_are_refused(until: list[str], said: str) -> None:
    model = parse(
        "g (float[2] x, int64[1] n) => (float[2] y)"
        " { a = Neg(x)  b = Abs(a)  s = SplitToSequence(b)  t = SequenceAt(s, n)  y = Reshape(t, w) }",
        w=np.array([2]),
    )
    if not said:
        assert len(split(model, until)) == 2
        return
    with pytest.raises(ValueError, match=said):
        split(model, until)


def test_functions_go_where_they_are_called() -> None:
    text = """<ir_version: 8, opset_import: ["": 18, "own": 1, "else": 3]>
        g (float[N] x) => (float[N] y) <float[N] a> { a = Neg(x)  y = own.twice(a) }
        <domain: "own", opset_import: ["": 18]> twice (v) => (w) { w = Add(v, v) }"""
    model = ir.serde.deserialize_model(onnx.parser.parse_model(text))
    first, second = split(model, ["a"])
    assert [len(first.model.functions), len(second.model.functions)] == [0, 1]
    assert [dict(part.model.opset_imports) for part in (first, second)] == [{"": 18}, {"": 18, "own": 1}]
    np.testing.assert_array_equal(run([first, second], {"x": np.ones(2, np.float32)}, ["y"])[0], [-2, -2])


def test_every_block_can_be_cut_behind_its_first_node() -> None:
    model, x = network(["residual", "halves", "excited"], "classes", 1)
    parts = split(model, [model.graph[0].outputs[0].name])
    got = run(parts, {"x": x}, [model.graph.outputs[0].name])
    np.testing.assert_array_equal(got[0], outputs(model, x)[0])
