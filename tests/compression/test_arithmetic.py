"""Operands in a format and sums in its accumulator."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from chipwise.compression.arithmetic import accumulate, encode, multiply, wrapped
from chipwise.compression.number_formats import chosen, number_formats
from chipwise.core.errors import InputError, UnknownNameError
from chipwise.core.format_report import FORMAT_NAMES

FORMATS = number_formats()
RNG = np.random.default_rng(3)
LEFT, RIGHT = RNG.standard_normal((6, 30)), RNG.standard_normal((30, 4))


@pytest.mark.parametrize("name", FORMATS)
def test_products_are_near_the_real_ones(name: str) -> None:
    form = FORMATS[name]
    made = multiply(encode(LEFT, form), encode(RIGHT, form, axis=0, block_axis=0), form)
    error = np.abs(made - LEFT @ RIGHT).max()
    assert error < 3.0 if form.table.bits < 6 else error < 1.2 if form.bits < 10 else error < 0.06


def test_posits_add_up_exactly() -> None:
    form = FORMATS["posit-8-2"]
    left, right = RNG.choice(form.table.values, (3, 50)), RNG.choice(form.table.values, (50, 2))
    made = accumulate(left, right, form)
    for row in range(3):
        for column in range(2):
            exact = sum((Fraction(a) * Fraction(b) for a, b in zip(left[row], right[:, column], strict=True)))
            back = form.table.quantize(made[row, column])
            assert back == form.table.quantize(float(exact))


def test_int32_wraps() -> None:
    assert wrapped(np.array([2.0**31 - 1, 2.0**31, -(2.0**31) - 1])).tolist() == [2.0**31 - 1, -(2.0**31), 2.0**31 - 1]
    form, many = FORMATS["int8"], 140_000
    assert accumulate(np.full((1, many), 127.0), np.full((many, 1), 127.0), form).item() == many * 127**2 - 2**32


def test_sums_in_half_precision_stop_growing() -> None:
    form = FORMATS["fp16-sums"]
    assert accumulate(np.ones((1, 5000)), np.ones((5000, 1)), form).item() == 2048
    assert accumulate(np.ones((1, 5000)), np.ones((5000, 1)), FORMATS["fp16"]).item() == 5000


def test_sums_in_half_precision_round_as_numpy_does() -> None:
    half = FORMATS["fp16-sums"].table
    left, right = half.quantize(LEFT[:1, :9]), half.quantize(RIGHT[:9, :1])
    total = np.float16(0)
    for one, other in zip(left[0], right[:, 0], strict=True):
        total = np.float16(float(total) + one * other)
    assert accumulate(left, right, FORMATS["fp16-sums"]).item() == float(total)


def test_scales_bring_the_largest_to_the_end() -> None:
    made = encode([[-3.0, 1.0], [0.5, 0.25]], FORMATS["int8"], axis=0)
    assert made.values.tolist() == [[-127, 127], [21, 32]]
    assert made.scale.tolist() == [3 / 127, 1 / 127]
    shifted = encode([-3.0, 1.0], FORMATS["int8-shift"])
    assert shifted.scale == 2.0**-5
    assert shifted.values.tolist() == [-96, 32]


def test_what_is_out_of_range_is_counted() -> None:
    posits = encode([1e9, 1e-9, 0.0, 1.0], FORMATS["posit-8-0"])
    assert (posits.saturated, posits.tiny) == (1, 1)
    assert posits.values.tolist() == [64.0, 1 / 64, 0.0, 1.0]
    given = encode([4.0, 0.001, 1.0], FORMATS["int8"], largest=2.0)
    assert (given.saturated, given.tiny) == (1, 1)
    blocks = encode([7.9, 0.01, 4.0], FORMATS["mxfp4-e2m1"])
    assert (blocks.saturated, blocks.tiny) == (1, 1)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_that_is_not_finite_has_no_sums_and_the_others_have_theirs(name: str, bad: float) -> None:
    form, spoilt = FORMATS[name], LEFT.copy()
    spoilt[2, 5] = bad
    right = encode(np.abs(RIGHT), form, axis=0, block_axis=0)
    with np.errstate(invalid="ignore"):
        made = multiply(encode(spoilt, form, largest=3.0), right, form)
        whole = multiply(encode(LEFT, form, largest=3.0), right, form)
    assert not np.isfinite(made[2]).any()
    np.testing.assert_array_equal(np.delete(made, 2, axis=0), np.delete(whole, 2, axis=0))


@pytest.mark.parametrize("name", ["posit-8-1", "fixed-8-4", "int8", "log-8-1-5-5-7"])
def test_weights_that_are_not_finite_are_refused(name: str) -> None:
    form, spoilt = FORMATS[name], RIGHT.copy()
    spoilt[3, 1] = np.nan
    with pytest.raises(InputError, match="not finite"), np.errstate(invalid="ignore"):
        multiply(encode(LEFT, form), encode(spoilt, form, axis=0), form)


@pytest.mark.parametrize("name", ["fp16", "mxfp4-e2m1", "int8", "posit-8-1", "log-8-1-5-5-7"])
def test_nothing_is_rounded_to_nothing(name: str) -> None:
    made = encode(np.zeros((0, 5)), FORMATS[name])
    assert (made.values.shape, made.saturated, made.tiny) == ((0, 5), 0, 0)


def test_formats_by_name() -> None:
    assert [each.name for each in chosen(["posit-8-1", "int8", "int8"])] == ["int8", "posit-8-1"]
    assert len(chosen([])) == len(FORMATS)
    assert tuple(FORMATS) == FORMAT_NAMES
    with pytest.raises(UnknownNameError, match="posit-8-9"):
        chosen(["posit-8-9"])
