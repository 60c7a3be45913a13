"""Posits against a decoder of bit strings in exact fractions, and against worked examples of the papers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chipwise.compression.posits import posit

SIZES = [(3, 0), (5, 1), (7, 1), (8, 0), (8, 1), (8, 2), (9, 1), (16, 1), (16, 2)]


def decoded(string: str, es: int) -> Fraction | None:
    """The value of a bit string, letter by letter; None for NaR. Gustafson and Yonemoto 2017, equation 1."""
    if string == "0" * len(string):
        return Fraction(0)
    if string == "1" + "0" * (len(string) - 1):
        return None
    sign = 1
    if string[0] == "1":
        sign, string = -1, format(2 ** len(string) - int(string, 2), f"0{len(string)}b")
    rest = string[1:]
    run = len(rest) - len(rest.lstrip(rest[0]))
    regime = run - 1 if rest[0] == "1" else -run
    rest = rest[run + 1 :]
    exponent = int(rest[:es].ljust(es, "0"), 2) if es else 0
    fraction = rest[es:]
    power = regime * 2**es + exponent
    scale = Fraction(2) ** power
    return sign * scale * (1 + Fraction(int(fraction or "0", 2), 2 ** len(fraction)))


def nearest(number: Fraction, bits: int, es: int) -> Fraction:
    """Round as the standard says: saturate; else the posit of one bit more between both neighbours parts them."""
    if number <= 0:
        return -nearest(-number, bits, es) if number else number
    patterns = range(1, 2 ** (bits - 1))
    values = [decoded(format(each, f"0{bits}b"), es) for each in patterns]
    if number >= values[-1] or number <= values[0]:
        return values[-1 if number > 1 else 0]
    below = max(place for place, value in enumerate(values) if value <= number)
    if values[below] == number:
        return number
    between = decoded(format(patterns[below], f"0{bits}b") + "1", es)
    if number == between:
        return values[below + patterns[below] % 2]
    return values[below if number < between else below + 1]


@pytest.mark.parametrize(("bits", "es"), SIZES)
def test_values_are_those_of_all_bit_strings(bits: int, es: int) -> None:
    found = {decoded(format(pattern, f"0{bits}b"), es) for pattern in range(2**bits)} - {None}
    assert sorted(map(Fraction, posit(bits, es).values)) == sorted(found)


def test_worked_examples_of_the_papers() -> None:
    # "Beating Floating Point at its Own Game", figure 5: 0 0001 101 11011101 with es = 3 is 477 / 134217728.
    assert decoded("0000110111011101", 3) == Fraction(477, 134217728)
    assert 477 / 134217728 in posit(16, 3).values
    # Table 3 there: five bits and es = 1 give 1/64, 1/16, 1/8, 1/4, 1/2, 1, 2, 4, 8, 16, 64 with 3/8... between.
    assert [float(v) for v in posit(5, 1).values if v > 0] == [
        1 / 64, 1 / 16, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 3 / 4, 1, 1.5, 2, 3, 4, 8, 16, 64,
    ]  # fmt: skip
    # maxpos is useed ** (n - 2), useed 2 ** 2 ** es; minpos is one over it.
    for bits, es in SIZES:
        table, useed = posit(bits, es), 2.0**2**es
        assert table.largest == useed ** (bits - 2)
        assert table.smallest == 1 / table.largest


def test_pi_in_the_standards_posits() -> None:
    # Posit Standard 2022 has es = 2: 8 bits keep 3 bits of fraction next to pi, and 16 bits keep 11.
    assert posit(8, 2).quantize(np.pi) == 3.25
    assert posit(16, 2).quantize(np.pi) == round(np.pi * 1024) / 1024


@pytest.mark.parametrize(("bits", "es"), [size for size in SIZES if size[0] <= 9])
def test_rounding_is_to_the_nearest_bit_string(bits: int, es: int) -> None:
    table = posit(bits, es)
    wider = [float(decoded(format(each, f"0{bits + 1}b"), es)) for each in range(1, 2**bits)]
    numbers = sorted({*wider, *np.nextafter(wider, np.inf), *np.nextafter(wider, 0.0), 1e-30, 1e30, -0.3, -1e-30})
    wanted = [float(nearest(Fraction(each), bits, es)) for each in numbers]
    assert table.quantize(numbers).tolist() == wanted


@given(st.floats(-1e4, 1e4, allow_nan=False, width=32))
@settings(max_examples=60, deadline=None)
def test_any_number(number: float) -> None:
    for bits, es in ((7, 1), (8, 0), (8, 2)):
        assert posit(bits, es).quantize(number) == float(nearest(Fraction(number), bits, es))


def test_ties_go_by_bit_string_and_not_by_value() -> None:
    # Between 4^5 and 4^6 of (8,1) the exponent bit is cut off: they part at 2 * 4^5, and there the even string wins.
    table = posit(8, 1)
    assert table.values[-2:].tolist() == [1024.0, 4096.0]
    middle = (1024.0 + 4096.0) / 2
    assert table.quantize([2047.0, 2048.0, 2049.0, middle]).tolist() == [1024.0, 1024.0, 4096.0, 4096.0]


def test_nothing_becomes_zero_or_nar() -> None:
    for bits, es in SIZES:
        table = posit(bits, es)
        ends = table.quantize([5e-324, -5e-324, 1e308, -1e308, 0.0])
        assert ends.tolist() == [table.smallest, -table.smallest, table.largest, -table.largest, 0.0]
        assert np.isnan(table.quantize([np.inf, -np.inf])).all()
