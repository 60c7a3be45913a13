"""Posits of any width and exponent size, as tables.

A bit string is a sign, a regime (a run of equal bits that ends with the other one), up to `es` exponent bits and the
rest as fraction; its value is 2**(regime * 2**es + exponent) * (1 + fraction), negative numbers are the two's
complement, 100...0 is NaR (Gustafson and Yonemoto, "Beating Floating Point at its Own Game: Posit Arithmetic",
Supercomputing Frontiers and Innovations 4(2), 2017; Posit Standard 2022, where es is 2).

Rounding takes the infinite bit string of a number to the nearest one of `bits` bits, ties to the even string: two
posits of n bits part at the posit of n + 1 bits between them, which is their middle only where no exponent bit is cut
off. Nothing but zero becomes zero and nothing becomes NaR: what is beyond the ends becomes the end.

>>> table = posit(8, 0)
>>> table.largest, table.smallest, table.quantize([1e-9, 1e9, 1.02, 0.7]).tolist()
(64.0, 0.015625, [0.015625, 64.0, 1.03125, 0.703125])
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from chipwise.compression.number_tables import NumberTable, mirrored

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Parts = tuple[NDArray[np.int64], NDArray[np.float64]]


def posit(bits: int, exponent_bits: int) -> NumberTable:
    """Build the table of posits of so many bits and exponent bits.

    Args:
        bits: of one value, 3 to 16.
        exponent_bits: es, 0 or more.
    """
    written, parting, even = positive_strings(bits, exponent_bits)
    values = np.concatenate([[0.0], _value(*written)])
    # Zero's own threshold is zero: everything above it is the smallest value.
    thresholds = np.concatenate([[0.0], _value(*parting)])
    every, cuts = mirrored(values, thresholds, np.concatenate([[True], even]))
    fraction = max(bits - 3 - exponent_bits, 0)
    return NumberTable(
        bits,
        every,
        cuts,
        largest=float(values[-1]),
        smallest=float(values[1]),
        accuracy=2.0 ** -(fraction + 1),
        of_infinity="nan",
    )


def positive_strings(bits: int, exponent_bits: int) -> tuple[Parts, Parts, NDArray[np.bool_]]:
    """Exponents and fractions of all positive bit strings; logarithmic formats are written the same way.

    Args:
        bits: of a string with its sign.
        exponent_bits: es.

    Returns:
        of the strings, ascending, [n]; of the strings of one bit more that part neighbours, [n - 1]; and whether the
        lower neighbour is even, which has the ties, [n - 1].
    """
    patterns = np.arange(1, 2 ** (bits - 1))
    parting = _tapered(2 * patterns[:-1] + 1, bits + 1, exponent_bits)
    return _tapered(patterns, bits, exponent_bits), parting, patterns[:-1] % 2 == 0


def _tapered(patterns: NDArray[np.int64], bits: int, exponent_bits: int) -> Parts:
    """Take positive bit strings apart into exponent and fraction.

    Args:
        patterns: whole numbers of at most `bits - 1` bits, none of them zero.
        bits: of a string with its sign.
        exponent_bits: es; bits of the exponent that are cut off count as zeros.

    Returns:
        the exponent regime * 2**es + e, and the fraction in 0..1 (without 1).
    """
    room = bits - 1
    ones = patterns >> (room - 1) == 1
    run = room - _bit_length(np.where(ones, ~patterns & (2**room - 1), patterns))
    regime = np.where(ones, run - 1, -run)
    left = np.maximum(room - run - 1, 0)
    rest = patterns & ((1 << left) - 1)
    held = np.minimum(left, exponent_bits)
    low = left - held
    exponent = (rest >> low) << (exponent_bits - held)
    fraction = np.ldexp((rest & ((1 << low) - 1)).astype(np.float64), -low)
    return regime * 2**exponent_bits + exponent, fraction


def _value(exponent: NDArray[np.int64], fraction: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.ldexp(1.0 + fraction, exponent), np.float64)


def _bit_length(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.frexp(numbers.astype(np.float64))[1].astype(np.int64)
