"""The operations in NumPy's words, for every library that speaks them.

>>> import numpy as np
>>> calls(np, np.array)["flip"](np.arange(6).reshape(1, 2, 3)).tolist()
[[[3, 4, 5], [0, 1, 2]]]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chipwise.numerics.library import Call


def crop(image: Any) -> Any:
    """The middle half of an image [H, W, C] each way; what slicing gives, in any library."""
    height, width = image.shape[:2]
    return image[height // 4 : height - height // 4, width // 4 : width - width // 4]


def calls(xp: Any, copied: Call) -> dict[str, Call]:
    """All operations.

    Args:
        xp: the library, which has NumPy's functions.
        copied: copies an array into memory of its own, in order.
    """
    return {
        "view": crop,
        "slice": lambda image: copied(crop(image)),
        "flip": lambda image: copied(image[:, ::-1]),
        "copy": copied,
        "index": lambda values, places: values[places],
        "mask": lambda values: values[values > 0],
        "broadcast": lambda rows, scale, shift: rows * scale + shift,
        "elementwise": lambda one, other: xp.sqrt(one * one + other * other),
        "sum": lambda values: values.sum(),
        "mean": lambda rows: rows.mean(axis=0),
        "matmul": lambda one, other: one @ other,
        "fft": xp.fft.rfft,
        "sort": xp.sort,
    }
