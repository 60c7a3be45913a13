"""Joins and cuts that undo each other go, and values stay."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_networks import ops

from chipwise.optimize import drop_copies

HEAD = '<ir_version: 8, opset_import: ["": 18]> g (float[N, 2, 6] a, float[N, 4, 6] b, float[N, 4, 6] c) => '
SIZES = {"two_four": [2, 4], "four_two": [4, 2], "one_five": [1, 5], "even": [3, 3]}
SCALARS = {"n0": 0, "n1": 1, "n2": 2, "n3": 3, "n5": 5, "n6": 6, "last": -4, "far": 2**62, "m1": -1, "step": 2}


def graph(body: str, outputs: str = "float[N, M, L] y") -> ir.Model:
    proto = onnx.parser.parse_model(f"{HEAD} ({outputs}) {{ {body} }}")
    read = {name for node in proto.graph.node for name in node.input}
    arrays = {**SIZES, **{name: [value] for name, value in SCALARS.items()}}
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.array(array, np.int64), name) for name, array in arrays.items() if name in read
    )
    onnx.checker.check_model(proto)
    return ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(proto))


def run(model: ir.Model) -> list[np.ndarray]:
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto)
    rng = np.random.default_rng(0)
    feed = {name: rng.standard_normal((3, size, 6)).astype(np.float32) for name, size in (("a", 2), ("b", 4), ("c", 4))}
    return onnx.reference.ReferenceEvaluator(proto).run(None, feed)


def applied(model: ir.Model) -> str:
    before = run(model)
    said = drop_copies.apply(model)
    for got, want in zip(run(model), before, strict=True):
        np.testing.assert_array_equal(got, want)
    return said


JOIN = "j = Concat<axis = 1>(a, b)  "
GONE = {
    "nested": ("j = Concat<axis = 1>(a, b)  k = Concat<axis = -2>(c, j)  y = Concat<axis = 1>(k, a)", ["Concat"]),
    "split and joined": ("p, q = Split<axis = 2>(b, even)  j = Concat<axis = 2>(p, q)  y = Neg(j)", ["Neg"]),
    "split and joined with others": ("p, q = Split<axis = -1>(b, two_four)  y = Concat<axis = 2>(c, p, q)", ["Concat"]),
    "joined and split": (JOIN + "p, q = Split<axis = 1>(j, two_four)  u = Neg(p)  v = Abs(q)  y = Sum(u, u)",
                         ["Neg", "Abs", "Sum"]),
    "sliced part": (JOIN + "s = Slice(j, n2, far, n1)  y = Neg(s)", ["Neg"]),
    "sliced part from the end": (JOIN + "s = Slice(j, last, n6, n1)  y = Neg(s)", ["Neg"]),
    "sliced piece": (JOIN + "s = Slice(j, n3, n5, n1)  y = Neg(s)", ["Slice", "Neg"]),
    "one": ("j = Concat<axis = 1>(a)  y = Neg(j)", ["Neg"]),
}  # fmt: skip


@pytest.mark.parametrize("name", GONE)
def test_copies_go(name: str) -> None:
    body, wanted = GONE[name]
    model = graph(body)
    assert applied(model).startswith("removed ")
    assert ops(model) == wanted


ALIKE = {
    "another axis": "j = Concat<axis = 1>(b, c)  y = Concat<axis = 2>(j, j)",
    "an inner one that others read": JOIN + "k = Neg(j)  y = Concat<axis = 1>(j, c, k)",
    "parts in another order": "p, q = Split<axis = 2>(b, even)  y = Concat<axis = 2>(q, p)",
    "parts along another axis": "p, q = Split<axis = 2>(b, even)  y = Concat<axis = 1>(p, q)",
    "other sizes": JOIN + "p, q = Split<axis = 1>(j, four_two)  u = Neg(p)  v = Neg(q)  y = Concat<axis = 1>(v, u)",
    "a piece of two parts": JOIN + "s = Slice(j, n1, n3, n1)  y = Neg(s)",
    "a slice with steps": JOIN + "s = Slice(j, n2, n6, n1, step)  y = Neg(s)",
    "a slice along another axis": JOIN + "s = Slice(j, n2, n6, n2)  y = Neg(s)",
}


@pytest.mark.parametrize("name", ALIKE)
def test_looks_alike(name: str) -> None:
    model = graph(ALIKE[name])
    before = ops(model)
    assert applied(model) == ""
    assert ops(model) == before


def test_an_output_keeps_its_name() -> None:
    model = graph(JOIN + "y = Slice(j, n0, n2, n1)  z = Concat<axis = 1>(j, c)", "float[N, M, L] y, float[N, O, L] z")
    applied(model)
    assert [value.name for value in model.graph.outputs] == ["y", "z"]
    model = graph(JOIN + "y, z = Split<axis = 1>(j, two_four)", "float[N, M, L] y, float[N, O, L] z")
    assert applied(model) == ""


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.sampled_from("jsknr"), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=9))
def test_random_joins_and_cuts_keep_their_values(steps: list[tuple[str, int, int]]) -> None:
    made, lines = [("a", 2), ("b", 4), ("c", 4)], []
    for number, (step, first, second) in enumerate(steps):
        (x, size), (z, other) = made[-1 - first % len(made)], made[-1 - second % len(made)]
        name = f"v{number}"
        if step == "j":
            lines.append(f"{name} = Concat<axis = {1 if second % 2 else -2}>({x}, {z})")
            made.append((name, size + other))
        elif step == "k":
            lines.append(f"{name} = Concat<axis = 1>({x}, {z}, {x})")
            made.append((name, 2 * size + other))
        elif step == "s" and size == 6:
            sizes = ("two_four", "four_two", "one_five", "even")[second % 4]
            lines.append(f"{name}, w{number} = Split<axis = 1>({x}, {sizes})")
            made += [(name, SIZES[sizes][0]), (f"w{number}", SIZES[sizes][1])]
        elif step == "r" and size > 2:
            begin, end = (("n0", "n2"), ("n2", "far"), ("n1", "n3"), ("m1", "far"), ("n2", "n3"))[second % 5]
            lines.append(f"{name} = Slice({x}, {begin}, {end}, n1)")
            made.append((name, len(range(size)[slice(SCALARS[begin], SCALARS[end])])))
        else:
            lines.append(f"{name} = Neg({x})")
            made.append((name, size))
    lines.append(f"y = Neg({made[-1][0]})")
    applied(graph("  ".join(lines)))
