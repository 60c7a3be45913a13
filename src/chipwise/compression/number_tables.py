"""A number format as a table: its values, where rounding goes over from one to the next, and what is beyond its ends.

Rounding is to nearest, ties to even: to the even mantissa for binary floats, to the even integer for integers, to the
even bit string for posits and logarithms. A table folds that rule into its cuts: `cuts[i]` is the largest double that
still becomes `values[i]`, so a tie is on one side of a cut or on the other and needs no rule when an array is rounded.

>>> table = binary_float(exponent_bits=2, mantissa_bits=1, top="finite")
>>> table.quantize([0.3, 0.25, 0.75, 5.0, 100.0]).tolist()
[0.5, 0.0, 1.0, 4.0, 6.0]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Doubles = NDArray[np.float64]

Overflow = Literal["saturate", "infinity", "nan"]
Top = Literal["ieee", "nan", "finite"]
_MOST_TABLED_BITS = 16  # of formats whose values are held one by one


@dataclass(frozen=True, slots=True)
class BinaryRule:
    """Rounding of a binary float too wide for a table, or faster without one.

    Attributes:
        precision: significant bits, the hidden one included.
        least_exponent: of the smallest normal number, 2**least_exponent.
    """

    precision: int
    least_exponent: int


@dataclass(frozen=True, slots=True, eq=False)
class NumberTable:
    """Everything that rounding to a format needs.

    Attributes:
        bits: of one value.
        values: every finite value, ascending, zero once; empty for formats of more than 16 bits.
        cuts: `cuts[i]` is the largest double that is rounded to `values[i]` (one fewer than the values).
        largest: the largest finite value; smallest: the smallest positive one.
        accuracy: largest relative error of rounding a number between 1 and 2, or next to 1 where the range ends there.
        overflow: what becomes of numbers beyond the largest.
        overflow_cut: the largest magnitude that still becomes the largest value; infinite where it saturates.
        of_infinity: what an infinite number becomes, where it saturates: the largest value, or NaN (posits' NaR).
        rule: of binary floats that are rounded without the table.
    """

    bits: int
    values: Doubles
    cuts: Doubles
    largest: float
    smallest: float
    accuracy: float
    overflow: Overflow = "saturate"
    overflow_cut: float = np.inf
    of_infinity: Literal["largest", "nan"] = "largest"
    rule: BinaryRule | None = None

    @property
    def decades(self) -> float:
        """Powers of ten between the smallest positive and the largest value."""
        return float(np.log10(self.largest) - np.log10(self.smallest))

    def quantize(self, array: ArrayLike) -> Doubles:
        """Round every number of an array to the nearest value of the format.

        Args:
            array: numbers of any shape; float32 and float64 are rounded once.

        Returns:
            float64 of the same shape. NaN stays NaN; what is beyond the largest value follows `overflow`.
        """
        given = np.asarray(array, np.float64)
        if self.rule is not None:
            made = _rounded(given, self.rule)
        else:
            made = self.values[np.searchsorted(self.cuts, given, side="left")]
        if self.overflow == "saturate":
            made = np.clip(made, -self.largest, self.largest) if self.rule is not None else made
        else:
            end = np.copysign(np.inf, given) if self.overflow == "infinity" else np.nan
            made = np.where(np.abs(given) > self.overflow_cut, end, np.clip(made, -self.largest, self.largest))
        if self.of_infinity == "nan":
            made = np.where(np.isinf(given), np.nan, made)
        # NaN stands behind every cut.
        unclear = np.isnan(given)
        return np.where(unclear, np.nan, made) if unclear.any() else made

    def places(self, quantized: Doubles) -> NDArray[np.int64]:
        """Where values of the format stand in `values`."""
        return np.searchsorted(self.values, quantized)


def binary_float(
    *, exponent_bits: int, mantissa_bits: int, top: Top = "ieee", overflow: Overflow = "saturate"
) -> NumberTable:
    """Build a binary floating-point format with subnormal numbers and the bias 2**(exponent_bits - 1) - 1.

    Args:
        exponent_bits: bits of the exponent.
        mantissa_bits: bits of the mantissa, without the hidden one.
        top: what the highest exponent holds: "ieee" infinities and NaN, "nan" numbers but for one NaN (OCP's e4m3),
            "finite" numbers only (fp6, fp4).
        overflow: what becomes of numbers that are rounded beyond the largest.
    """
    bias = 2 ** (exponent_bits - 1) - 1
    high = 2**exponent_bits - 1 - (top == "ieee") - bias
    fraction = 2.0 - 2.0**-mantissa_bits * (2 if top == "nan" else 1)
    largest, precision, least = fraction * 2.0**high, mantissa_bits + 1, 1 - bias
    smallest = 2.0 ** (least - mantissa_bits)
    step = 2.0 ** (high - mantissa_bits)
    odd = int(largest / step) % 2
    cut = float(np.nextafter(largest + step / 2, 0.0)) if odd else largest + step / 2
    bits = 1 + exponent_bits + mantissa_bits
    wide = bits >= _MOST_TABLED_BITS
    values, cuts = np.empty(0), np.empty(0)
    if bits <= _MOST_TABLED_BITS:
        codes = np.arange(int(largest / step) % 2**mantissa_bits + (high - least + 1) * 2**mantissa_bits + 1)
        values, cuts = _symmetric(*_positive_floats(codes, mantissa_bits, least))
    return NumberTable(
        bits,
        values,
        cuts,
        largest,
        smallest,
        accuracy=2.0**-precision,
        overflow=overflow,
        overflow_cut=np.inf if overflow == "saturate" else cut,
        rule=BinaryRule(precision, least) if wide else None,
    )


def integer(bits: int, *, step: float = 1.0, symmetric: bool = False) -> NumberTable:
    """Build a two's complement integer, or fixed-point numbers that are multiples of `step`; it saturates.

    Args:
        bits: of one value, at most 16.
        step: distance of neighbours; a power of two.
        symmetric: leave the lowest value out, as is usual for weights.
    """
    high = 2 ** (bits - 1) - 1
    whole = np.arange(-high if symmetric else -high - 1, high + 1)
    even = whole[:-1] % 2 == 0
    values = whole * step
    cuts = cuts_between(np.asarray((whole[:-1] + 0.5) * step), even)
    # A tie halfway to the next multiple is half a step, which is 1 / 2 for integers: an absolute error.
    return NumberTable(bits, values, cuts, high * step, step, accuracy=step / 2)


def cuts_between(thresholds: Doubles, lower_wins: NDArray[np.bool_]) -> Doubles:
    """Fold ties into thresholds: where the upper neighbour wins, the cut is the double just below.

    Args:
        thresholds: where rounding goes over from each value to the next, ascending.
        lower_wins: whether a number on the threshold becomes the lower value.
    """
    return np.where(lower_wins, thresholds, np.nextafter(thresholds, -np.inf))


def mirrored(values: Doubles, thresholds: Doubles, inner_wins: NDArray[np.bool_]) -> tuple[Doubles, Doubles]:
    """Extend zero and the positive values of a format that rounds alike on both sides to all of them.

    Args:
        values: zero first, ascending, [n].
        thresholds: between neighbours, [n - 1].
        inner_wins: whether a number on the threshold becomes the neighbour nearer to zero, [n - 1].

    Returns:
        values [2 n - 1] and cuts [2 n - 2].
    """
    every = np.concatenate([-values[:0:-1], values])
    ends = np.concatenate([-thresholds[::-1], thresholds])
    return every, cuts_between(ends, np.concatenate([~inner_wins[::-1], inner_wins]))


def _symmetric(values: Doubles, even: NDArray[np.bool_]) -> tuple[Doubles, Doubles]:
    return mirrored(values, (values[:-1] + values[1:]) / 2, even[:-1])


def _positive_floats(
    codes: NDArray[np.int64], mantissa_bits: int, least_exponent: int
) -> tuple[Doubles, NDArray[np.bool_]]:
    """Values of bit strings without a sign, and which of them are even."""
    exponent, mantissa = codes >> mantissa_bits, codes & (2**mantissa_bits - 1)
    hidden = np.where(exponent > 0, 2**mantissa_bits, 0)
    power = np.maximum(exponent, 1) - 1 + least_exponent - mantissa_bits
    return np.ldexp((hidden + mantissa).astype(np.float64), power), codes % 2 == 0


def _rounded(given: Doubles, rule: BinaryRule) -> Doubles:
    """Nearest multiple of each number's unit in the last place; rint takes the even one of two."""
    _, exponent = np.frexp(given)
    unit = np.maximum(exponent - rule.precision, rule.least_exponent - rule.precision + 1)
    made = np.ldexp(np.rint(np.ldexp(given, -unit)), unit)
    return np.asarray(made, np.float64)
