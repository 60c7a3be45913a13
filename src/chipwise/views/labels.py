"""Places for the names of points in a chart, so that no name covers another one or a point.

Sizes and places are in points (1/72 inch). Names come in the order of their weight: one that finds no room is left out.

>>> [place is not None for place in placed([(50, 50), (52, 50)], [(30, 8), (30, 8)], (0, 0, 100, 100))]
[True, True]
>>> placed([(50, 50)], [(300, 8)], (0, 0, 100, 100))
[None]
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from matplotlib.textpath import TextPath

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Spot = tuple[float, float]
Line = tuple[Spot, Spot]
Box = tuple[float, float, float, float]  # left, bottom, right, top

_DOT = 2.8  # half of what a point takes
_BESIDE = 8.0  # from here on a line leads from a name to its point
# Where a name may stand, seen from its point: a distance, and a direction; the nearest come first.
_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
_DISTANCES = (4.0, 10.0, 18.0, 28.0, 42.0, 60.0)


def placed(points: Sequence[Spot], sizes: Sequence[Spot], bounds: Box, taken: Sequence[Box] = ()) -> list[Spot | None]:
    """The middle of each name, or None where there is no room.

    Args:
        points: where each name belongs, those that must be named first; a name without a size is a point only.
        sizes: width and height of each name.
        bounds: what names must not leave.
        taken: what they must not cover besides.
    """
    blocked = [*taken, *(_around(point, (2 * _DOT, 2 * _DOT)) for point in points)]
    names: list[Box] = []
    leaders: list[Box] = []
    found: list[Spot | None] = []
    for point, size in zip(points, sizes, strict=True):
        spot = next(
            (
                spot
                for spot in _spots(point, size)
                if _fits(_around(spot, size), bounds, [*blocked, *names, *leaders])
                and not any(_meet(step, other) for step in _leader(point, spot, size) for other in (*names, *leaders))
            ),
            None,
        )
        if spot is not None:
            names.append(_around(spot, size))
            leaders += _leader(point, spot, size)
        found.append(spot)
    return found


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places moved as little as needed so that neighbours are `gap` apart, or evenly where low..high has no room."""
    order = sorted(range(len(places)), key=lambda index: places[index])
    gap = min(gap, (high - low) / max(len(places) - 1, 1))
    # With what the gaps take removed, places must only not fall: neighbours that do are pooled into their mean.
    pools: list[tuple[float, int]] = []
    for rank, index in enumerate(order):
        mean, count = places[index] - rank * gap, 1
        while pools and pools[-1][0] > mean:
            before, many = pools.pop()
            mean, count = (mean * count + before * many) / (count + many), count + many
        pools.append((mean, count))
    level = [min(max(mean, low), high - (len(places) - 1) * gap) for mean, count in pools for _ in range(count)]
    moved = [0.0] * len(places)
    for rank, index in enumerate(order):
        moved[index] = level[rank] + rank * gap
    return moved


def text_size(text: str, size_pt: float) -> Spot:
    """Width and height of a text; of an ample font, since the reader's is not known."""
    return _width(text) * size_pt + 2.0, size_pt * 1.25


@dataclass(frozen=True, slots=True)
class Name:
    """What to write beside a point, which is in the data of its axes."""

    point: Spot
    text: str
    colour: str


def name_points(
    figure: Figure, axes: Axes, names: Sequence[Name], leader: str, size_pt: float = 6.5, *, lines: Sequence[Line] = ()
) -> int:
    """Write names beside their points, with a line of colour `leader` to those that stand away.

    Limits and layout must be final (`figure.draw_without_rendering`). No name covers one of the `lines`, each from one
    point to another.

    Returns:
        how many found room.
    """
    unit = 72 / figure.dpi

    def on_paper(point: Spot) -> Spot:
        x, y = axes.transData.transform(point)
        return float(x) * unit, float(y) * unit

    spots = [on_paper(name.point) for name in names]
    taken = [box for start, end in lines for box in _along(on_paper(start), on_paper(end))]
    frame = axes.get_window_extent()
    bounds = (frame.x0 * unit, frame.y0 * unit, frame.x1 * unit, frame.y1 * unit)
    sizes = [text_size(name.text, size_pt) for name in names]
    middles = placed(spots, sizes, bounds, taken)
    for name, spot, size, middle in zip(names, spots, sizes, middles, strict=True):
        if middle is None:
            continue
        away = (middle[0] - spot[0], middle[1] - spot[1])
        far = bool(_leader(spot, middle, size))
        line = {"arrowstyle": "-", "color": leader, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2.5}
        note = axes.annotate(
            name.text, name.point, xytext=away, textcoords="offset points", ha="center", va="center", fontsize=size_pt,
            color=name.colour, arrowprops=line if far else None,
        )  # fmt: skip
        note.set_in_layout(False)  # the places hold for the layout as it is
    return sum(middle is not None for middle in middles)


@lru_cache(maxsize=1024)
def _width(text: str) -> float:
    """Of a text of size 1; long texts are measured at a size where hinting does not matter."""
    return float(TextPath((0, 0), text, size=100).get_extents().width) / 100 if text.strip() else 0.0


def _spots(point: Spot, size: Spot) -> list[Spot]:
    return [
        (
            point[0] + right * (distance * (0.7 if up else 1.0) + size[0] / 2),
            point[1] + up * (distance * (0.7 if right else 1.0) + size[1] / 2),
        )
        for distance in _DISTANCES
        for right, up in _DIRECTIONS
    ]


def _around(middle: Spot, size: Spot) -> Box:
    return (
        middle[0] - size[0] / 2,
        middle[1] - size[1] / 2,
        middle[0] + size[0] / 2,
        middle[1] + size[1] / 2,
    )


def _leader(point: Spot, middle: Spot, size: Spot) -> list[Box]:
    """The line from a name to its point, in small boxes; none where it stands beside it."""
    left, bottom, right, top = _around(middle, size)
    nearest = (min(max(point[0], left), right), min(max(point[1], bottom), top))
    return _along(point, nearest, 1.0) if math.dist(point, nearest) > _BESIDE else []


def _along(start: Spot, end: Spot, size: float = _DOT) -> list[Box]:
    """Small boxes that cover a line."""
    steps = max(int(math.dist(start, end) / size), 1)
    shares = [step / steps for step in range(steps + 1)]
    return [
        _around((start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share), (size, size))
        for share in shares
    ]


def _fits(box: Box, bounds: Box, blocked: Sequence[Box]) -> bool:
    inside = box[0] >= bounds[0] and box[1] >= bounds[1] and box[2] <= bounds[2] and box[3] <= bounds[3]
    return inside and not any(_meet(box, other) for other in blocked)


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
