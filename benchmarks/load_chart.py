"""Latency against load as a picture: a panel a network, a line a server, the bound, and the knee of each line.

>>> knee([(1.0, 1.0), (2.0, 1.0), (3.0, 1.1), (4.0, 9.0)])
2
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from chipwise.views.ink import as_file, quiet_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from chipwise.views.ink import Palette

_PANEL_IN, _HIGH_IN = 4.4, 3.6
_INKS = ("accent", "ink", "third", "peer", "fourth")
Points = Sequence[tuple[float, float]]  # requests a second, seconds; by load


def knee(points: Points) -> int:
    """Where a curve turns up: the point that lies farthest below the straight line between its ends.

    Source: Satopää et al., "Finding a kneedle in a haystack" (2011), without smoothing.

    Args:
        points: by load; latencies are finite.
    """
    (left, low), (right, high) = points[0], points[-1]
    wide, tall = right - left or 1.0, high - low or 1.0
    below = [(rate - left) / wide - (latency - low) / tall for rate, latency in points]
    return max(range(len(points)), key=below.__getitem__)


def load_curves(curves: Mapping[str, Mapping[str, Points]], bound_s: float) -> bytes:
    """Draw p99 against load.

    Args:
        curves: by network and server; batched ones are named "SERVER-batched".
        bound_s: that is drawn as a line.

    Returns:
        an SVG file.
    """
    kinds = list(dict.fromkeys(name.removesuffix("-batched") for lines in curves.values() for name in lines))
    inks = dict(zip(kinds, _INKS, strict=False))
    label = f"p99 latency against load of {', '.join(kinds)} on {', '.join(curves)}."

    def draw(figure: Figure, palette: Palette) -> None:
        panels = figure.subplots(1, len(curves), squeeze=False)[0]
        for axes, (network, lines) in zip(panels, curves.items(), strict=True):
            quiet_axes(axes, palette)
            _panel(axes, lines, inks, palette)
            axes.axhline(bound_s * 1e3, color=palette.bad, linestyle=":", linewidth=1)
            axes.set_title(network, loc="left", color=palette.ink, fontsize=8)
        panels[0].set_ylabel("p99, ms, logarithmic", color=palette.muted)
        figure.legend(
            handles=_legend(inks, palette), loc="outside lower left", ncols=4, frameon=False, labelcolor=palette.ink,
            fontsize=8,
        )  # fmt: skip

    return as_file(draw, (_PANEL_IN * len(curves), _HIGH_IN), ".svg", "load", label)


def _panel(axes: Axes, lines: Mapping[str, Points], inks: Mapping[str, str], palette: Palette) -> None:
    for name, points in lines.items():
        colour = getattr(palette, inks[name.removesuffix("-batched")])
        rates, latencies = [rate for rate, _ in points], [latency * 1e3 for _, latency in points]
        axes.plot(rates, latencies, "-" if name.endswith("-batched") else "--", color=colour, linewidth=1.2)
        turn = knee(points)
        axes.plot([rates[turn]], [latencies[turn]], "o", color=colour, markerfacecolor="none", markersize=6)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("requests a second, logarithmic", color=palette.muted)


def _legend(inks: Mapping[str, str], palette: Palette) -> list[Line2D]:
    kinds = [Line2D([], [], color=getattr(palette, ink), label=kind) for kind, ink in inks.items()]
    return [
        *kinds,
        Line2D([], [], color=palette.muted, label="batched"),
        Line2D([], [], color=palette.muted, linestyle="--", label="one by one"),
        Line2D([], [], color=palette.muted, marker="o", markerfacecolor="none", linestyle="", label="knee"),
        Line2D([], [], color=palette.bad, linestyle=":", label="bound"),
    ]
