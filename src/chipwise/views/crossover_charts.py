"""A crossover drawn: steps against parameters, both logarithmic, a line a device, and marks where one overtakes.

>>> from chipwise.core.crossover import Crossover, CrossoverLine, CrossoverPoint
>>> from chipwise.core.estimate import Interval
>>> points = tuple(CrossoverPoint(10**size, size, Interval(1e-3, 2e-3, 3e-3), True) for size in (4, 5))
>>> record = Crossover("mlp", 64, "fp32", "adamw", None, (CrossoverLine("here", True, points, "measured"),), ())
>>> b"<svg" in crossover_chart(record, ".svg")
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from chipwise.views.array_charts import tick
from chipwise.views.array_table import size_name
from chipwise.views.bands import STYLES, inks
from chipwise.views.crossover_table import sentence
from chipwise.views.ink import as_file, quiet_axes
from chipwise.views.units import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from chipwise.core.crossover import Crossover, CrossoverLine, CrossoverPoint
    from chipwise.views.ink import Palette

_SIZE_IN = (7.4, 4.2)


def crossover_chart(record: Crossover, suffix: str) -> bytes:
    """Draw a record: filled marks are measured, hollow ones predicted; bands are intervals.

    Args:
        record: with at least one line.
        suffix: ".svg" or ".png".
    """
    label = " ".join(sentence(each) for each in record.crossings)

    def draw(figure: Figure, palette: Palette) -> None:
        axes = figure.subplots()
        quiet_axes(axes, palette, grid="both")
        axes.set(xscale="log", yscale="log")
        colours = dict(zip((each.device for each in record.lines), inks(palette) * 9, strict=False))
        for place, each in enumerate(record.lines):
            _curve(axes, each, colours[each.device], STYLES[place % len(STYLES)], palette)
        for crossing in record.crossings:
            if crossing.parameters.mid is not None:
                axes.axvline(crossing.parameters.mid, color=colours[crossing.device], linewidth=0.9, alpha=0.7)
                axes.plot(
                    [crossing.parameters.mid], [crossing.step_s], "D", color=colours[crossing.device], markersize=5,
                    zorder=5,
                )  # fmt: skip
        _labels(axes, record, palette)

    return as_file(draw, _SIZE_IN, suffix, "crossover", f"Time of a training step against parameters. {label}")


def _curve(axes: Axes, each: CrossoverLine, colour: str, style: Any, palette: Palette) -> None:
    """One device; its name has a mark that says whether anything was measured."""
    shown = [point for point in each.points if point.step_s.mid is not None and point.fits is not False]
    places = [point.parameters for point in shown]
    lows, middles, highs = (_bound(shown, name) for name in ("low", "mid", "high"))
    axes.fill_between(places, lows, highs, color=colour, alpha=0.13, linewidth=0)
    axes.plot(places, middles, color=colour, linestyle=style, linewidth=1.6, label=plain(each.device))
    for point in shown:
        filled = colour if point.measured else palette.paper
        axes.plot(
            [point.parameters], [point.step_s.mid or 0.0], "o", color=colour, markerfacecolor=filled, markersize=4
        )


def _bound(points: Sequence[CrossoverPoint], name: str) -> list[float]:
    return [float("nan") if (value := getattr(point.step_s, name)) is None else value for point in points]


def _labels(axes: Axes, record: Crossover, palette: Palette) -> None:
    axes.set_xlabel("trainable parameters, logarithmic", color=palette.muted)
    axes.set_title(
        f"{record.net}, {record.precision}, batch {record.batch}: time of a training step, logarithmic; filled marks "
        "are measured, diamonds are crossings",
        loc="left", color=palette.ink, fontsize=8.5,
    )  # fmt: skip
    axes.xaxis.set_major_locator(LogLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: size_name(round(value))))
    axes.yaxis.set_major_locator(LogLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
    axes.legend(frameon=False, labelcolor=palette.ink, loc="upper left", handlelength=3.2)
