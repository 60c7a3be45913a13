"""Fixed point: whole numbers times a power of two, and where the radix point is to stand.

A tensor of b bits has a radix r: it holds q * 2^-r for whole q. A scale that is a power of two makes every change of
scale a shift, so that nothing but integers is needed ("dynamic fixed point": Gysel, Motamedi and Ghiasi, "Hardware-
oriented approximation of convolutional neural networks", 2016, arXiv 1604.03168).

The radix is not the one that just holds the largest value. Of all that may pay it is the one with the least squared
error, values that are cut off among them, which is the highest ratio of signal to quantization noise (Lin, Talathi and
Annapureddy, "Fixed point quantization of deep convolutional networks", ICML 2016, arXiv 1511.06393): one value far out
may saturate where all others get one bit more.

>>> values = np.array([0.26, -0.49, 0.5, 0.111])
>>> form = Fixed(8, True, best_radix(values, 8, signed=True))
>>> form.radix, form.whole(values).tolist(), form.values(values).tolist()
(7, [33, -63, 64, 14], [0.2578125, -0.4921875, 0.5, 0.109375])
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32] | NDArray[np.float64]

TRIED = 7  # radix points: the one that cuts nothing off, and so many less one that are finer
LOWEST, HIGHEST = -24, 30  # a radix; finer steps are of no use, and scales stay normal float32 values


@dataclass(frozen=True, slots=True)
class Fixed:
    """A fixed-point format.

    Attributes:
        bits: of a whole number.
        signed: two's complement, or from zero on.
        radix: bits behind the point; negative for steps larger than 1.
    """

    bits: int
    signed: bool
    radix: int

    @property
    def range(self) -> tuple[int, int]:
        """Least and largest whole number."""
        return whole_range(self.bits, signed=self.signed)

    @property
    def step(self) -> float:
        """Distance of two values."""
        return math.ldexp(1.0, -self.radix)

    def whole(self, values: Floats) -> NDArray[np.int64]:
        """The nearest whole numbers, ties to even; cut off at the ends of the range."""
        low, high = self.range
        return np.clip(np.rint(np.ldexp(values.astype(np.float64), self.radix)), low, high).astype(np.int64)

    def values(self, values: Floats) -> NDArray[np.float64]:
        """What is left of values."""
        return np.ldexp(self.whole(values).astype(np.float64), -self.radix)


def whole_range(bits: int, *, signed: bool) -> tuple[int, int]:
    """Least and largest whole number of so many bits."""
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def tried_radices(low: float, high: float, bits: int, *, signed: bool) -> tuple[int, ...]:
    """The radix points that may have the least squared error, coarsest first.

    The first is the finest that cuts nothing off: a coarser one has no value that this one lacks, but for what rounds
    to more than the largest. Each finer one cuts more off.

    Args:
        low: the least value.
        high: the largest.
        bits: of a whole number.
        signed: whether there are negative ones.
    """
    least, largest = whole_range(bits, signed=signed)
    first = HIGHEST
    for bound, value in ((largest, high), (least, low)):
        if value and bound and (value > 0) == (bound > 0):
            _, exponent = math.frexp(value / bound)
            fits = -exponent + 1 if round(math.ldexp(value, -exponent + 1)) / bound <= 1 else -exponent
            first = min(first, fits)
    first = max(first, LOWEST)
    return tuple(range(first, min(first + TRIED, HIGHEST + 1)))


def best_radix(values: Floats, bits: int, *, signed: bool) -> int:
    """The radix with the least squared error over these values; of equal ones the coarsest.

    Args:
        values: of any shape; none or all zero have 0.
        bits: of a whole number.
        signed: whether there are negative ones.
    """
    if not np.any(values):
        return 0
    tried = tried_radices(float(values.min()), float(values.max()), bits, signed=signed)
    return min(tried, key=lambda radix: squared_error(values, Fixed(bits, signed, radix)))


def squared_error(values: Floats, form: Fixed) -> float:
    """Sum over all values of the squared difference to what is left of them."""
    return float(np.square(form.values(values) - values).sum())


def saturated(values: Floats, form: Fixed) -> int:
    """How many values are cut off: those that round to a whole number outside of the range."""
    low, high = form.range
    whole = np.rint(np.ldexp(values.astype(np.float64), form.radix))
    return int(np.count_nonzero((whole < low) | (whole > high)))


def sqnr_db(power: float, error: float) -> float:
    """Ratio of two sums of squares in decibels; infinite without an error."""
    if error == 0:
        return math.inf
    return 10 * math.log10(power / error) if power else -math.inf
