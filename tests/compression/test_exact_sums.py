"""Exact sums against fractions; the certificate never says yes where float64 would round."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chipwise.compression.exact_sums import certified, exact_product, span
from chipwise.compression.number_formats import number_formats
from chipwise.core.errors import InputError


def exact(left: np.ndarray, right: np.ndarray) -> list[list[Fraction]]:
    columns = right.T
    return [[sum((Fraction(a) * Fraction(b) for a, b in zip(r, c, strict=True)), Fraction(0)) for c in columns]
            for r in left]  # fmt: skip


def assert_exact_or_odd(made: np.ndarray, wanted: list[list[Fraction]]) -> None:
    for value, sum_ in zip(made.reshape(-1), (each for row in wanted for each in row), strict=True):
        if Fraction(value) != sum_:
            assert Fraction(np.nextafter(value, -np.inf)) < sum_ < Fraction(np.nextafter(value, np.inf))
            assert np.float64(value).view(np.int64) % 2 == 1
            assert abs(sum_.numerator).bit_length() > 53


@pytest.mark.parametrize("spread", [1, 10, 40, 120])
@pytest.mark.parametrize("seed", range(4))
def test_sums_are_exact_or_rounded_to_odd(spread: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    left = rng.standard_normal((4, 9)) * np.exp2(rng.integers(-spread, spread, (4, 9)))
    right = rng.standard_normal((9, 3)) * np.exp2(rng.integers(-spread, spread, (9, 3)))
    assert_exact_or_odd(exact_product(left, right), exact(left, right))


def test_what_cancels_leaves_what_is_small() -> None:
    assert exact_product([[2.0**80, 3.0, -(2.0**80)]], [[1.0], [2.0**-40], [1.0]]).item() == 3 * 2.0**-40
    assert exact_product([[2.0**80, -1.0]], [[1.0], [1.0]]).item() == np.nextafter(2.0**80, 0)


@given(st.integers(1, 26), st.integers(1, 26), st.integers(1, 40), st.integers(0, 2**30))
@settings(max_examples=60, deadline=None)
def test_a_certified_product_is_exact(bits: int, other_bits: int, terms: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    left = rng.integers(-(2**bits) + 1, 2**bits, (2, terms)) * 2.0**-7
    right = rng.integers(-(2**other_bits) + 1, 2**other_bits, (terms, 2)) * 2.0**3
    if certified(left, right):
        assert [[Fraction(v) for v in row] for row in left @ right] == exact(left, right)


def test_the_certificate_is_refused_where_a_sum_would_be_rounded() -> None:
    one = np.array([[2.0**30, 1.0]])
    other = np.array([[2.0**30], [1.0]])
    assert not certified(one, other)
    assert (one @ other).item() == 2.0**60
    assert exact_product(one, other).item() == np.nextafter(2.0**60, np.inf)


def test_rounding_an_odd_sum_is_rounding_the_exact_one() -> None:
    half = number_formats()["fp16"].table
    tie = 1 + 2.0**-11  # between 1 and its successor, where the even 1 wins
    made = exact_product([[tie, 2.0**-90]], [[1.0], [1.0]])
    assert half.quantize(tie) == 1.0
    assert half.quantize(made).item() == 1 + 2.0**-10


def test_span() -> None:
    assert span(np.array([0.0, 6.0, -0.5])) == (-1, 3)
    assert span(np.zeros(2)) == (0, 0)


def test_what_has_no_exact_sum_is_refused() -> None:
    with pytest.raises(InputError, match="finite"):
        exact_product([[np.inf]], [[1.0]])
    with pytest.raises(InputError, match="too long"):
        exact_product(np.full((1, 2**16 + 1), 1 / 3), np.full((2**16 + 1, 1), 1 / 3))
