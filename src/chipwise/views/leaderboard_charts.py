"""The board as a picture: two of its fields against each other, and the front that nothing beats.

>>> from chipwise.core.board import BoardRow
>>> from chipwise.core.trial import Score, Trial
>>> trial = Trial(data="d", data_digest="", model="A()", score=Score(0.9), fit_s=1.0, state="finished", id="0")
>>> "<svg" in pareto_chart((BoardRow(1, trial, front=True),), ("score", "fit_s"))
True
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from chipwise.core.board import HIGHER, judged, value_of
from chipwise.views.ink import as_file, as_svg, quiet_axes
from chipwise.views.leaderboard_table import NAMES, field_text, number_text
from chipwise.views.units import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from chipwise.core.board import BoardRow, Field
    from chipwise.views.ink import Draw, Palette

_SIZE_IN = (7.2, 4.2)
_APART = (0.3, 0.06)  # of the axes, between two names
_LONGEST = 34
_LEAST_ERROR = 1e-5  # what is drawn of none
_TICKS = (0.0, 0.2, 0.5, 0.7, 0.8, 0.9, 0.93, 0.95, 0.97, 0.98, 0.985, 0.99, 0.993, 0.995, 0.997, 0.998, 0.999, 1.0)
Point = tuple[float, float]


def pareto_chart(rows: Sequence[BoardRow], pareto: tuple[Field, Field], suffix: str = "") -> str:
    """Draw the board; what is not known in both fields is left out.

    Args:
        rows: of the board.
        pareto: the fields; the first goes up, the second to the right.
        suffix: ".svg" for a file of its own, else an `<svg>` element for a page.
    """
    if suffix:
        return as_file(_drawing(rows, pareto), _SIZE_IN, suffix, "pareto", _label(rows, pareto)).decode()
    return as_svg(_drawing(rows, pareto), _SIZE_IN, "pareto", _label(rows, pareto))


def pareto_png(rows: Sequence[BoardRow], pareto: tuple[Field, Field]) -> bytes:
    """The same as a PNG file."""
    return as_file(_drawing(rows, pareto), _SIZE_IN, ".png", "pareto", _label(rows, pareto))


def drawable(rows: Sequence[BoardRow], pareto: tuple[Field, Field]) -> list[BoardRow]:
    """Rows that have both numbers; those of a logarithmic axis above 0."""
    return [
        row
        for row in rows
        if all((value := value_of(row.trial, field)) is not None and (field in HIGHER or value > 0) for field in pareto)
    ]


def _label(rows: Sequence[BoardRow], pareto: tuple[Field, Field]) -> str:
    first, second = (NAMES[field] for field in pareto)
    told = "; ".join(
        f"{plain(row.trial.model)}: {', '.join(field_text(row.trial, field) for field in pareto)}"
        for row in drawable(rows, pareto)
        if row.front
    )
    return f"{first} against {second}. The front: {told}"


def _drawing(rows: Sequence[BoardRow], pareto: tuple[Field, Field]) -> Draw:
    return partial(_draw, rows=drawable(rows, pareto), pareto=pareto)


def _draw(figure: Figure, palette: Palette, rows: Sequence[BoardRow], pareto: tuple[Field, Field]) -> None:
    axes = figure.subplots()
    quiet_axes(axes, palette, grid="both")
    for row in rows:
        _point(axes, row, pareto, palette)
    _steps(axes, [_place(row, pareto) for row in rows if row.front], palette)
    _say(axes, pareto, palette)
    _names(axes, [row for row in rows if row.front], pareto, palette)
    marks = [
        Line2D([], [], color=palette.accent, marker="o", label="the front"),
        Line2D([], [], color=palette.peer, marker="o", linestyle="", label="all others"),
    ]
    figure.legend(
        handles=marks, loc="outside lower left", ncols=2, frameon=False, labelcolor=palette.ink, fontsize=8
    )  # fmt: skip


def _point(axes: Axes, row: BoardRow, pareto: tuple[Field, Field], palette: Palette) -> None:
    right, up = _place(row, pareto)
    colour = palette.accent if row.front else palette.peer
    score = judged(row.trial, pareto[0]) if pareto[0] in HIGHER else None
    if score is not None and score.low is not None and score.high is not None:
        axes.plot([right, right], [score.low, score.high], color=colour, linewidth=0.8, alpha=0.5, zorder=2)
    axes.plot([right], [up], "o", color=colour, markersize=6 if row.front else 4, zorder=4 if row.front else 3)


def _place(row: BoardRow, pareto: tuple[Field, Field]) -> Point:
    up, right = (value_of(row.trial, field) for field in pareto)
    assert up is not None, "only rows with both numbers are drawn"
    assert right is not None, "as above"
    return right, up


def _steps(axes: Axes, places: Sequence[Point], palette: Palette) -> None:
    """The border of what the front reaches: a staircase."""
    if len(places) > 1:
        right, up = zip(*sorted(places), strict=True)
        axes.step(right, up, where="post", color=palette.accent, linewidth=1.2, zorder=3)


def _names(axes: Axes, rows: Sequence[BoardRow], pareto: tuple[Field, Field], palette: Palette) -> None:
    """Ranks of the front, with names where there is room."""
    axes.margins(x=0.1, y=0.12)
    axes.autoscale_view()
    inside = axes.transData + axes.transAxes.inverted()
    said: list[Point] = []
    for row in sorted(rows, key=lambda each: each.rank):
        right, up = inside.transform(_place(row, pareto))
        clear = all(abs(right - x) > _APART[0] or abs(up - y) > _APART[1] for x, y in said)
        said.append((right, up))
        left = right < 0.5
        axes.annotate(
            f"{row.rank} {short_name(row.trial.model)}" if clear else str(row.rank), _place(row, pareto),
            xytext=(6 if left else -6, -9 if left else 6), textcoords="offset points", fontsize=7.5,
            color=palette.ink, ha="left" if left else "right", zorder=5, parse_math=False,
        )  # fmt: skip


def short_name(model: str) -> str:
    """The model without its arguments; of a pipeline its steps."""
    names = re.findall(r"([A-Za-z][\w-]*)\(", plain(model))
    steps = names[1:] if names[:1] == ["make_pipeline"] else names[:1]
    text = " + ".join(steps) or plain(model)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _say(axes: Axes, pareto: tuple[Field, Field], palette: Palette) -> None:
    up, right = pareto
    for field, axis, scale, name in (
        (up, axes.yaxis, axes.set_yscale, axes.set_ylabel),
        (right, axes.xaxis, axes.set_xscale, axes.set_xlabel),
    ):
        if field not in HIGHER:
            scale("log")
            axis.set_major_formatter(FuncFormatter(lambda value, _, field=field: number_text(field, value)))
            axis.set_minor_formatter(NullFormatter())
            name(f"{NAMES[field]}, logarithmic", color=palette.muted)
            continue
        name(NAMES[field], color=palette.muted)
        low, high = axis.get_data_interval()
        if low >= 0 and high <= 1:
            scale("function", functions=(_nines, _share))
            _share_ticks(axis)
        else:
            axis.set_major_locator(MaxNLocator(6))


def _share_ticks(axis: Axis) -> None:
    axis.set_major_locator(FixedLocator(_TICKS))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}%"))


def _nines(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares so that 90%, 99% and 99.9% are as far from each other."""
    return -np.log10(np.maximum(1 - np.asarray(share), _LEAST_ERROR))


def _share(nines: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 - 10 ** -np.asarray(nines)
