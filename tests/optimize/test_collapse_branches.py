"""Linear branches that are added up become one layer where that takes no more work, and only then."""

from __future__ import annotations

from functools import partial

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from random_networks import Builder, after, integers, ops, outputs, parse

from chipwise.optimize import collapse_branches

collapsed = partial(after, collapse_branches.apply)

W = {
    "k3": integers(4, 4, 3, 3),
    "k1": integers(4, 4, 1, 1, seed=1),
    "k13": integers(4, 4, 1, 3, seed=2),
    "k31": integers(4, 4, 3, 1, seed=3),
    "d3": integers(4, 1, 3, 3, seed=4),
    "d1": integers(4, 1, 1, 1, seed=5),
    "g3": integers(4, 2, 3, 3, seed=6),
    "wide": integers(16, 4, 1, 1, seed=7),
    "thin": integers(4, 16, 3, 3, seed=8),
    "k2": integers(4, 4, 2, 2, seed=9),
    "gamma": integers(4, seed=10),
    "mean": integers(4, seed=11),
    "var": np.ones(4),
    "b": integers(4, seed=12),
    "few": integers(1, 4, 1, 1, seed=13),
    "many": integers(4, 1, 1, 1, seed=14),
}
NORM = "BatchNormalization <epsilon = 0.0> ({}, gamma, b, mean, var)"
ONE = "pads = [1, 1, 1, 1]"


@pytest.mark.parametrize("shape", [("N", 4, 6, 6), ("N", 4, "H", "W")])
@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (f"a = Conv <{ONE}> (x, k3, b) c = Conv(x, k1) n = {NORM.format('x')} d = Add(a, c) y = Add(d, n)", "Conv"),
        (f"a = Conv <{ONE}> (x, k3) y = Add(x, a)", "Conv"),
        (f"a = Conv <{ONE}> (x, k3) c = Conv(x, k1) y = Sum(a, x, c)", "Conv"),
        (f"a = Conv <{ONE}> (x, k3) c = {NORM.format('a')} d = {NORM.format('x')} y = Add(c, d)", "Conv"),
        (f"a = Conv <{ONE}, group = 4> (x, d3) c = Conv <group = 4> (x, d1, b) d = Add(a, c) y = Add(d, x)", "Conv"),
        (f"a = Conv <{ONE}, group = 2> (x, g3) c = Conv <group = 4> (x, d1, b) y = Add(a, c)", "Conv"),
        (
            "a = Conv <pads = [0, 1, 0, 1]> (x, k13) c = Conv <pads = [1, 0, 1, 0]> (x, k31)"
            f"d = Conv <{ONE}> (x, k3, b) e = Add(a, c) y = Add(e, d)",
            "Conv",
        ),
        (
            f"a = Conv <{ONE}, strides = [2, 2]> (x, k3) c = Conv <strides = [2, 2]> (x, k1) y = Add(a, c)",
            "Conv",
        ),
        (
            f"a = Conv <{ONE}> (x, k3) p = AveragePool <kernel_shape = [2, 2], pads = [1, 1, 0, 0],"
            "count_include_pad = 1> (x) y = Add(p, a)",
            "Conv",
        ),
        (f"a = Conv(x, wide) c = Conv <{ONE}> (a, thin, b) d = Conv(x, k1) y = Add(c, d)", "Conv"),  # 1x1-3x3 branch
        (f"a = Conv <{ONE}> (x, k3) c = Conv(x, k1) d = Relu(x) e = Add(a, d) y = Add(e, c)", "Relu Conv Add"),
        ("a = Conv(x, k1) c = Conv(x, few) d = Conv(c, many) e = Mul(d, two) y = Add(a, e)", "Conv"),  # an adapter
        (f"a = Conv <{ONE}> (x, k3) c = Add(a, x) d = Relu(c) e = Conv(d, k1) y = Add(e, d)", "Conv Relu Conv"),
        (f"a = Conv <{ONE}> (x, k3) c = Conv <{ONE}> (x, k3) y = Add(a, c)", "Conv"),
        (f'a = Conv <auto_pad = "SAME_UPPER"> (x, k2) c = Conv <{ONE}> (x, k3) y = Add(a, c)', "Conv"),
    ],
)  # fmt: skip
def test_branches_become_one_layer(body: str, wanted: str, shape: tuple[int | str, ...]) -> None:
    assert collapsed(body, shape, two=np.array(2.0), **W) == wanted.split()


@pytest.mark.parametrize(
    "body",
    [
        f"a = Conv <{ONE}> (x, k3) c = Relu(x) d = Conv(c, k1) y = Add(a, d)",  # they read different values
        f"a = Conv <{ONE}> (x, k3) c = Conv(x, k1) d = Neg(a) e = Add(a, c) y = Add(d, e)",  # one is read elsewhere
        f"a = Conv <{ONE}, group = 4> (x, d3) c = Conv(x, k1) y = Add(a, c)",  # a dense 3x3 is more work
        "a = Conv <pads = [0, 1, 0, 1]> (x, k13) c = Conv <pads = [1, 0, 1, 0]> (x, k31) y = Add(a, c)",  # 6 taps
        f"a = Conv <{ONE}> (x, k3) c = Conv <pads = [2, 2, 2, 2], dilations = [2, 2]> (x, k3) y = Add(a, c)",
        f"a = Conv <{ONE}> (x, k3) c = Relu(x) y = Add(a, c)",
        "c = Conv(x, few) d = Conv(c, many) y = Add(x, d)",  # the sum is no low-rank layer
        "a = Conv(x, wide, c16) c = Conv <pads = [1, 1, 1, 1]> (a, thin) d = Conv(x, k1) y = Add(c, d)",  # a border
        "a = Conv(x, k1) y = Add(a, b1)",
        "a = Conv <strides = [2, 2]> (x, k1) c = GlobalAveragePool(x) y = Add(a, c)",
        "a = Conv <strides = [6, 6]> (x, k1) c = Conv(x, k1) y = Add(a, c)",  # broadcast
    ],
)
def test_what_must_stay_stays(body: str) -> None:
    more = {"c16": integers(16), "b1": integers(4, 1, 1)}
    before = ops(parse(f"g (double[N, 4, 6, 6] x) => (double[A, B, C, D] y) {{ {body} }}", **W, **more))
    assert collapsed(body, ("N", 4, 6, 6), **W, **more) == before


def test_sizes_that_agree_for_some_images_only() -> None:
    body = f"a = Conv <{ONE}, strides = [2, 2]> (x, k3) c = Conv <strides = [2, 2]> (x, k2) y = Add(a, c)"
    assert collapsed(body, ("N", 4, 6, 6), **W) == ["Conv"]
    assert collapsed(body, ("N", 4, "H", "W"), **W) == ["Conv", "Conv", "Add"]


@pytest.mark.parametrize(
    ("body", "shape", "wanted"),
    [
        ("a = MatMul(x, w) c = MatMul(x, down) d = MatMul(c, up) y = Add(a, d)", ("N", 5, 8), "MatMul"),
        ("a = MatMul(x, w) e = Add(a, b8) c = MatMul(x, down) d = MatMul(c, up) f = Mul(d, two) y = Add(e, f)",
         ("N", 8), "MatMul Add"),
        ("a = Gemm(x, w, b8) c = Gemm(x, down) d = Gemm(c, up) y = Add(d, a)", ("N", 8), "Gemm"),
        ("a = Gemm(x, w, b8) y = Add(x, a)", ("N", 8), "Gemm"),
        ("c = MatMul(x, down) d = MatMul(c, up) e = MatMul(x, down) f = MatMul(e, up) h = MatMul(x, down)"
         "i = MatMul(h, up) j = MatMul(x, down) k = MatMul(j, up) l = MatMul(x, down) m = MatMul(l, up)"
         "y = Sum(d, f, i, k, m)",
         ("N", 8), "MatMul"),  # only all five are as much work as one
        ("c = MatMul(x, down) d = MatMul(c, up) y = Add(x, d)", ("N", 8), "MatMul MatMul Add"),
    ],
)  # fmt: skip
def test_adapters(body: str, shape: tuple[int | str, ...], wanted: str) -> None:
    weights = {"w": integers(8, 8), "down": integers(8, 1, seed=1), "up": integers(1, 8, seed=2), "b8": integers(8)}
    assert collapsed(body, shape, two=np.array(2.0), **weights) == wanted.split()


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), seed=st.integers(0, 2**20))
def test_any_branches(data: st.DataObject, seed: int) -> None:
    """Random kernels, padding, strides, dilations and groups: rarely worth it, so it is forced."""
    b, ends = Builder(seed, 4), []
    strides = data.draw(st.sampled_from([[1, 1], [2, 1], [3, 2]]))
    for _ in range(data.draw(st.integers(2, 3))):
        groups = data.draw(st.sampled_from([1, 2, 4]))
        kernel, dilations = ([data.draw(st.integers(1, high)) for _ in range(2)] for high in (4, 2))
        pads = [data.draw(st.integers(0, 4)) for _ in range(4)]
        if data.draw(st.integers(0, 4)):  # as large as the image
            reach = [(k - 1) * d for k, d in zip(kernel, dilations, strict=True)]
            pads = [r // 2 for r in reach] + [r - r // 2 for r in reach]
        more = [b.integers(4)] if data.draw(st.booleans()) else []
        weight = b.integers(4, 4 // groups, *kernel)
        ends.append(b.node("Conv", "x", weight, *more, group=groups, strides=strides, dilations=dilations, pads=pads))
    b.node("Sum", *ends)
    model = b.model()
    shapes = {tuple(node.outputs[0].shape[2:]) for node in model.graph if node.op_type == "Conv"}
    assume(len(shapes) == 1 and min(next(iter(shapes))) > 0)
    if data.draw(st.booleans()):
        for value in (model.graph.inputs[0], *(node.outputs[0] for node in model.graph)):
            value.shape = ir.Shape(["N", 4, None, None])
    x = b.sample()
    before = outputs(model, x)[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collapse_branches, "_worth", lambda group: collapse_branches._union(group) is not None)
        event(collapse_branches.apply(model))
    np.testing.assert_array_equal(outputs(model, x)[0], before)
