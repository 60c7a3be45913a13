"""Transposes go where they can, values stay, and there are never more of them."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_networks import SIZE, Builder, ops, outputs

from chipwise.optimize import move_transposes
from chipwise.optimize.minimum_cut import minimum_cut

LAST, FIRST = [0, 2, 3, 1], [0, 3, 1, 2]
MANY = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def optimized(builder: Builder, rank: int = 4) -> tuple[ir.Model, str]:
    """What the pass makes of a graph; the values are the same, bit for bit."""
    model, x = builder.model(rank), builder.sample()
    before, transposes = outputs(model, x), ops(model).count("Transpose")
    said = move_transposes.apply(model)
    for got, want in zip(outputs(model, x), before, strict=True):
        np.testing.assert_array_equal(got, want)
    assert ops(model).count("Transpose") <= transposes
    return model, said


def test_a_layer_with_channels_last_between_convolutions() -> None:
    b = Builder(0)
    b.conv(4, 3)
    b.node("Transpose", b.value, perm=LAST)
    b.node("Relu", b.value)
    b.node("Add", b.value, b.integers(4))
    b.node("Transpose", b.value, perm=FIRST)
    b.conv(2, 1)
    model, said = optimized(b)
    assert said == "removed 2 of 2 transposes"
    assert ops(model) == ["Conv", "Relu", "Add", "Conv"]


def test_a_residual_network_as_keras_exports_it() -> None:
    b = Builder(1, channels=4)
    b.node("Transpose", b.value, perm=LAST)
    for _ in range(2):
        before = b.node("Relu", b.value)
        b.node("Transpose", before, perm=FIRST)
        b.node("Pad", b.value, b.keep(np.array([0, 0, 0, 0, 0, 0, 1, 1]), np.int64))
        b.node("Conv", b.value, b.integers(4, 4, 2, 2))
        b.node("Transpose", b.value, perm=LAST)
        b.node("Add", before, b.node("Mul", b.value, b.integers(4)))
    b.node("ReduceSum", b.value, b.keep(np.array([1, 2]), np.int64), keepdims=0)
    model, said = optimized(b, 2)
    assert said == "removed 5 of 5 transposes"
    assert "Transpose" not in ops(model)


@pytest.mark.parametrize("steps", [("Sigmoid", "Mul"), ("Softmax", "Mul"), ("Relu", "Concat")])
def test_two_paths_move_together(steps: tuple[str, str]) -> None:
    b = Builder(2)
    before = b.node("Transpose", b.value, perm=LAST)
    b.node(steps[0], b.value, **({"axis": 1} if steps[0] == "Softmax" else {}))
    b.node(steps[1], b.value, before, **({"axis": -1} if steps[1] == "Concat" else {}))
    b.node("Transpose", b.value, perm=FIRST)
    model = b.model()
    assert move_transposes.apply(model) == "removed 2 of 2 transposes"
    assert ops(model) == list(steps)
    attributes = model.graph[-1].attributes
    assert "axis" not in attributes or attributes["axis"].as_int() == 1


@pytest.mark.parametrize("reshape", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_weights_behind_a_flatten_take_the_order(reshape: bool, transposed: bool) -> None:
    b = Builder(3, channels=3)
    b.node("Transpose", b.value, perm=LAST)
    values = 3 * SIZE * SIZE
    b.node("Reshape", b.value, b.keep(np.array([0, -1]), np.int64)) if reshape else b.node("Flatten", b.value)
    if transposed:
        b.node("Gemm", b.value, b.integers(5, values), b.integers(5), transB=1)
    else:
        b.node("MatMul", b.value, b.integers(values, 5))
    model, _ = optimized(b, 2)
    assert ops(model)[0] in ("Flatten", "Reshape")


def test_flags_of_a_matrix_product() -> None:
    b = Builder(4)
    b.node("Flatten", b.value)
    b.node("Transpose", b.value, perm=[1, 0])
    b.node("Relu", b.value)
    b.node("Gemm", b.value, b.integers(3 * SIZE * SIZE, 4), transA=1)
    model, said = optimized(b, 2)
    assert (said, ops(model)) == ("removed 1 of 1 transpose", ["Flatten", "Relu", "Gemm"])


def test_axes_of_one_become_a_reshape() -> None:
    b = Builder(5)
    b.node("ReduceSum", b.value, b.keep(np.array([2, 3]), np.int64), keepdims=1)
    b.node("Transpose", b.value, perm=LAST)
    b.node("Cos", b.value)
    model, said = optimized(b)
    assert (said, ops(model)) == ("removed 1 of 1 transpose", ["ReduceSum", "Reshape", "Cos"])


def test_an_output_keeps_its_name_and_its_order() -> None:
    b = Builder(6)
    b.node("Transpose", b.value, perm=LAST)
    b.node("Transpose", b.node("Relu", b.value), perm=FIRST)
    b.node("Conv", b.value, b.integers(3, 3, 1, 1))
    b.node("Relu", b.node("Transpose", b.value, perm=LAST))
    name = b.value
    model, said = optimized(b)
    assert said == "removed 2 of 3 transposes"
    assert [value.name for value in model.graph.outputs] == [name]


def _alone(b: Builder) -> None:
    b.node("Transpose", b.value, perm=LAST)


def _depth_to_space(b: Builder) -> None:
    b.node("Reshape", b.value, b.keep(np.array([0, 3, 2, 3, 2, 3]), np.int64))
    b.node("Transpose", b.value, perm=[0, 1, 3, 5, 2, 4])
    b.node("Reshape", b.value, b.keep(np.array([0, 12, 3, 3]), np.int64))


def _last_axis(b: Builder) -> None:
    """A softmax over neighbouring values is fast; over channels far apart it is slow."""
    b.node("Softmax", b.node("Transpose", b.value, perm=LAST), axis=-1)
    b.node("Transpose", b.value, perm=FIRST)


def _flatten_that_is_read_twice(b: Builder) -> None:
    b.node("Flatten", b.node("Transpose", b.value, perm=LAST))
    b.node("Gemm", b.node("Cos", b.value), b.integers(3 * SIZE * SIZE, 2))


@pytest.mark.parametrize("block", [_alone, _depth_to_space, _last_axis, _flatten_that_is_read_twice])
def test_looks_alike(block: object) -> None:
    b = Builder(7)
    block(b)
    model = b.model(4 if block is not _flatten_that_is_read_twice else 2)
    before = ops(model)
    assert move_transposes.apply(model) == ""
    assert ops(model) == before


def test_what_a_subgraph_reads_keeps_its_order() -> None:
    text = """<ir_version: 8, opset_import: ["": 18]>
        g (float[2, 3, 4, 5] x, bool c) => (float[2, 3, 4, 5] y, float[2, 4, 5, 3] z) {
        a = Transpose<perm = [0, 2, 3, 1]>(x)  b = Relu(a)  y = Transpose<perm = [0, 3, 1, 2]>(b)
        z = If(c) <then_branch = t () => (float[2, 4, 5, 3] p) { p = Neg(b) },
                   else_branch = e () => (float[2, 4, 5, 3] q) { q = Identity(b) }>
    }"""
    proto = onnx.parser.parse_model(text)
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    feed = {"x": x, "c": np.array(True)}
    before = onnx.reference.ReferenceEvaluator(proto).run(None, feed)
    model = ir.serde.deserialize_model(proto)
    move_transposes.apply(model)
    after = onnx.reference.ReferenceEvaluator(ir.to_proto(model)).run(None, feed)
    for got, want in zip(after, before, strict=True):
        np.testing.assert_array_equal(got, want)
    assert ops(model).count("Transpose") == 1


@pytest.mark.parametrize(
    "text",
    [
        '<ir_version: 8, opset_import: ["": 6]> g (float[2, 3] x) => (float[2, 3] y) '
        "{ a = Transpose<perm = [1, 0]>(x)  y = Transpose<perm = [1, 0]>(a) }",
        '<ir_version: 8, opset_import: ["": 18]> g (float[2, 3] x) => (float[2, 3] y) '
        "{ a = own.Transpose<perm = [1, 0]>(x)  y = own.Transpose<perm = [1, 0]>(a) }",
    ],
)
def test_other_operators_are_left_alone(text: str) -> None:
    model = ir.serde.deserialize_model(onnx.parser.parse_model(text))
    assert move_transposes.apply(model) == ""
    assert len(model.graph) == 2


STEPS = ("transpose", "relu", "scale", "add", "concat", "pad", "slice", "split", "sum", "gate", "conv")


def _shape(shape: tuple[int, ...], perm: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(shape[axis] for axis in perm)


def random_graph(steps: list[tuple[str, int]], seed: int) -> Builder:
    """A graph of values in many orders; each step reads values made before, by number."""
    b = Builder(seed)
    made = [("x", (2, 3, SIZE, SIZE))]
    for step, pick in steps:
        name, shape = made[pick % len(made)]
        axis = 1 + pick % 3
        if step == "transpose":
            perm = tuple((LAST, FIRST, [0, 1, 3, 2])[pick % 3])
            made.append((b.node("Transpose", name, perm=perm), _shape(shape, perm)))
        elif step == "relu":
            made.append((b.node("Relu", name), shape))
        elif step == "scale":
            made.append((b.node("Mul", b.integers(*shape[4 - pick % 4 :]), name), shape))
        elif step in ("add", "concat"):
            other = next((each for each, size in reversed(made) if size == shape), name)
            grown = (*shape[:axis], 2 * shape[axis], *shape[axis + 1 :]) if step == "concat" else shape
            more = {"axis": axis - 4} if step == "concat" else {}
            made.append((b.node(step.title(), name, other, **more), grown))
        elif step == "pad":
            pads = np.zeros(8, int)
            pads[axis], pads[4 + axis] = 1, 2
            grown = (*shape[:axis], shape[axis] + 3, *shape[axis + 1 :])
            made.append((b.node("Pad", name, b.keep(pads, np.int64)), grown))
        elif step in ("slice", "split") and shape[axis] > 1:
            rest = shape[axis] - 1
            shorter = (*shape[:axis], rest, *shape[axis + 1 :])
            if step == "slice":
                bounds = [b.keep(np.array([at]), np.int64) for at in (1, shape[axis], axis)]
                made.append((b.node("Slice", name, *bounds), shorter))
            else:
                b.nodes.append(
                    onnx.helper.make_node(
                        "Split",
                        [name, b.keep(np.array([1, rest]), np.int64)],
                        [f"s{len(b.nodes)}", f"t{len(b.nodes)}"],
                        axis=axis,
                    )
                )
                made.append((f"t{len(b.nodes) - 1}", shorter))
        elif step == "sum":
            axes = b.keep(np.array([axis]), np.int64)
            made.append((b.node("ReduceSum", name, axes, keepdims=1), (*shape[:axis], 1, *shape[axis + 1 :])))
        elif step == "gate":
            made.append((b.node("Mul", b.node("Sign", name), name), shape))
        elif step == "conv":
            made.append((b.node("Conv", name, b.integers(2, shape[1], 1, 1)), (2, 2, *shape[2:])))
    name, shape = made[-1]
    b.node("Transpose", name, perm=[LAST, FIRST, [0, 2, 1, 3], [0, 1, 2, 3]][seed % 4])
    return b


@MANY
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 11)), min_size=1, max_size=14), st.integers(0, 2**16))
def test_random_graphs_keep_their_values(steps: list[tuple[str, int]], seed: int) -> None:
    optimized(random_graph(steps, seed))


@MANY
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 5)), max_size=14))
def test_a_cut_is_a_cheapest_one(edges: list[tuple[int, int, int]]) -> None:
    def cost(side: set[int]) -> int:
        return sum(price for tail, head, price in edges if tail not in side and head in side)

    found = minimum_cut(7, edges)
    sides = [{1, *(node for node in range(2, 7) if bits >> node & 1)} for bits in range(0, 128, 4)]
    assert 0 not in found
    assert 1 in found
    assert cost(found) == min(map(cost, sides))
    assert len(found) == min(len(side) for side in sides if cost(side) == cost(found))
