"""Numba: loops over NumPy's arrays, compiled when they are first called, in one thread.

It has no products of matrices and no transforms of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32]
Image = NDArray[np.uint8]


def _view(image: Image) -> Image:
    high, wide = image.shape[0], image.shape[1]
    return image[high // 4 : high - high // 4, wide // 4 : wide - wide // 4]


def _slice(image: Image) -> Image:
    high, wide = image.shape[0], image.shape[1]
    return image[high // 4 : high - high // 4, wide // 4 : wide - wide // 4].copy()


def _flip(image: Image) -> Image:
    return image[:, ::-1].copy()


def _copy(image: Image) -> Image:
    return image.copy()


def _index(values: Values, places: NDArray[np.int64]) -> Values:
    made = np.empty(places.size, values.dtype)
    for place in range(places.size):
        made[place] = values[places[place]]
    return made


def _mask(values: Values) -> Values:
    made, count = np.empty_like(values), 0
    for value in values:
        if value > 0:
            made[count] = value
            count += 1
    return made[:count].copy()


def _broadcast(rows: Values, scale: Values, shift: Values) -> Values:
    made = np.empty_like(rows)
    for row in range(rows.shape[0]):
        for column in range(rows.shape[1]):
            made[row, column] = rows[row, column] * scale[column] + shift[column]
    return made


def _elementwise(one: Values, other: Values) -> Values:
    made = np.empty_like(one)
    for place in range(one.size):
        made[place] = math.sqrt(one[place] * one[place] + other[place] * other[place])
    return made


def _sum(values: Values) -> np.float32:
    total = 0.0  # in float64: added one after the other, float32 would be far off
    for value in values:
        total += value
    return np.float32(total)


def _mean(rows: Values) -> Values:
    totals = np.zeros(rows.shape[1], np.float32)
    for row in range(rows.shape[0]):
        for column in range(rows.shape[1]):
            totals[column] += rows[row, column]
    return totals / np.float32(rows.shape[0])


def _sort(values: Values) -> Values:
    return np.sort(values)


_LOOPS = (_view, _slice, _flip, _copy, _index, _mask, _broadcast, _elementwise, _sum, _mean, _sort)
CALLS = {loop.__name__.removeprefix("_"): numba.njit(loop) for loop in _LOOPS}


def version() -> str:
    """Installed version."""
    return str(numba.__version__)


def devices() -> tuple[str, ...]:
    """The processor; its CUDA kernels are written by hand, and are not these."""
    return ("cpu",)


def threads() -> int:
    """One."""
    return 1


def put(array: NDArray[Any], device: str) -> NDArray[Any]:
    """The array itself."""
    del device
    return array


def get(result: Any) -> NDArray[Any]:
    """The result itself."""
    return np.asarray(result)


def waiter(device: str) -> Callable[[Any], object] | None:
    """Nothing to wait for."""
    del device
    return None
