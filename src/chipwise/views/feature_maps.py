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
from PIL import Image, ImageDraw

from chipwise.views.overlay import font, shortened
from chipwise.views.units import format_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Cell = NDArray[np.uint8]

MOST = 256  # cells in one picture; more would be too small to see
_GAP, _WHITE, _INK = 2, (255, 255, 255), (40, 40, 40)
_KERNEL_SIDE, _MAP_SIDE, _WIDE = 36, 72, 480
_TITLE, _LABEL, _TITLE_SIZE, _LABEL_SIZE = 24, 13, 13, 9


def kernel_sheet(kernels: NDArray[Any], name: str = "", most: int = MOST) -> NDArray[np.uint8]:
    """Draw the kernels of a convolution: in colours where they read three channels, else one cell an input channel.

    Grey is 0; each kernel is stretched to its own largest absolute value, so that its form is seen. Where a kernel
    reads many channels, a row shows its first 16, for the first 16 kernels: "3:7" is what kernel 3 does to channel 7.

    Args:
        kernels: [O, I, height, width], or [O, I, length].
        name: of the layer; it stands above, with the shape.
        most: cells at most.

    Returns:
        uint8 [H, W, 3], at least 480 wide.
    """
    values = kernels.astype(np.float64)
    values = values[:, :, None, :] if values.ndim == 3 else values
    title = f"{name} kernels {format_shape(kernels.shape)}".strip()
    if values.shape[1] in (1, 3):
        kept = values[:most].transpose(0, 2, 3, 1)
        cells = [_centred(kernel.repeat(3 // kernel.shape[2], axis=2)) for kernel in kept]
        return _sheet(cells, _columns(len(cells)), _KERNEL_SIDE, _of(title, len(cells), len(values)))
    side = math.isqrt(most)
    rows = values[:side, :side]
    cells = [_centred(plane[:, :, None].repeat(3, axis=2)) for kernel in rows for plane in kernel]
    labels = [f"{kernel}:{channel}" for kernel, channel in np.ndindex(*rows.shape[:2])]
    title = _of(title, len(cells), values.shape[0] * values.shape[1])
    return _sheet(cells, rows.shape[1], _KERNEL_SIDE, title, labels)


def map_sheet(maps: NDArray[Any], name: str = "", most: int = MOST) -> NDArray[np.uint8]:
    """Draw feature maps, one cell a channel: dark where the channel is lowest, yellow where it is highest.

    Args:
        maps: [C, H, W] of one item; [C, L] are drawn as strips, [K] and [K, 1, 1] as K fields of one scale.
        name: of the layer; it stands above, with the shape.
        most: channels at most; more than so many fields are drawn without gaps and numbers.

    Returns:
        uint8 [H, W, 3], at least 480 wide.
    """
    title = f"{name} {format_shape(maps.shape)}".strip()
    values = maps.astype(np.float64)
    values = values.reshape(-1) if values.size == len(values) else values
    if values.ndim == 1:
        columns = _columns(values.size)
        padded = np.full(columns * math.ceil(values.size / columns), values.min(initial=0.0))
        padded[: values.size] = values
        fields = _coloured(padded.reshape(-1, columns))
        if values.size > most:
            return _sheet([fields], 1, 4 * _MAP_SIDE, title, [""])
        return _sheet(list(fields.reshape(-1, 1, 1, 3)[: values.size]), columns, _MAP_SIDE, title)
    values = values[:, None, :] if values.ndim == 2 else values.reshape(-1, *values.shape[-2:])
    cells = [_coloured(plane) for plane in values[:most]]
    return _sheet(cells, _columns(len(cells)), _MAP_SIDE, _of(title, len(cells), len(values)))


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


def _factor(height: int, width: int, columns: int, side: int) -> int:
    """A whole multiple, so that every value stays a square; more where few small cells would make a tiny sheet."""
    room, longest = (_WIDE - _GAP) // columns - _GAP, max(height, width)
    return max(1, round(side / longest), min(math.ceil(room / width), _WIDE // longest))


def _of(title: str, shown: int, count: int) -> str:
    return title if shown == count else f"{title}, {shown} of {count}"


def _columns(count: int) -> int:
    return max(1, math.ceil(math.sqrt(count)))


def _sheet(
    cells: Sequence[Cell], columns: int, side: int, title: str, labels: Sequence[str] | None = None
) -> NDArray[np.uint8]:
    """Cells row by row, each below its label (its number, if there are none), all below a title."""
    height, width = cells[0].shape[:2]
    factor = _factor(height, width, columns, side)
    down, across = height * factor + _LABEL + _GAP, width * factor + _GAP
    rows = math.ceil(len(cells) / columns)
    page = Image.new("RGB", (max(columns * across + _GAP, _WIDE), _TITLE + rows * down + _GAP), _WHITE)
    draw = ImageDraw.Draw(page)
    draw.text((_GAP, 4), shortened(title, _TITLE_SIZE, page.width - 2 * _GAP), _INK, font(_TITLE_SIZE))
    for place, cell in enumerate(cells):
        row, column = divmod(place, columns)
        left, top = _GAP + column * across, _TITLE + row * down
        label = labels[place] if labels else str(place)
        if font(_LABEL_SIZE).getlength(label) <= across:
            draw.text((left, top), label, _INK, font(_LABEL_SIZE))
        page.paste(Image.fromarray(cell.repeat(factor, axis=0).repeat(factor, axis=1)), (left, top + _LABEL))
    return np.asarray(page)
