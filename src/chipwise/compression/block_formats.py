"""Blocks of 32 numbers that share one power of two: the MX formats.

Source: OCP Microscaling Formats (MX) Specification 1.0, 2023, section 6.3: the shared scale is 2 to the exponent of the
block's largest magnitude, less the exponent of the largest value of the element format; elements are rounded to nearest
even and saturate. The scale is an E8M0 number, 2**-127 to 2**127.

>>> from chipwise.compression.number_tables import binary_float
>>> element = binary_float(exponent_bits=2, mantissa_bits=1, top="finite")
>>> values, beyond = quantize_blocks([[1000.0, 600.0, 100.0, 0.1]], element)
>>> values.tolist(), beyond
([[768.0, 512.0, 128.0, 0.0]], 1)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from chipwise.compression.number_tables import NumberTable

BLOCK = 32
_LEAST_SCALE, _MOST_SCALE = -127, 127


def quantize_blocks(array: ArrayLike, element: NumberTable, block: int = BLOCK) -> tuple[NDArray[np.float64], int]:
    """Round an array to elements that share a scale along its last axis.

    Args:
        array: numbers [..., K]; the last block of a row may be shorter.
        element: format of the elements.
        block: how many share a scale.

    Returns:
        float64 [..., K], element times scale, which is exact: NaN in blocks that hold a number that is not finite. And
        how many numbers saturate although their block has a scale: its power of two is not always large enough.
    """
    given = np.asarray(array, np.float64)
    size = given.shape[-1]
    padded = np.pad(given, [(0, 0)] * (given.ndim - 1) + [(0, -size % block)])
    blocks = padded.reshape(*given.shape[:-1], padded.shape[-1] // block, block)
    finite = np.isfinite(blocks)
    held = np.where(finite, blocks, 0.0)
    exponents = _scale_exponents(held, element)[..., None]
    made = np.ldexp(element.quantize(np.ldexp(held, -exponents)), exponents)
    made = np.where(finite.all(axis=-1, keepdims=True), made, np.nan)
    beyond = int(np.count_nonzero(np.abs(blocks) > np.ldexp(element.largest, exponents)))
    return np.asarray(made.reshape(padded.shape)[..., :size]), beyond


def _scale_exponents(blocks: NDArray[np.float64], element: NumberTable) -> NDArray[np.int64]:
    """Exponent of each block's scale; a block of zeros has the smallest.

    Args:
        blocks: [..., block].
        element: format of the elements.
    """
    largest = np.abs(blocks).max(axis=-1)
    exponents = np.frexp(largest)[1] - 1 - (np.frexp(element.largest)[1] - 1)
    return np.clip(np.where(largest > 0, exponents, _LEAST_SCALE), _LEAST_SCALE, _MOST_SCALE).astype(np.int64)
