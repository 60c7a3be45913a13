"""Linear layers in a row are collapsed where that takes less work, and only then."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_networks import Builder, after, integers, network, ops, outputs, parse

from chipwise.optimize import collapse_chains, pipeline

collapsed = partial(after, collapse_chains.apply)

W = {
    "wide": integers(16, 4, 1, 1),
    "thin": integers(4, 16, 1, 1, seed=1),
    "thin3": integers(4, 16, 3, 3, seed=2),
    "wide3": integers(16, 4, 3, 3, seed=2),
    "b16": integers(16),
    "b4": integers(4),
    "depth": integers(4, 1, 3, 3),
    "narrow": integers(1, 4, 1, 1),
    "back": integers(4, 1, 1, 1),
    "one": integers(4, 1, 1),
    "up": integers(4, 16, 1, 1, seed=3),
}
IMAGE = ("N", 4, 6, 6)
FREE = ("N", 4, "H", "W")
CUT = ["Conv", "Relu", "Conv"]
DEEP = ["Gemm", "Add", "MatMul", "ReduceMax"]


@pytest.mark.parametrize("shape", [IMAGE, FREE])
@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("a = Conv(x, wide, b16) y = Conv(a, thin, b4)", ["Conv"]),
        ("a = Conv <pads = [1, 1, 1, 1]> (x, wide3, b16) y = Conv(a, thin)", ["Conv"]),
        ("a = Conv(x, wide) y = Conv <pads = [1, 1, 1, 1]> (a, thin3, b4)", ["Conv"]),
        ("a = Conv(x, wide, b16) y = Conv(a, thin3)", ["Conv"]),
        ("a = Conv(x, wide) b = Conv(a, thin) c = Conv(b, wide) y = Conv(c, thin)", ["Conv"]),
        ("a = Conv(x, wide) b = Relu(a) c = Conv(b, thin) d = Conv(c, wide) y = Conv(d, thin)", CUT),
        ("a = Conv(x, wide) b = Mul(a, two) c = Add(b, two) y = Conv(c, thin)", ["Conv"]),
        ("a = Mul(x, one) b = Add(a, one) y = Conv(b, wide)", ["Conv"]),
    ],
)
def test_rows_become_one_layer(body: str, wanted: list[str], shape: tuple[int | str, ...]) -> None:
    assert collapsed(body, shape, two=np.array(2.0), **W) == wanted


@pytest.mark.parametrize(
    "body",
    [
        "a = Conv(x, narrow) y = Conv(a, back)",  # a bottleneck is less work than what it computes
        "a = Conv(x, wide, b16) y = Conv <pads = [1, 1, 1, 1]> (a, thin3)",  # the border would see the bias
        "a = Conv <pads = [1, 1, 1, 1]> (x, wide3) y = Conv <pads = [1, 1, 1, 1]> (a, thin3)",  # and what is beyond it
        "a = Conv(x, wide) b = Relu(a) y = Conv(b, thin)",
        "a = Conv(x, wide) b = Conv(a, thin) c = ReduceSum <keepdims = 1> (a, axis) y = Add(b, c)",  # read twice
        "a = Conv <pads = [1, 1, 1, 1], group = 4> (x, depth) y = Conv(a, wide)",  # depthwise separable
        "a = Conv(x, wide) b = Add(a, row) y = Conv(b, thin)",  # not one summand for each channel
        "a = Conv(x, wide) b = Add(a, a) y = Conv(b, thin)",
        'a = Conv <auto_pad = "SAME_UPPER", strides = [2, 2]> (x, wide3) y = Conv(a, thin)',
        "a = Conv(x, wide) b = Transpose <perm = [0, 1, 3, 2]> (a) y = Conv(b, thin)",
    ],
)
def test_what_must_stay_stays(body: str) -> None:
    more = {"axis": np.array([1]), "row": integers(6)}
    before = len(ops(parse(f"g (double[N, 4, 6, 6] x) => (double[A, B, C, D] y) {{ {body} }}", **W, **more)))
    assert len(collapsed(body, IMAGE, **W, **more)) == before


def test_three_layers_of_which_no_two_are_worth_it() -> None:
    # 24 + 48 + 24 multiply-adds: either pair loses its groups and has 96, all three have 64.
    weights = {
        "one": integers(12, 2, 1, 1),
        "two": integers(12, 4, 1, 1, seed=1),
        "three": integers(8, 3, 1, 1, seed=2),
    }
    body = "a = Conv <group = 4> (x, one) b = Conv <group = 3> (a, two) y = Conv <group = 4> (b, three)"
    assert collapsed(body, ("N", 8, 6, 6), **weights) == ["Conv"]
    cut = body.replace("y = Conv", "c = Relu(b) y = Conv").replace("(b, three", "(c, three")
    assert collapsed(cut, ("N", 8, 6, 6), **weights).count("Conv") == 3
    cut = body.replace("b = Conv", "c = Relu(a) b = Conv").replace("(a, two", "(c, two")
    assert collapsed(cut, ("N", 8, 6, 6), **weights).count("Conv") == 3


@pytest.mark.parametrize("opset", [7, 13, 20])
@pytest.mark.parametrize(
    ("body", "shape", "wanted"),
    [
        ("a = MatMul(x, up2) b = Add(a, c16) c = MatMul(b, down2) y = Add(c, c4)", ("N", 4), ["MatMul", "Add"]),
        ("a = MatMul(x, up2) y = MatMul(a, down2)", ("N", 5, 4), ["MatMul"]),
        ("a = Gemm(x, up2, c16) y = Gemm <transB = 1> (a, down2t, c4)", ("N", 4), ["Gemm"]),
        ("a = MatMul(x, up2) b = Add(c16, a) y = Gemm(b, down2, c1)", ("N", 4), ["Gemm"]),
        ("a = MatMul(x, low) y = MatMul(a, high)", ("N", 4), ["MatMul", "MatMul"]),
        ("a = Gemm <alpha = 2.0> (x, up2, c16) y = MatMul(a, down2)", ("N", 4), ["Gemm", "MatMul"]),
        ("a = MatMul(x, up2) b = Add(a, rows) y = MatMul(b, down2)", ("N", 2, 4), ["MatMul", "Add", "MatMul"]),
        ("a = Gemm(x, up2, c16) b = Add(a, deep) c = MatMul(b, down2) y = ReduceMax(c)", ("N", 4), DEEP),
        ("a = MatMul(up, x) y = MatMul(a, down2)", (4, 16), ["MatMul", "MatMul"]),
    ],
)
def test_matrix_products(body: str, shape: tuple[int | str, ...], wanted: list[str], opset: int) -> None:
    up, down = integers(4, 16), integers(16, 4, seed=1)
    weights = {"up2": up, "down2": down, "down2t": down.T, "c16": integers(16), "c4": integers(4), "c1": integers(1)}
    weights |= {"low": integers(4, 1), "high": integers(1, 4), "rows": integers(2, 16), "deep": integers(1, 1, 16)}
    assert collapsed(body, shape, opset, up=integers(3, 4), **weights) == wanted


@pytest.mark.parametrize("batch", [1, 2])
def test_a_factor_that_adds_a_dimension_stays(batch: int) -> None:
    text = "g (double[4, 6, 6] x) => (double[A, B, C, D] y) { a = Mul(x, deep) y = Conv(a, wide) }"
    model = parse(text, wide=W["wide"], deep=np.full((batch, 1, 1, 1), 2.0))
    assert collapse_chains.apply(model) == ""


def test_weights_that_would_overflow_stay() -> None:
    big = np.full((4, 4, 1, 1), 1e30, np.float32)
    text = "g (float[N, 4, 6, 6] x) => (float[N, 4, 6, 6] y) { a = Conv(x, w) y = Conv(a, w) }"
    model = parse(text, w=big)
    assert collapse_chains.apply(model) == ""
    assert ops(model) == ["Conv", "Conv"]


def test_a_value_read_in_a_subgraph_stays() -> None:
    model = parse("""g (double[N, 4, 6, 6] x, bool c) => (double[N, 4, 6, 6] y) {
        a = Conv(x, wide) b = Conv(a, thin)
        d = If (c) <then_branch = t () => (double[N, 16, 6, 6] e) { e = Neg(a) },
                    else_branch = f () => (double[N, 16, 6, 6] h) { h = Abs(a) }>
        i = Conv(d, thin) y = Add(b, i) }""", **{name: W[name] for name in ("wide", "thin")})  # fmt: skip
    assert collapse_chains.apply(model) == ""


def test_what_a_caller_reads_stays() -> None:
    text = "g (double[N, 4, 6, 6] x) => (double[N, 4, 6, 6] y, double[N, 16, 6, 6] a) "
    model = parse(text + "{ a = Conv(x, wide) y = Conv(a, thin) }", wide=W["wide"], thin=W["thin"])
    assert collapse_chains.apply(model) == ""
    text = "g (double[N, 4, 6, 6] x, double[16, 4, 1, 1] wide) => (double[N, 4, 6, 6] y) "
    model = parse(text + "{ a = Conv(x, wide) y = Conv(a, thin) }", wide=W["wide"], thin=W["thin"])
    assert collapse_chains.apply(model) == "", "a weight that a caller may give"


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(widths=st.lists(st.integers(1, 12), min_size=2, max_size=6), seed=st.integers(0, 2**20), shared=st.booleans())
def test_rows_are_cut_where_that_is_least(widths: list[int], seed: int, shared: bool) -> None:
    b = Builder(seed, 3)
    for width in widths:
        b.conv(width, 1, bias=shared)
    model, x = b.model(), b.sample()
    before = outputs(model, x)[0]
    sizes = [3, *widths]
    least = [0] * len(sizes)
    for end in range(1, len(sizes)):
        least[end] = min(least[start] + sizes[start] * sizes[end] for start in range(end))
    collapse_chains.apply(model)
    np.testing.assert_array_equal(outputs(model, x)[0], before)
    kept = [node.inputs[1].const_value.numpy().size for node in model.graph]
    assert sum(kept) == least[-1]


@pytest.mark.parametrize(
    ("blocks", "tail", "seed"),
    [
        (["conv", "siblings", "dead", "crossed", "twice", "pruned"], "image", 808132),
        (["wide", "adapter", "pruned", "shuffled", "adapter", "thin", "thin", "pruned"], "sums", 928333),
    ],
)
def test_two_parts_of_one_row_are_collapsed(blocks: list[str], tail: str, seed: int) -> None:
    model, x = network(blocks, tail, seed)
    optimized, done = pipeline.optimize(model)
    assert not any("rolled back" in line for line in done), done
    for got, want in zip(outputs(optimized, x), outputs(model, x), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9)
