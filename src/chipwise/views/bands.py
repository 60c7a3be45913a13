"""Lines with their intervals as bands: what curves of several networks or settings share.

>>> len(STYLES) >= 4
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from chipwise.core.estimate import Interval
    from chipwise.views.ink import Palette

STYLES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.2, 1.2)), (0, (6, 2, 1, 2)), (0, (3, 1, 1, 1, 1, 1)))


def inks(palette: Palette) -> tuple[str, ...]:
    """Colours of lines that are compared, in order."""
    return (palette.accent, palette.peer, palette.third, palette.fourth, palette.ink, palette.bad)


def band(axes: Axes, places: Sequence[float], values: Sequence[Interval], colour: str, style: Any = "-") -> None:
    """Draw the middles as a line and what lies between the bounds as a pale area."""
    lows, middles, highs = (
        [float("nan") if bound is None else bound for bound in bounds]
        for bounds in zip(*((each.low, each.mid, each.high) for each in values), strict=True)
    )
    axes.fill_between(places, lows, highs, color=colour, alpha=0.13, linewidth=0)
    few = len(places) <= 20
    axes.plot(places, middles, color=colour, linestyle=style, linewidth=1.6, marker="o" if few else "", markersize=2.6)
