"""Curves of accuracy as the picture moves: a panel a motion, a line a network, with its interval.

>>> from chipwise.core.estimate import Interval
>>> from chipwise.core.motion import Motion, MotionPoint, MovedCheck
>>> points = tuple(MotionPoint(at, (Interval(0.8, 0.9, 1.0),)) for at in (0.0, 1.0))
>>> "<svg" in moved_curves(MovedCheck(("a",), "d", "test", 9, 9, (8, 8), (0,), (Motion("shift", points),)))
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator, PercentFormatter

from chipwise.views.bands import STYLES, band, inks
from chipwise.views.ink import as_file, as_svg, quiet_axes
from chipwise.views.moved_table import HEADS, averages, names_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from chipwise.core.motion import Motion, MovedCheck
    from chipwise.views.ink import Palette

_PANEL_IN, _LEAST_IN, _HIGH_IN = 3.4, 5.2, 3.3


def moved_curves(record: MovedCheck, suffix: str = "") -> str:
    """Draw every motion.

    Args:
        record: with at least one motion.
        suffix: ".svg" for a file of its own, else an `<svg>` element for a page.
    """
    size = (max(_PANEL_IN * len(record.motions), _LEAST_IN), _HIGH_IN)
    label = "Accuracy as the picture moves. " + " ".join(averages(record))

    def draw(figure: Figure, palette: Palette) -> None:
        _draw(figure, palette, record)

    if suffix:
        return as_file(draw, size, suffix, "moved", label).decode()
    return as_svg(draw, size, "moved", label)


def _draw(figure: Figure, palette: Palette, record: MovedCheck) -> None:
    panels = figure.subplots(1, len(record.motions), sharey=True, squeeze=False)[0]
    for axes, motion in zip(panels, record.motions, strict=True):
        places = [point.amount for point in motion.points]
        for number in range(len(record.networks)):
            rates = [point.accuracy[number] for point in motion.points]
            colours = inks(palette)
            band(axes, places, rates, colours[number % len(colours)], STYLES[number % len(STYLES)])
        _scale(axes, motion, palette)
    panels[0].set_ylim(-0.02, 1.02)
    panels[0].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    panels[0].set_title("accuracy, with its 95% interval", loc="left", color=palette.ink, fontsize=9)
    colours = inks(palette)
    handles = [
        Line2D([], [], color=colours[n % len(colours)], linestyle=STYLES[n % len(STYLES)], label=name)
        for n, name in enumerate(names_of(record))
    ]
    figure.legend(
        handles=handles, loc="outside lower left", ncols=3, frameon=False, labelcolor=palette.ink, fontsize=8,
        handlelength=2.6,
    )  # fmt: skip


def _scale(axes: Axes, motion: Motion, palette: Palette) -> None:
    quiet_axes(axes, palette)
    axes.set_xlabel(HEADS[motion.kind], color=palette.muted)
    if motion.kind != "scale":
        axes.xaxis.set_major_locator(MaxNLocator(7, integer=motion.kind == "shift"))
        return
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator([point.amount for point in motion.points]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2f}"))
