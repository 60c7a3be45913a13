"""Learning curves drawn: a panel a variant, training and validation error with their intervals, marks where they are.

>>> from chipwise.core.curve import Curve, CurveLine, CurvePoint
>>> from chipwise.core.estimate import Interval
>>> errors = Interval(0.0, 0.01, 0.02), Interval(0.1, 0.2, 0.3)
>>> line = CurveLine("plain", {}, tuple(CurvePoint(at, 10, 10, 8, *errors) for at in (0.5, 1.0)), "More data.")
>>> "<svg" in error_curves(Curve("data", "net", "digits", "runs", (0,), 360, 10, {}, (line,)))
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator, PercentFormatter

from chipwise.views.bands import band
from chipwise.views.curve_table import SIZES, name_of
from chipwise.views.ink import as_file, as_svg, quiet_axes
from chipwise.views.units import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from chipwise.core.curve import Curve, CurveKind, CurveLine, CurvePoint
    from chipwise.views.ink import Palette

_PANEL_IN, _LEAST_IN, _HIGH_IN, _ACROSS = 3.3, 5.2, 2.7, 3
_MANY = 20  # points from which on an axis shows decades rather than each
_LEAST_TOP = 0.05
_LINEAR_TO = 0.02
_TICKS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_PLACES: dict[CurveKind, str] = {"data": "samples", "capacity": "parameters", "epochs": "epoch"}


def error_curves(record: Curve, suffix: str = "") -> str:
    """Draw every line.

    Args:
        record: with at least one line.
        suffix: ".svg" for a file of its own, else an `<svg>` element for a page.
    """
    across = min(len(record.lines), _ACROSS)
    down = -(-len(record.lines) // across)
    size = (max(_PANEL_IN * across, _LEAST_IN), 0.4 + _HIGH_IN * down)
    told = " ".join(f"{plain(each.variant)}: {plain(each.advice)}" for each in record.lines)
    label = f"Training and validation error by {SIZES[record.kind]}. {told}"

    def draw(figure: Figure, palette: Palette) -> None:
        _draw(figure, palette, record, down, across)

    if suffix:
        return as_file(draw, size, suffix, "curve", label).decode()
    return as_svg(draw, size, "curve", label)


def _draw(figure: Figure, palette: Palette, record: Curve, down: int, across: int) -> None:
    panels = figure.subplots(down, across, sharey=True, squeeze=False).ravel()
    for axes, each in zip(panels, record.lines, strict=False):
        _panel(axes, each, record, palette)
    for axes in panels[len(record.lines) :]:
        axes.set_axis_off()
    tops = (max(point.validation.high or 0, point.train.high or 0) for each in record.lines for point in each.points)
    panels[0].set_yscale("symlog", linthresh=_LINEAR_TO, linscale=0.6)  # errors reach from most of all down to none
    panels[0].set_ylim(0, max(*tops, _LEAST_TOP))
    panels[0].yaxis.set_major_locator(FixedLocator(_TICKS))
    panels[0].yaxis.set_minor_locator(NullLocator())
    panels[0].yaxis.set_major_formatter(PercentFormatter(1.0))
    panels[0].set_ylabel("error, logarithmic from 2% on", color=palette.muted)
    lines = [
        Line2D([], [], color=palette.accent, label="validation error"),
        Line2D([], [], color=palette.peer, label="training error"),
        Line2D([], [], color=palette.bad, marker="v", linestyle="", label="overfits"),
        Line2D([], [], color=palette.fourth, marker="^", linestyle="", label="underfits"),
        Line2D([], [], color=palette.ink, marker="o", markerfacecolor="none", linestyle="", label="best"),
    ]
    figure.legend(
        handles=lines, loc="outside lower left", ncols=5, frameon=False, labelcolor=palette.ink, fontsize=8,
        handlelength=1.6, columnspacing=1.2,
    )  # fmt: skip


def _panel(axes: Axes, each: CurveLine, record: Curve, palette: Palette) -> None:
    quiet_axes(axes, palette)
    places = [_place(record, point) for point in each.points]
    band(axes, places, [point.train for point in each.points], palette.peer)
    band(axes, places, [point.validation for point in each.points], palette.accent)
    marks = {"overfits": (palette.bad, "v"), "underfits": (palette.fourth, "^")}
    for place, point in zip(places, each.points, strict=True):
        value = point.validation.mid or 0.0
        if point.mark in marks:
            colour, shape = marks[point.mark]
            axes.plot([place], [value], shape, color=colour, markersize=5, zorder=4)
        if point.rise is None:
            axes.plot([place], [value], "o", color=palette.ink, markerfacecolor="none", markersize=7, zorder=5)
    axes.set_title(plain(name_of(each)), loc="left", color=palette.ink, fontsize=8)
    axes.set_xscale("log")
    axes.set_xlabel(f"{_PLACES[record.kind]}, logarithmic", color=palette.muted)
    if len(places) < _MANY and record.kind == "data":
        axes.xaxis.set_major_locator(FixedLocator(places))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _place(record: Curve, point: CurvePoint) -> float:
    return float({"data": point.samples, "capacity": point.parameters, "epochs": point.epochs}[record.kind])
