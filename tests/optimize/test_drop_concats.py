"""A convolution of joined values as a sum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import Builder, ops, outputs

from chipwise.optimize import drop_concats


def joined(b: Builder, sizes: list[int], axis: int = 1) -> None:
    parts = [b.node("Conv", "x", b.integers(size, 3, 1, 1)) for size in sizes]
    b.node("Concat", *parts, axis=axis)
    b.channels = sum(sizes) if axis in (1, -3) else sizes[0]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=2, max_size=4),
    st.sampled_from([1, 3]),
    st.booleans(),
    st.sampled_from([[1, 1], [2, 1]]),
    st.sampled_from([1, -3]),
)
def test_the_sum_is_the_same(sizes: list[int], kernel: int, bias: bool, strides: list[int], axis: int) -> None:
    b = Builder(len(sizes))
    joined(b, sizes, axis)
    more = [b.integers(2)] if bias else []
    b.node("Conv", b.value, b.integers(2, b.channels, kernel, kernel), *more, strides=strides, pads=[1, 0, 2, 1])
    model, x = b.model(), b.sample()
    before = outputs(model, x)[0]
    assert drop_concats.apply(model) == "took 1 join before convolutions apart"
    np.testing.assert_array_equal(outputs(model, x)[0], before)
    assert ops(model).count("Add") == len(sizes) - 1
    assert "Concat" not in ops(model)


@pytest.mark.parametrize("case", ["groups", "two readers", "five parts", "another axis"])
def test_looks_alike(case: str) -> None:
    b = Builder(0)
    joined(b, [2] * 5 if case == "five parts" else [2, 2], 2 if case == "another axis" else 1)
    value = b.value
    b.conv(2, 1, groups=2 if case == "groups" else 1)
    if case == "two readers":
        b.node("Mul", b.value, b.node("ReduceSum", value, b.keep(np.array([1]), np.int64)))
    model = b.model()
    before = ops(model)
    assert drop_concats.apply(model) == ""
    assert ops(model) == before
