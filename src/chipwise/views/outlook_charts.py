"""Charts of what is estimated of a network beside what was measured: those of the what-if page, on paper.

Each function returns an `<svg>` element whose colours follow the page (see `ink`).

>>> from chipwise.core.estimate import Interval, MemoryUse
>>> from chipwise.core.what_if import Offer
>>> one = Offer("A", "gpu", "fp32", Interval(1e-3, 2e-3, 3e-3), Interval(1.0, 2.0, 3.0), None, None, ("energy",))
>>> "<svg" in front((one,), ""), "<svg" in memory_bars([("a step on A", MemoryUse(1, 2), 10)])
(True, True)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter

from chipwise.views.bands import band
from chipwise.views.charts import NARROW_IN, WIDE_IN
from chipwise.views.ink import as_svg, quiet_axes
from chipwise.views.labels import Name, name_points
from chipwise.views.units import format_bytes, format_share, format_time, plain, significant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from chipwise.core.estimate import MemoryUse
    from chipwise.core.what_if import Offer, ScalePoint
    from chipwise.views.ink import Palette

    Bar = tuple[str, MemoryUse, int]  # what it is of, its parts, and what there is of memory

_HIGH_IN = 3.4
_PARTS = (
    ("weights", ("weights", "copies"), "accent"),
    ("gradients, optimizer", ("gradients", "optimizer"), "third"),
    ("activations", ("activations", "saved"), "peer"),
    ("workspace, context", ("workspace", "rounding", "context"), "muted"),
)
_NAMED = 12  # of the front


def memory_bars(bars: Sequence[Bar], width_in: float = WIDE_IN) -> str:
    """What each workload keeps in memory, as shares of what there is.

    Args:
        bars: one a row; memory is more than 0.
        width_in: of the chart.
    """
    said = [f"{what}: {format_bytes(used.device_bytes)} of {format_bytes(there)}" for what, used, there in bars]

    def draw(figure: Figure, palette: Palette) -> None:
        axes = figure.subplots()
        quiet_axes(axes, palette, grid="x")
        for place, (_, used, there) in enumerate(bars):
            left = 0.0
            for label, fields, ink in _PARTS:
                share = sum(getattr(used, field) for field in fields) / there
                axes.barh(
                    [place],
                    [share],
                    left=left,
                    height=0.55,
                    color=getattr(palette, ink),
                    label=label if not place else None,
                )
                left += share
            axes.text(left, place, f"  {format_bytes(used.device_bytes)}", va="center", color=palette.ink, fontsize=8)
        axes.axvline(1.0, color=palette.bad, linewidth=1.2)
        axes.set_yticks(range(len(bars)), [_folded(what, width_in) for what, _, _ in bars])
        axes.set_xlim(0, max(1.08, 1.25 * max(used.device_bytes / there for _, used, there in bars)))
        axes.invert_yaxis()
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_xlabel("of the memory that there is", color=palette.muted)
        figure.legend(loc="outside lower left", ncols=4 if width_in > 6 else 2, frameon=False, labelcolor=palette.ink)

    return as_svg(draw, (width_in, 1.4 + 0.55 * len(bars)), f"memory{round(width_in)}", "; ".join(said))


def scaling_curve(points: Sequence[ScalePoint], item: str, width_in: float = WIDE_IN) -> str:
    """Items a second over the number of devices, beside as many times those of one.

    Args:
        points: by their number, the first of one device.
        item: what an item is, for people.
        width_in: of the chart.
    """
    last = points[-1]
    share = "" if last.efficiency.mid is None else f", {format_share(last.efficiency.mid, 0)} of linear"
    label = f"Scaling to {last.count} devices: {significant(last.items_s.mid or 0.0)} {item}s a second{share}"

    def draw(figure: Figure, palette: Palette) -> None:
        axes = figure.subplots()
        quiet_axes(axes, palette, grid="both")
        counts, mids = [each.count for each in points], [each.items_s.mid or 0.0 for each in points]
        axes.plot(counts, [mids[0] * count for count in counts], "--", color=palette.muted, linewidth=1)
        band(axes, counts, [each.items_s for each in points], palette.accent)
        axes.set(xscale="log", yscale="log", xticks=counts)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
            axis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("devices", color=palette.muted)
        axes.set_ylabel(f"{item}s a second", color=palette.muted)
        axes.annotate(
            "linear", (counts[-1], mids[0] * counts[-1]), ha="right", va="bottom", color=palette.muted, fontsize=8
        )

    return as_svg(draw, (width_in, _HIGH_IN), f"scaling{round(width_in)}", label)


def front(offers: Sequence[Offer], here: str, width_in: float = WIDE_IN) -> str:
    """Energy of a thousand items over the time of one, a point a device; what nothing beats at both is named.

    Args:
        offers: devices; those whose energy is not known are left out.
        here: name of the device that is this one; "" for none.
        width_in: of the chart.
    """
    known = [each for each in offers if each.thousand_j is not None and each.thousand_j.mid and each.item_s.mid]
    best = [each for each in known if "energy" in each.best][:_NAMED]
    label = "Time and energy by device. Nothing is both quicker and more frugal than: " + ", ".join(
        each.device for each in best
    )

    def place(each: Offer) -> tuple[float, float]:
        assert each.thousand_j is not None, "it is known"
        return each.item_s.mid or 0.0, each.thousand_j.mid or 0.0

    def draw(figure: Figure, palette: Palette) -> None:
        axes = figure.subplots()
        quiet_axes(axes, palette, grid="both")
        axes.set(xscale="log", yscale="log")
        for each in known:
            colour = palette.accent if each in best else palette.third if each.device == here else palette.peer
            axes.plot(*[[value] for value in place(each)], "o", color=colour, markersize=5, alpha=0.85)
        stairs = sorted(map(place, best))
        axes.step([x for x, _ in stairs], [y for _, y in stairs], where="post", color=palette.accent, linewidth=1)
        axes.set_xlabel("time of an item", color=palette.muted)
        axes.set_ylabel("energy of a thousand, J", color=palette.muted)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_time(value)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_formatter(NullFormatter())
        figure.draw_without_rendering()
        named = [*best, *(each for each in known if each.device == here and each not in best)]
        spots = [Name(place(each), plain(each.device), palette.ink) for each in named]
        name_points(figure, axes, spots, palette.muted, 7.5 if width_in > NARROW_IN else 6.5)

    return as_svg(draw, (width_in, _HIGH_IN + 0.8), f"front{round(width_in)}", label)


def _folded(text: str, width_in: float) -> str:
    """In two lines where the chart is narrow."""
    if width_in > NARROW_IN or " on " not in text:
        return plain(text)
    what, _, device = text.partition(" on ")
    return f"{plain(what)}\non {plain(device)}"
