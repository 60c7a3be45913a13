"""Logarithmic numbers: their arithmetic step by step in fractions, and the tables of the published hardware."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from chipwise.compression.log_format import log_format

from .test_posits import decoded

ELMA = log_format(8, 1, 5, 5, 7)
RNG = np.random.default_rng(1)


def rounded(value: float, bits: int) -> Fraction:
    return Fraction(round(value * 2**bits), 2**bits)


def logarithm(value: float) -> Fraction:
    return rounded(math.log2(abs(value)), ELMA.fraction_bits)


def linear(log: Fraction) -> Fraction:
    """A product after its conversion to alpha bits."""
    whole = math.floor(log)
    return (1 + rounded(2 ** float(log - whole) - 1, 5)) * Fraction(2) ** whole


def test_logarithms_are_written_as_posits_are() -> None:
    for pattern, log in enumerate(ELMA.logarithms, 1):
        value = decoded(format(pattern, "08b"), 1)
        assert value is not None
        power = math.floor(log)
        assert value == (1 + Fraction(log) - power) * Fraction(2) ** power
    assert len(ELMA.logarithms) == 127
    assert ELMA.fraction_bits == 4


def test_range_is_that_of_the_posit() -> None:
    assert (ELMA.table.largest, ELMA.table.smallest) == (2.0**12, 2.0**-12)


def test_tables_of_both_conversions() -> None:
    # p(f) in 5 bits for the 16 fractions of 4 bits: 2^(1/16) is 1.0443, so 1 of 32.
    assert ((ELMA.linear - 1) * 32).tolist() == [0, 1, 3, 4, 6, 8, 9, 11, 13, 15, 17, 20, 22, 24, 27, 29]
    # log2(1 + 1/32) is 0.04439, so 6 of 128.
    assert (ELMA.log_fractions[:4] * 128).tolist() == [0, 6, 11, 17]
    assert ELMA.log_fractions[31] * 128 == 125


def test_sums_of_products_are_exact_after_the_conversion() -> None:
    left = RNG.choice(ELMA.table.values, (4, 40))
    right = RNG.choice(ELMA.table.values, (40, 3))
    made = ELMA.products_linear(left, right)
    for row in range(4):
        for column in range(3):
            pairs = [(a, b) for a, b in zip(left[row], right[:, column], strict=True) if a and b]
            exact = sum(
                (int(np.sign(a * b)) * linear(logarithm(a) + logarithm(b)) for a, b in pairs), start=Fraction(0)
            )
            assert Fraction(made[row, column]) == exact


def test_a_product_of_ones_with_everything_keeps_what_alpha_bits_hold() -> None:
    values = ELMA.table.values[ELMA.table.values > 0]
    made = ELMA.products_linear([[1.0]], values[None])[0]
    assert [Fraction(each) for each in made] == [linear(logarithm(each)) for each in values]


def test_the_way_back_rounds_three_times() -> None:
    numbers = np.concatenate([RNG.uniform(0.001, 30, 300), [1.0, 2.0, 63 / 32, 1.984375, 1.9999]])
    for number, made in zip(numbers, ELMA.from_linear(numbers), strict=True):
        power = math.floor(math.log2(number))
        mantissa = rounded(number / 2**power - 1, 5)
        power, mantissa = (power + 1, Fraction(0)) if mantissa == 1 else (power, mantissa)
        log = power + rounded(math.log2(1 + mantissa), 7)
        fine = min(ELMA.logarithms, key=lambda each: (abs(Fraction(each) - log), Fraction(each) * 16 % 2))
        assert abs(logarithm(made) - log) == abs(Fraction(fine) - log) or abs(log) >= 4, number
        assert abs(math.log2(made / number)) < 0.08 or number < 0.06 or number > 16


def test_every_value_survives_both_conversions() -> None:
    values = ELMA.table.values
    np.testing.assert_array_equal(ELMA.from_linear(ELMA.products_linear(values[:, None], [[1.0]])[:, 0]), values)


def test_ends() -> None:
    assert ELMA.from_linear([0.0, 1e30, -1e30, 2.0**-14, -(2.0**-12)]).tolist() == [0, 4096, -4096, 0, -(2.0**-12)]
    assert ELMA.table.quantize([2.0**-13, 2.0**-12, 1e9]).tolist() == [0.0, 2.0**-12, 4096.0]


def test_what_is_not_finite_becomes_no_number_on_the_way_back() -> None:
    made = ELMA.from_linear([np.nan, np.inf, -np.inf, 2.0])
    assert np.isnan(made[:3]).all()
    assert made[3] == 2.0


def test_zeros_alone_make_zeros() -> None:
    assert ELMA.products_linear(np.zeros((2, 3)), np.zeros((3, 2))).tolist() == [[0, 0], [0, 0]]


def test_many_rows_are_the_same_as_few(monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = RNG.choice(ELMA.table.values, (50, 8)), RNG.choice(ELMA.table.values, (8, 2))
    whole = ELMA.products_linear(left, right)
    monkeypatch.setattr("chipwise.compression.log_format._MOST_AT_ONCE", 300)
    np.testing.assert_array_equal(ELMA.products_linear(left, right), whole)
