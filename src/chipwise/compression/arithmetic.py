"""Products of matrices in a number format: operands rounded to it, products added up as its accumulator does.

>>> from chipwise.compression.number_formats import number_formats
>>> known = number_formats()
>>> left, right = encode([[1.0, 100.0]], known["int8"]), encode([[0.5], [0.25]], known["int8"], axis=0)
>>> float(multiply(left, right, known["int8"])[0, 0]).__round__(3)
25.591
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from chipwise.compression.block_formats import quantize_blocks
from chipwise.compression.exact_sums import exact_product

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from chipwise.compression.number_formats import NumberFormat
    from chipwise.compression.number_tables import NumberTable

    Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Encoded:
    """An array in a number format.

    Attributes:
        values: values of the format, float64; with the blocks' scales where blocks have one.
        scale: what they are to be multiplied by: one number, or one a column.
        saturated: numbers that were beyond the largest value.
        tiny: numbers that were not zero and became zero, or nearer to it than the smallest value.
    """

    values: Doubles
    scale: Doubles
    saturated: int
    tiny: int


def encode(
    array: ArrayLike, form: NumberFormat, *, axis: int | None = None, block_axis: int = -1, largest: float | None = None
) -> Encoded:
    """Round an array to a format, with the scale that the format wants.

    What is not finite becomes NaN, but for infinities of formats that have them.

    Args:
        array: numbers of any shape.
        form: the format.
        axis: where scales differ along the other axes, the one that they are the same along; None for one scale.
        block_axis: along which blocks lie.
        largest: magnitude that is brought to the format's largest value; None takes it from the array.
    """
    given = np.asarray(array, np.float64)
    if form.block:
        moved = np.moveaxis(given, block_axis, -1)
        blocks, beyond = quantize_blocks(moved, form.table, form.block)
        made = np.moveaxis(blocks, -1, block_axis)
        return Encoded(made, np.ones(()), beyond, int(np.count_nonzero((made == 0) & (given != 0))))
    scale = np.ones(())
    if form.scaling != "none":
        top = np.abs(given).max(axis=axis, initial=0.0) if largest is None else np.asarray(largest)
        scale = np.where(top > 0, top / form.table.largest, 1.0)
        if form.scaling == "power-of-two":
            scale = np.exp2(np.ceil(np.log2(scale)))
        given = given / (scale if axis is None else np.expand_dims(scale, axis))
    made = form.table.quantize(given)
    if form.table.overflow != "infinity":
        made = np.where(np.isinf(given), np.nan, made)
    size = np.abs(given)
    # The largest itself may come out of its own division a little larger.
    saturated = int(np.count_nonzero(size > form.table.largest * (1 + 2.0**-50)))
    tiny = int(np.count_nonzero((size > 0) & ((made == 0) | (size < form.table.smallest))))
    return Encoded(made, np.asarray(scale), saturated, tiny)


def multiply(left: Encoded, right: Encoded, form: NumberFormat) -> Doubles:
    """Multiply two matrices of a format; what the accumulator holds in the end, as numbers.

    Args:
        left: [M, K], with one scale.
        right: [K, N], with one scale, or one for each of the N.
        form: their format.

    Returns:
        float64 [M, N], not yet rounded to the format. Sums that are exact but longer than 53 bits are rounded to odd.
    """
    sums = accumulate(left.values, right.values, form)
    return sums * left.scale * right.scale


def accumulate(left: Doubles, right: Doubles, form: NumberFormat) -> Doubles:
    """Sum the products of values of a format.

    "exact" rounds nothing; "elma" converts each product to alpha bits and then rounds nothing; "fp32" is a product of
    float32 matrices, whose order is the library's; "fp16" adds one product after the other, each sum rounded; "int32"
    is exact and then kept to 32 bits, as two's complement wraps. A row of `left` that is not finite has sums that are
    NaN where the accumulator knows neither infinity nor NaN.

    Args:
        left: [M, K].
        right: [K, N].
        form: their format.

    Raises:
        InputError: as `exact_product`, of a `right` that is not finite.
    """
    if form.accumulator == "fp32":
        with np.errstate(over="ignore", invalid="ignore"):
            return (left.astype(np.float32) @ right.astype(np.float32)).astype(np.float64)
    if form.accumulator == "fp16":
        return _half_sums(left, right, form.table)
    bad = np.asarray(~np.isfinite(left).all(axis=1))
    held = np.where(bad[:, None], 0.0, left) if bad.any() else left
    sums = exact_product(held, right) if form.log is None else form.log.products_linear(held, right)
    if form.accumulator == "int32":
        sums = wrapped(sums)
    sums[bad] = np.nan
    return sums


def wrapped(sums: Doubles) -> Doubles:
    """Whole numbers as two's complement of 32 bits keeps them.

    >>> wrapped(np.array([2.0**31, -1.0, 2.0**32 + 5])).tolist()
    [-2147483648.0, -1.0, 5.0]
    """
    half = 2.0**31
    return np.asarray(np.mod(sums + half, 2 * half) - half)


def _half_sums(left: Doubles, right: Doubles, half: NumberTable) -> Doubles:
    """Add products one by one; each sum is rounded once, from its exact value."""
    sums = np.zeros((left.shape[0], right.shape[1]))
    with np.errstate(over="ignore", invalid="ignore"):
        for place in range(left.shape[1]):
            product = np.multiply.outer(left[:, place], right[place])  # 22 bits: exact
            total = sums + product
            back = total - sums
            error = (sums - (total - back)) + (product - back)  # Knuth's: what the addition lost
            toward = np.where(error > 0, np.inf, -np.inf)
            even = np.ascontiguousarray(total).view(np.int64) % 2 == 0
            odd = np.where((error != 0) & even & np.isfinite(total), np.nextafter(total, toward), total)
            sums = half.quantize(odd)
    return sums
