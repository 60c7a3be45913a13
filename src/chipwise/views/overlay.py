"""What a network sees, drawn: bars beside a picture, boxes with names, coloured areas with a legend.

Every function takes a uint8 picture [H, W, 1 or 3] and gives the bytes of a PNG. Tiny pictures are enlarged and
huge ones made smaller, so that names can be read.

>>> import numpy as np
>>> boxes_png(np.zeros((60, 80, 3), np.uint8), (Box("dog", 0.9, 10, 10, 70, 50),))[1:4]
b'PNG'
"""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from chipwise.core.report import Box
from chipwise.views.units import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Colour = tuple[int, int, int]
    Picture = NDArray[np.uint8]
    Edges = tuple[float, float, float, float]

_SMALLEST, _LARGEST = 320, 1600  # pixels of the longer side that is drawn on
_INK, _MUTED, _TRACK, _ACCENT, _PAPER = (22, 25, 31), (90, 100, 114), (223, 227, 232), (184, 67, 15), (255, 255, 255)
_BARS_WIDTH = 380
_LEAST_SHOWN = 0.0005  # what is printed as 0.0% gets no bar
_MOST_ROWS = 6  # that a name may be moved down to be seen
_TINT = 0.55  # how much of an area's colour covers the picture
_BACKGROUND = ("background", "none", "unlabeled", "other")
# Twelve colours that are easily told apart; the first six are Paul Tol's "bright" scheme (sron.nl/~pault).
_COLOURS: tuple[Colour, ...] = (
    (238, 102, 119), (34, 136, 51), (68, 119, 170), (204, 187, 68), (102, 204, 238), (170, 51, 119),
    (0, 153, 136), (245, 140, 230), (130, 60, 20), (51, 34, 136), (153, 153, 51), (255, 136, 0),
)  # fmt: skip


def classes_png(picture: Picture | None, top: Sequence[tuple[str, float]]) -> bytes:
    """The picture with a bar for each class that was named, the most likely first; bars alone without a picture."""
    left = None if picture is None else _canvas(picture)[0]
    size, rows = 16, max(len(top), 1)
    height = max(0 if left is None else left.height, rows * 46 + 20)
    start = 0 if left is None else left.width
    page = Image.new("RGB", (start + _BARS_WIDTH, height), _PAPER)
    if left is not None:
        page.paste(left, (0, (height - left.height) // 2))
    draw, x, wide = ImageDraw.Draw(page), start + 20, _BARS_WIDTH - 40
    y = (height - rows * 46) // 2 + 4
    for label, share in top:
        value = f"{share:.1%}"
        room = wide - _length(value, size) - 10
        draw.text((x, y), shortened(label, size, room), _INK, font(size))
        draw.text((x + wide, y), value, _INK, font(size), anchor="ra")
        draw.rectangle((x, y + 24, x + wide, y + 32), _TRACK)
        if share >= _LEAST_SHOWN:
            draw.rectangle((x, y + 24, x + max(wide * min(share, 1.0), 2), y + 32), _ACCENT)
        y += 46
    return _png(page)


def boxes_png(picture: Picture, boxes: Sequence[Box]) -> bytes:
    """The picture with its boxes, each with name and score; colours go by class, names stay inside the picture."""
    page, factor = _canvas(picture)
    draw, colours = ImageDraw.Draw(page), _by_label([box.label for box in boxes])
    edges = [(box.left * factor, box.top * factor, box.right * factor, box.bottom * factor) for box in boxes]
    usual = median(bottom - top for _, top, _, bottom in edges) if edges else 0
    size = max(12, min(min(page.size) // 32, round(usual * 0.6)))  # names of small things are small
    line = max(2, min(page.size) // 200)
    for box, (left, top, right, bottom) in reversed(list(zip(boxes, edges, strict=True))):
        draw.rectangle((left, top, max(right, left), max(bottom, top)), outline=_INK, width=line + 2)
        inner = (left + 1, top + 1, max(right - 1, left + 1), max(bottom - 1, top + 1))
        draw.rectangle(inner, outline=colours[box.label], width=line)
    taken = [each for each in edges if each[3] - each[1] < 2 * size]  # no name hides a small box
    for box, (left, top, _, _) in zip(boxes, edges, strict=True):
        _tag(page, f"{plain(box.label)} {box.score:.0%}", _Tag((left, top), size, colours[box.label]), taken)
    return _png(page)


def areas_png(
    picture: Picture | None, classes: NDArray[np.integer], labels: Sequence[str], areas: Sequence[tuple[str, float]]
) -> bytes:
    """The picture with every area in its class's colour (VOC's colour map), and a legend below.

    Args:
        picture: None to colour the areas on grey.
        classes: [H, W] class of each pixel; negative where nothing is known, which stays as it is.
        labels: of the task; class 0 stays uncoloured where it is the background, or nobody named it.
        areas: (label, share), for the legend.
    """
    base = np.full((*classes.shape, 3), 232, np.uint8) if picture is None else picture
    shown = _canvas(base)[0]
    kinds = _sampled(classes, shown.height, shown.width)
    plain_zero = not labels or labels[0].lower() in _BACKGROUND
    pixels = np.asarray(shown, np.float32)
    palette = np.array([_voc_colour(index) for index in range(int(max(kinds.max(), 0)) + 1)], np.float32)
    if not plain_zero:
        palette[0] = (224, 224, 192)
    marked = kinds > 0 if plain_zero else kinds >= 0
    tinted = np.where(marked[..., None], pixels * (1 - _TINT) + palette[np.maximum(kinds, 0)] * _TINT, pixels)
    tinted[_borders(kinds)] = 255
    page = Image.fromarray(tinted.round().clip(0, 255).astype(np.uint8))
    present = {_label(index, labels): tuple(int(part) for part in palette[index]) for index in np.unique(kinds[marked])}
    rows = [(present.get(label, _PAPER), f"{plain(label)} {share:.1%}") for label, share in areas]
    return _png(_with_legend(page, rows))


def image_png(image: Picture) -> bytes:
    """A picture that came out of a network, pixel by pixel as it is."""
    return _png(Image.fromarray(_rgb(image)))


@dataclass(frozen=True, slots=True)
class _Tag:
    """Where a name is wanted (the upper left corner of its box), and how it looks."""

    corner: tuple[float, float]
    size: int
    colour: Colour


def _tag(page: Image.Image, text: str, tag: _Tag, taken: list[Edges]) -> None:
    """A name on its colour: above the box, or inside it where there is no room; never outside the page.

    Where another name is already, it goes lower, as far as there is room.
    """
    draw, (left, top) = ImageDraw.Draw(page), tag.corner
    text = shortened(text, tag.size, page.width - 8)
    wide, high = _length(text, tag.size) + 8, tag.size + 6
    x = min(max(left, 0), page.width - wide)
    first = top - high if top >= high else min(max(top, 0), page.height - high)
    rows = [first + step * (high + 1) for step in range(_MOST_ROWS) if first + (step + 1) * (high + 1) <= page.height]
    free = (y for y in rows if not any(_overlap((x, y, x + wide, y + high), other) for other in taken))
    y = next(free, first)
    taken.append((x, y, x + wide, y + high))
    draw.rectangle(taken[-1], tag.colour, outline=_INK)
    draw.text((x + 4, y + high / 2), text, _readable_on(tag.colour), font(tag.size), anchor="lm")


def _overlap(a: Edges, b: Edges) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _with_legend(page: Image.Image, rows: Sequence[tuple[tuple[int, ...], str]]) -> Image.Image:
    size, x, y = 15, 12, 10
    placed: list[tuple[int, int, tuple[int, ...], str]] = []
    for colour, text in rows:
        short = shortened(text, size, page.width - 48)
        wide = 24 + int(_length(short, size)) + 18
        if placed and x + wide > page.width - 6:
            x, y = 12, y + 26
        placed.append((x, y, colour, short))
        x += wide
    whole = Image.new("RGB", (page.width, page.height + y + 30), _PAPER)
    whole.paste(page)
    draw = ImageDraw.Draw(whole)
    for left, top, colour, text in placed:
        top += page.height  # noqa: PLW2901  below the picture
        draw.rectangle((left, top, left + 16, top + 16), tuple(colour), outline=_MUTED)
        draw.text((left + 24, top + 8), text, _INK, font(size), anchor="lm")
    return whole


def _canvas(picture: Picture) -> tuple[Image.Image, float]:
    """The picture as RGB in a size that names can be read on, and the factor that it was resized by."""
    image = Image.fromarray(_rgb(picture))
    longer = max(image.size)
    if longer < _SMALLEST:
        factor = -(-_SMALLEST // longer)
        return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST), float(factor)
    if longer <= _LARGEST:
        return image, 1.0
    smaller = _LARGEST / longer
    size = (max(round(image.width * smaller), 1), max(round(image.height * smaller), 1))
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0), smaller


def _rgb(picture: Picture) -> Picture:
    return np.ascontiguousarray(np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture)


def _sampled(classes: NDArray[np.integer], height: int, width: int) -> NDArray[np.int64]:
    """The map in another size, each pixel the class of the nearest one."""
    rows, columns = ((np.arange(n) + 0.5) * have // n for n, have in zip((height, width), classes.shape, strict=True))
    nearest: NDArray[np.int64] = classes[rows.astype(int)[:, None], columns.astype(int)].astype(np.int64)
    return nearest


def _borders(kinds: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Pixels whose right or lower neighbour is of another class."""
    found = np.zeros(kinds.shape, bool)
    found[:-1] |= kinds[:-1] != kinds[1:]
    found[:, :-1] |= kinds[:, :-1] != kinds[:, 1:]
    return found


def _voc_colour(index: int) -> Colour:
    """The colour map of Pascal VOC's devkit (VOClabelcolormap.m): one bit of three goes to each channel at a time."""
    red = green = blue = 0
    for shift in range(7, -1, -1):
        red |= (index & 1) << shift
        green |= (index >> 1 & 1) << shift
        blue |= (index >> 2 & 1) << shift
        index >>= 3
    return red, green, blue


def _by_label(labels: Sequence[str]) -> dict[str, Colour]:
    """A colour for each label: the same in every picture, unless two in one picture would share it."""
    chosen: dict[str, Colour] = {}
    for label in dict.fromkeys(labels):
        start = zlib.crc32(label.encode("utf-8", "replace")) % len(_COLOURS)
        turned = _COLOURS[start:] + _COLOURS[:start]
        chosen[label] = next((colour for colour in turned if colour not in chosen.values()), turned[0])
    return chosen


def _label(index: int, labels: Sequence[str]) -> str:
    return labels[index] if index < len(labels) and labels[index] else f"class {index}"


def _readable_on(colour: Colour) -> Colour:
    """Black or white, whichever differs more in lightness (ITU-R BT.601)."""
    return (0, 0, 0) if 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 140 else (255, 255, 255)


def shortened(text: str, size: int, room: float) -> str:
    """The text, its end left out where it is wider than the room."""
    text = plain(text)[:200]
    if _length(text, size) <= room:
        return text
    while text and _length(f"{text}…", size) > room:
        text = text[:-1]
    return f"{text}…"


def _length(text: str, size: int) -> float:
    return float(font(size).getlength(text))


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """The letters of all drawings, so high in pixels."""
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
