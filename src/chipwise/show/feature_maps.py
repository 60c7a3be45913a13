"""Kernels and feature maps as pictures: a grid with one cell a kernel, or a channel.

>>> import numpy as np
>>> kernel_sheet(np.ones((4, 3, 5, 5), np.float32)).shape[2], map_sheet(np.zeros((2, 8, 8), np.float32)).ndim
(3, 3)
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Cell = NDArray[np.uint8]

MOST = 256  # cells in one picture; more would be too small to see
_GAP, _WHITE = 2, 255
_KERNEL_SIDE, _MAP_SIDE = 36, 72


def kernel_sheet(kernels: NDArray[Any], most: int = MOST) -> NDArray[np.uint8]:
    """Draw the kernels of a convolution: in colours where they read three channels, else one cell an input channel.

    Grey is 0; each kernel is stretched to its own largest absolute value, so that its form is seen. Where a kernel
    reads many channels, a row shows its first 16, for the first 16 kernels.

    Args:
        kernels: [O, I, height, width], or [O, I, length].
        most: cells at most.

    Returns:
        uint8 [H, W, 3].
    """
    values = kernels.astype(np.float64)
    values = values[:, :, None, :] if values.ndim == 3 else values
    if values.shape[1] == 3:
        cells = [_centred(kernel.transpose(1, 2, 0)) for kernel in values[:most]]
        return _sheet(_enlarged(cells, _KERNEL_SIDE), _columns(len(cells)))
    if values.shape[1] == 1:
        cells = [_centred(kernel.transpose(1, 2, 0).repeat(3, axis=2)) for kernel in values[:most]]
        return _sheet(_enlarged(cells, _KERNEL_SIDE), _columns(len(cells)))
    side = math.isqrt(most)
    rows = values[:side, :side]
    cells = [_centred(plane[:, :, None].repeat(3, axis=2)) for kernel in rows for plane in kernel]
    return _sheet(_enlarged(cells, _KERNEL_SIDE), rows.shape[1])


def map_sheet(maps: NDArray[Any], most: int = MOST) -> NDArray[np.uint8]:
    """Draw feature maps, one cell a channel: dark where the channel is lowest, yellow where it is highest.

    Args:
        maps: [C, H, W] of one item; [C, L] are drawn as strips, [K] and [K, 1, 1] as K fields.
        most: channels at most.

    Returns:
        uint8 [H, W, 3].
    """
    values = maps.astype(np.float64)
    values = values.reshape(-1) if values.size == len(values) else values
    if values.ndim == 1:
        side = math.ceil(math.sqrt(values.size))
        padded = np.full(side * math.ceil(values.size / side), values.min(initial=0.0))
        padded[: values.size] = values
        return _sheet(_enlarged([_coloured(padded.reshape(-1, side))], 4 * _MAP_SIDE), 1)
    values = values[:, None, :] if values.ndim == 2 else values.reshape(-1, *values.shape[-2:])
    cells = [_coloured(plane) for plane in values[:most]]
    return _sheet(_enlarged(cells, _MAP_SIDE), _columns(len(cells)))


def png(picture: NDArray[np.uint8]) -> bytes:
    """A uint8 picture [H, W, 3] as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="PNG")
    return file.getvalue()


def _centred(kernel: NDArray[np.float64]) -> Cell:
    largest = np.abs(kernel).max(initial=0.0) or 1.0
    made: Cell = np.clip(127.5 + 127.5 * kernel / largest, 0, 255).round().astype(np.uint8)
    return made


def _coloured(plane: NDArray[np.float64]) -> Cell:
    finite = np.nan_to_num(plane, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = finite.min(initial=math.inf), finite.max(initial=-math.inf)
    share = (finite - low) / (high - low) if high > low else np.zeros_like(finite)
    made: Cell = (mpl.colormaps["viridis"](share)[..., :3] * 255).round().astype(np.uint8)
    return made


def _enlarged(cells: Sequence[Cell], side: int) -> list[Cell]:
    """Whole multiples, so that every value stays a square."""
    return [
        cell.repeat(factor, axis=0).repeat(factor, axis=1)
        for cell in cells
        for factor in [max(1, round(side / max(cell.shape[:2])))]
    ]


def _columns(count: int) -> int:
    return max(1, math.ceil(math.sqrt(count)))


def _sheet(cells: Sequence[Cell], columns: int) -> NDArray[np.uint8]:
    height, width = cells[0].shape[:2]
    rows = math.ceil(len(cells) / columns)
    sheet = np.full((rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP, 3), _WHITE, np.uint8)
    for place, cell in enumerate(cells):
        top, left = (
            _GAP + index * (size + _GAP) for index, size in zip(divmod(place, columns), (height, width), strict=True)
        )
        sheet[top : top + height, left : left + width] = cell
    return sheet
