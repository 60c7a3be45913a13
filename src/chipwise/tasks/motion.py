"""Pictures that are shifted, turned or scaled, all by the same amount: bilinear, rounded, of the same size as before.

>>> picture = np.arange(9, dtype=np.uint8).reshape(1, 3, 3, 1)
>>> shifted(picture, 0, 1, (7,))[0, :, :, 0].tolist()
[[7, 0, 1], [7, 3, 4], [7, 6, 7]]
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Pictures = NDArray[np.uint8]

_CHUNK = 64  # pictures turned to float at a time: bounds what is needed besides the result


def shifted(pictures: Pictures, down: float, right: float, fill: Sequence[int]) -> Pictures:
    """Move pictures.

    Args:
        pictures: uint8 [N, H, W, C].
        down: pixels; negative ones move up.
        right: pixels; negative ones move to the left.
        fill: value of what comes in, one a channel.

    Returns:
        as many pictures of the same size; by whole pixels, the very values.
    """
    return _warped(pictures, np.eye(2), (down, right), fill)


def turned(pictures: Pictures, degrees: float, fill: Sequence[int]) -> Pictures:
    """Turn pictures counter-clockwise about their middle; by 90 degrees, squares are as `numpy.rot90` gives them.

    Args:
        pictures: uint8 [N, H, W, C].
        degrees: negative ones turn clockwise.
        fill: value of what comes in, one a channel.
    """
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return _warped(pictures, np.array([[cos, sin], [-sin, cos]]), (0.0, 0.0), fill)


def scaled(pictures: Pictures, factor: float, fill: Sequence[int]) -> Pictures:
    """Make what is seen so many times as large about the middle, by bilinear samples: nothing is averaged.

    Args:
        pictures: uint8 [N, H, W, C].
        factor: above 0; below 1 makes it smaller.
        fill: value of what comes in, one a channel.
    """
    return _warped(pictures, np.eye(2) / factor, (0.0, 0.0), fill)


def edge_value(pictures: Pictures) -> tuple[int, ...]:
    """The median of the pixels on the edges of pictures [N, H, W, C], one value a channel: their usual background."""
    edges = (pictures[:, 0], pictures[:, -1], pictures[:, :, 0], pictures[:, :, -1])
    pixels = np.concatenate([edge.reshape(-1, pictures.shape[3]) for edge in edges])
    return tuple(int(value) for value in np.median(pixels, axis=0))


def _warped(pictures: Pictures, back: NDArray[np.float64], move: tuple[float, float], fill: Sequence[int]) -> Pictures:
    """Look up each pixel where it came from: `back` times its place about the middle, after `move` is undone."""
    count, height, width, channels = pictures.shape
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    middle = ((height - 1) / 2, (width - 1) / 2)
    places = np.stack([rows - move[0] - middle[0], columns - move[1] - middle[1]])
    down, right = np.tensordot(back, places, axes=1)
    taps = _taps(down + middle[0], right + middle[1])
    result = np.empty_like(pictures)
    for start in range(0, count, _CHUNK):
        part = pictures[start : start + _CHUNK]
        # A frame of the background, into which all that lies outside is looked up.
        framed = np.full((len(part), height + 2, width + 2, channels), fill, np.float32)
        framed[:, 1:-1, 1:-1] = part
        total = sum(weight[:, :, None] * framed[:, row, column] for row, column, weight in taps)
        result[start : start + _CHUNK] = np.rint(total)
    return result


def _taps(
    down: NDArray[np.float64], right: NDArray[np.float64]
) -> list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]]:
    """The four neighbours of each place [H, W], as rows and columns of the framed picture, with their weights."""
    last = (down.shape[0], down.shape[1])
    above, left = np.floor(down), np.floor(right)
    made = []
    for lower in (0, 1):
        for other in (0, 1):
            weight = np.abs(1 - lower - (down - above)) * np.abs(1 - other - (right - left))
            row = np.clip(above + lower, -1, last[0]).astype(np.int64) + 1
            column = np.clip(left + other, -1, last[1]).astype(np.int64) + 1
            made.append((row, column, weight.astype(np.float32)))
    return made
