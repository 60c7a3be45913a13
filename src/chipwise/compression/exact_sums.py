"""Products of matrices whose sums are exact, as in an accumulator that is wide enough (Kulisch's, a posit's quire).

Where a certificate says so, that is one product in float64. All numbers of a matrix are multiples of some power of
two; so are all products and all partial sums, in whatever order they are added. As long as the sum of the magnitudes is
below 2**53 of those units, float64 holds every one of them, and nothing is rounded. Where it is not, the matrices are
cut into slices of few bits whose products are certified, and the sums of slices are added up with carries, as whole
numbers.

A sum that does not fit into 53 bits is rounded to odd: cut off, and its last bit set when anything was lost. Rounding
that again, to nearest in a format of at most 51 bits, gives what rounding the exact sum gives (Boldo and Melquiond,
"Emulation of a FMA and correctly rounded sums", IEEE Transactions on Computers 57(4), 2008).

>>> exact_product([[2.0**60, 1.0, -(2.0**60)]], [[1.0], [1.0], [1.0]]).tolist()
[[1.0]]
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from chipwise.core.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Doubles = NDArray[np.float64]

_DOUBLE_BITS = 53
_SLICE_BITS = 18  # with sums of up to 2**16 products and a carry


def certified(left: Doubles, right: Doubles) -> bool:
    """Whether a float64 product of two finite matrices is exact, whatever the order of its sums.

    Args:
        left: [M, K].
        right: [K, N].
    """
    (unit, top), (other_unit, other_top) = span(left), span(right)
    terms = max(left.shape[1], 1)
    # |a| < 2**top in units of 2**unit: the sum of magnitudes is below terms * 2**(both tops) / 2**(both units).
    return (top - unit) + (other_top - other_unit) + math.ceil(math.log2(terms)) <= _DOUBLE_BITS


def exact_product(left: ArrayLike, right: ArrayLike) -> Doubles:
    """Multiply two matrices with exact sums.

    Args:
        left: finite numbers, [M, K].
        right: finite numbers, [K, N].

    Returns:
        float64 [M, N]: exact where 53 bits hold the sum, else rounded to odd.

    Raises:
        InputError: a number that is not finite, or more than 65,536 products to a sum that has no certificate.
    """
    one, other = np.asarray(left, np.float64), np.asarray(right, np.float64)
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise InputError("there is no exact sum of numbers that are not finite")
    if certified(one, other):
        return one @ other
    if one.shape[1] > 2**16:
        raise InputError(f"sums of {one.shape[1]:,} products are too long to be exact", hint="at most 65,536")
    unit, slices = _slices(one)
    other_unit, other_slices = _slices(other)
    sums = [np.zeros((one.shape[0], other.shape[1])) for _ in range(len(slices) + len(other_slices) - 1)]
    for place, part in enumerate(slices):
        for other_place, other_part in enumerate(other_slices):
            # Each is below 2**(18 + 18 + 16) units; few of them meet, and they are carried on at once.
            sums = _carried(sums, place + other_place, part @ other_part)
    return np.asarray(_odd(sums, unit + other_unit), np.float64)


def span(numbers: Doubles) -> tuple[int, int]:
    """Exponents (u, t) such that every number is a multiple of 2**u and below 2**t in magnitude; (0, 0) of zeros."""
    mantissa, exponent = np.frexp(numbers[numbers != 0])
    if not mantissa.size:
        return 0, 0
    whole = np.abs(np.ldexp(mantissa, _DOUBLE_BITS)).astype(np.int64)
    zeros = np.frexp((whole & -whole).astype(np.float64))[1] - 1
    return int((exponent - _DOUBLE_BITS + zeros).min()), int(exponent.max())


def _slices(numbers: Doubles) -> tuple[int, list[Doubles]]:
    """Cut numbers into slices of 18 bits, lowest first: numbers = 2**unit * sum of slices[i] * 2**(18 i)."""
    unit, top = span(numbers)
    parts, rest = [], numbers
    for place in range(max(1, -(-(top - unit) // _SLICE_BITS)) - 1, -1, -1):
        part = np.trunc(np.ldexp(rest, -unit - place * _SLICE_BITS))
        parts.append(part)
        rest = rest - np.ldexp(part, unit + place * _SLICE_BITS)
    return unit, parts[::-1]


def _carried(sums: list[Doubles], place: int, more: Doubles) -> list[Doubles]:
    """Add whole numbers at a place, and hand on what does not fit into 18 bits."""
    while place + 3 >= len(sums):
        sums = [*sums, np.zeros_like(more)]
    while place < len(sums) - 1:
        total = sums[place] + more
        more = np.floor(np.ldexp(total, -_SLICE_BITS))
        sums[place] = total - np.ldexp(more, _SLICE_BITS)
        place += 1
    sums[place] = sums[place] + more
    return sums


def _odd(sums: list[Doubles], unit: int) -> Doubles:
    """Put whole numbers of 18 bits, lowest first and the last with the sign, together, rounded to odd."""
    negative = sums[-1] < 0
    digits, carry = [], np.zeros_like(sums[0])
    for part in sums[:-1]:  # the digits of the magnitude
        total = np.where(negative, -part, part) + carry
        carry = np.floor(np.ldexp(total, -_SLICE_BITS))
        digits.append(total - np.ldexp(carry, _SLICE_BITS))
    digits.append(np.where(negative, -sums[-1], sums[-1]) + carry)
    made, lost = np.zeros_like(carry), np.zeros(carry.shape, bool)
    for place in range(len(digits) - 1, -1, -1):
        term = np.ldexp(digits[place], place * _SLICE_BITS)
        total = made + term
        error = term - (total - made)  # exact, as the larger one comes first or is zero
        total = np.where(error < 0, np.nextafter(total, 0.0), total)
        made = np.where(lost, made, total)
        lost |= (error != 0) | (lost & (term != 0))
    odd = (made.view(np.int64) | lost).view(np.float64)
    return np.where(negative, -1.0, 1.0) * np.ldexp(odd, unit)
