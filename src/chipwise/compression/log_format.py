"""Logarithms in 8 bits and sums of their products that are exact: "ELMA".

Source: Johnson, "Rethinking floating point for deep learning", 2018, arXiv 1811.01721, and the hardware description
published with it. (N, es, alpha, beta, gamma), as (8, 1, 5, 5, 7), is:

- a value is written like a posit of N bits with es exponent bits, but exponent and fraction together are its base-2
  logarithm: 2**(exponent + fraction) where a posit is 2**exponent * (1 + fraction). Of (8, 1) the logarithm has at most
  4 bits after the point.
- a product adds two logarithms, which is exact; its linear fraction 2**f - 1 is looked up and rounded to alpha bits;
- products are added up in an accumulator that is wide enough to be exact (Kulisch's);
- a sum goes back through a linear fraction rounded to beta bits, whose logarithm is looked up and rounded to gamma bits
  (4 of the format and 3 to round by), and then to the nearest bit string of N bits, ties to the even one.

All rounding is to nearest, ties to even. Beyond the largest value it saturates. A number below the smallest becomes
zero, as in the hardware: posits would give the smallest value. The hardware's accumulator drops the bits of a product
below the square of the smallest value; here they are kept. Numbers that do not come from an accumulator (weights and
inputs) are rounded from their exact logarithm.

>>> elma = log_format(8, 1, 5, 5, 7)
>>> elma.table.largest, elma.table.smallest, elma.products_linear([[1.0]], [[2.0]]).tolist()
(4096.0, 0.000244140625, [[2.0]])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from chipwise.compression.exact_sums import exact_product
from chipwise.compression.number_tables import NumberTable, mirrored
from chipwise.compression.posits import positive_strings

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Doubles = NDArray[np.float64]

_MOST_AT_ONCE = 2**22  # numbers of the widened left matrix that are held together


@dataclass(frozen=True, slots=True, eq=False)
class LogFormat:
    """A logarithmic format with the tables of its arithmetic.

    Attributes:
        table: its values as doubles (2**x rounded to 53 bits), and their cuts.
        fraction_bits: most bits of a logarithm after the point.
        logarithms: of the positive values, ascending.
        log_cuts: the largest logarithm that becomes each of them, one fewer.
        linear: 1 + (2**f - 1 rounded to alpha bits) for f = 0, 1, ... in steps of 2**-fraction_bits.
        beta: bits of a sum's linear fraction.
        log_fractions: log2(1 + g), rounded to gamma bits, for g = 0, 1, ... in steps of 2**-beta.
    """

    table: NumberTable
    fraction_bits: int
    logarithms: Doubles
    log_cuts: Doubles
    linear: Doubles
    beta: int
    log_fractions: Doubles

    def products_linear(self, left: ArrayLike, right: ArrayLike) -> Doubles:
        """Sum products of logarithms, exactly, after their conversion to alpha bits.

        A product is 2**(a + b) times the table's entry for the sum of both fractions. For each of the 2**F fractions of
        `right` that is an ordinary product of matrices of short binary numbers; `exact_product` sums all of them up.

        Args:
            left: values of the format, [M, K].
            right: values of the format, [K, N].

        Returns:
            float64 [M, N]: the sums, or where 53 bits do not hold one, rounded to odd.
        """
        places, other = self.table.places(np.asarray(left, np.float64)), np.asarray(right, np.float64)
        whole, part = self._split(other)
        powers = np.sign(other) * np.ldexp(1.0, whole)
        fractions = np.unique(part[other != 0])
        if not fractions.size:
            return np.zeros((len(places), other.shape[1]))
        rights = np.concatenate([np.where(part == each, powers, 0.0) for each in fractions])
        shifted = [self._shifted(int(each)) for each in fractions]
        rows = max(1, _MOST_AT_ONCE // rights.shape[0])
        return np.concatenate(
            [
                exact_product(np.concatenate([each[places[row : row + rows]] for each in shifted], axis=1), rights)
                for row in range(0, max(len(places), 1), rows)
            ]
        )

    def from_linear(self, sums: ArrayLike) -> Doubles:
        """Round sums to the format as the hardware does: beta bits, their logarithm in gamma bits, the bit string.

        Args:
            sums: float64 of any shape.

        Returns:
            values of the format, of the same shape; NaN of what is not finite.
        """
        numbers = np.asarray(sums, np.float64)
        finite = np.isfinite(numbers)
        given = np.where(finite, numbers, 0.0)
        mantissa, exponent = np.frexp(np.abs(given))
        steps = 2**self.beta
        linear = np.rint((2 * mantissa - 1) * steps).astype(np.int64)
        carried = linear == steps
        fraction = self.log_fractions[np.where(carried | (given == 0), 0, linear)]
        logarithm = exponent - 1 + carried + fraction
        values = self.table.values[len(self.logarithms) + 1 :]
        made = values[np.searchsorted(self.log_cuts, logarithm, side="left")]
        small = (given == 0) | (logarithm < self.logarithms[0])
        made = np.where(small, 0.0, np.copysign(made, given))
        return np.asarray(np.where(finite, made, np.nan), np.float64)

    def _shifted(self, fraction: int) -> Doubles:
        """For every value of the table: what its product with 2**(fraction in steps) becomes as a linear number."""
        whole, part = self._split(self.table.values)
        total, steps = part + fraction, 2**self.fraction_bits
        return np.asarray(np.sign(self.table.values) * np.ldexp(self.linear[total % steps], whole + total // steps))

    def _split(self, values: Doubles) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Whole part of each logarithm, and its fraction as a number of steps; zeros give any."""
        magnitude = np.where(values == 0, 1.0, np.abs(values))
        steps = np.rint(np.log2(magnitude) * 2**self.fraction_bits).astype(np.int64)
        return steps >> self.fraction_bits, steps & (2**self.fraction_bits - 1)


def log_format(bits: int, exponent_bits: int, alpha: int, beta: int, gamma: int) -> LogFormat:
    """Build the logarithmic format (bits, exponent_bits, alpha, beta, gamma).

    Args:
        bits: of one value, at most 12.
        exponent_bits: es of the posit-like encoding.
        alpha: bits of a product's linear fraction.
        beta: bits of a sum's linear fraction.
        gamma: bits of that fraction's logarithm.
    """
    written, parting, even = positive_strings(bits, exponent_bits)
    logarithms, between = np.add(*written), np.add(*parting)
    values = np.exp2(logarithms)
    # What is below the smallest value is zero, so that value is its own threshold and wins there.
    thresholds = np.concatenate([values[:1], np.exp2(between)])
    every, cuts = mirrored(np.concatenate([[0.0], values]), thresholds, np.concatenate([[False], even]))
    fraction_bits = max(bits - 3 - exponent_bits, 0)
    table = NumberTable(
        bits,
        every,
        cuts,
        largest=float(values[-1]),
        smallest=float(values[0]),
        accuracy=float(2.0 ** (2.0 ** -(fraction_bits + 1)) - 1),
        of_infinity="nan",
    )
    steps = np.arange(2**fraction_bits) / 2**fraction_bits
    linear = 1 + np.rint((np.exp2(steps) - 1) * 2**alpha) / 2**alpha
    fractions = np.rint(np.log2(1 + np.arange(2**beta) / 2**beta) * 2**gamma) / 2**gamma
    log_cuts = np.where(even, between, np.nextafter(between, -np.inf))
    return LogFormat(table, fraction_bits, logarithms, log_cuts, linear, beta, fractions)
