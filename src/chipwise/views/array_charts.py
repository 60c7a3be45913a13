"""A race of array libraries drawn: a panel an operation, times against sizes, both logarithmic.

>>> from chipwise.core.array_race import ArrayOperation, ArrayRace, ArrayRow, Way
>>> from chipwise.core.device import Machine
>>> from chipwise.core.measure import Timing
>>> row = ArrayRow("sum", 1000, Way("numpy"), Timing(5, (1e-6, 2e-6, 3e-6)))
>>> machine = Machine("example", "x86_64", (), 1, 1)
>>> b"<svg" in array_times(ArrayRace((ArrayOperation("sum", "x.sum()"),), (), (1000,), (row,), (), machine), ".svg")
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from chipwise.core.estimate import Interval
from chipwise.views.array_table import size_name
from chipwise.views.bands import STYLES, band, inks
from chipwise.views.ink import as_file, quiet_axes
from chipwise.views.units import format_time, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from chipwise.core.array_race import ArrayOperation, ArrayRace, Way
    from chipwise.views.ink import Palette

_PANEL_IN, _HIGH_IN, _ACROSS, _LEAST_IN = 2.2, 2.0, 5, 5.0
_TICKS = 6


def array_times(record: ArrayRace, suffix: str) -> bytes:
    """Draw every operation that was timed; a vertical line is where a library becomes faster than NumPy and stays so.

    Args:
        record: with at least one row.
        suffix: ".svg" or ".png".
    """
    timed = {row.operation for row in record.rows if row.timing is not None}
    shown = [each for each in record.operations if each.name in timed]
    across = max(1, min(len(shown), _ACROSS))
    down = max(1, -(-len(shown) // across))
    size = (max(_PANEL_IN * across, _LEAST_IN), 0.5 + _HIGH_IN * down)
    told = "; ".join(
        f"{turn.operation}: {plain(turn.way.title)} is faster from {turn.faster_from}"
        for turn in record.turns
        if turn.faster_from is not None
    )

    def draw(figure: Figure, palette: Palette) -> None:
        panels = figure.subplots(down, across, sharex=True, squeeze=False).ravel()
        colours = dict(zip(record.ways, [*inks(palette)] * len(record.ways), strict=False))
        for axes, each in zip(panels, shown, strict=False):
            _panel(axes, record, each, palette, colours)
        for axes in panels[len(shown) :]:
            axes.set_axis_off()
        for axes in panels[max(0, len(shown) - across) : len(shown)]:
            axes.xaxis.set_tick_params(labelbottom=True)
            axes.set_xlabel("values", color=palette.muted)
        keys = [
            Line2D([], [], color=colour, linestyle=_style(record, way), label=plain(way.title))
            for way, colour in colours.items()
        ]
        figure.legend(
            handles=keys, loc="outside lower left", ncols=min(len(keys), 6), frameon=False, labelcolor=palette.ink,
            fontsize=8,
        )  # fmt: skip

    return as_file(draw, size, suffix, "arrays", f"Time of a call against the number of values. {told}")


def _style(record: ArrayRace, way: Way) -> Any:
    return STYLES[record.ways.index(way) % len(STYLES)]


def _panel(axes: Axes, record: ArrayRace, operation: ArrayOperation, palette: Palette, colours: dict[Way, str]) -> None:
    quiet_axes(axes, palette)
    axes.set(xscale="log", yscale="log")
    axes.set_title(plain(operation.name), loc="left", color=palette.ink, fontsize=8.5)
    for way, colour in colours.items():
        own = sorted(
            (row.size, row.timing)
            for row in record.rows
            if (row.operation, row.way) == (operation.name, way) and row.timing is not None
        )
        times = [Interval(each.quantile_s(0.1), each.median_s, each.quantile_s(0.9)) for _, each in own]
        if own:
            band(axes, [size for size, _ in own], times, colour, _style(record, way))
    for turn in record.turns:
        if turn.operation == operation.name and turn.faster_from not in (None, record.sizes[0]):
            axes.axvline(turn.faster_from, color=colours[turn.way], linewidth=0.8, alpha=0.6)
    axes.xaxis.set_major_locator(LogLocator(numticks=_TICKS))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: size_name(round(value))))
    axes.yaxis.set_major_locator(LogLocator(numticks=_TICKS))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())


def tick(seconds: float) -> str:
    """A time beside an axis, without digits that say nothing: "10 µs"."""
    value, *unit = format_time(seconds).split(" ")
    return " ".join((f"{float(value):g}", *unit))
