"""Charts of hardware: roofs of devices over arithmetic intensity, and years against FLOP/s, watts and bandwidth.

>>> from chipwise.core.report import HardwareLine
>>> line = HardwareLine("a", "gpu", 2020, {"fp32": 1e13}, bandwidth_bytes_s=5e11, power_w=200, ridges={"fp32": 20.0})
>>> roofline((line,), "fp32", ".png")[1:4]
b'PNG'
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from chipwise.core.errors import InputError
from chipwise.views.device_numbers import ordered, rate, short_name, sixteen, work_name
from chipwise.views.ink import as_file, quiet_axes
from chipwise.views.labels import Name, name_points, spread
from chipwise.views.units import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from chipwise.core.report import HardwareLine
    from chipwise.views.ink import Palette
    from chipwise.views.labels import Line

MOST_ROOFS = 6
_USUAL = ("fp32", "fp16", "bf16", "int8")  # formats that are drawn of three devices or more
_STYLES = ("-", (0, (6, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)), (0, (3, 1.5)), (0, (8, 2, 2, 2, 2, 2)))
_MARKERS = {"gpu": "o", "cpu": "s", "tpu": "^", "edge": "D", "fpga": "v", "system": "P"}
_KIND_NAMES = {"gpu": "GPU", "cpu": "CPU", "tpu": "TPU", "edge": "edge", "fpga": "FPGA", "system": "system"}
_READ = "year of release; devices of one year stand side by side, and are named as far as there is room"
Roof = tuple[str, float, float]  # what to write beside it, its peak, its ridge point


def roofline(lines: Sequence[HardwareLine], precision: str | None, suffix: str) -> bytes:
    """Attainable speed by arithmetic intensity, one slope a device and one roof a number format, log-log.

    Args:
        lines: at most six, with bandwidth and a peak.
        precision: draw only this number format; None for all of one or two devices, the usual ones of more.
        suffix: ".svg" or ".png".

    Raises:
        InputError: too many or none, or one whose bandwidth or peaks are not known.
    """
    if not 1 <= len(lines) <= MOST_ROOFS:
        raise InputError(f"{len(lines)} roofs do not fit into one picture", hint=f"name 1 to {MOST_ROOFS} devices")
    roofs = [_roofs(each, precision, all_of_them=len(lines) < 3) for each in lines]
    label = "Rooflines: " + "; ".join(
        f"{plain(each.name)} {', '.join(text for text, _, _ in found)}"
        for each, found in zip(lines, roofs, strict=True)
    )
    return as_file(
        lambda figure, palette: _draw_roofs(figure, palette, lines, roofs), (9.4, 5.6), suffix, "roofline", label
    )


def history(lines: Sequence[HardwareLine], precision: str, suffix: str) -> bytes:
    """Year against peak, power and bandwidth: three panels, as many devices named as find room.

    Raises:
        InputError: when of none of them the year is known.
    """
    known = [each for each in lines if each.year and each.kind != "link"]
    if not known:
        raise InputError("no device with a year to draw", hint="chipwise devices lists what is known")
    label = (
        f"{len(known)} devices of {min(each.year or 0 for each in known)} to {max(each.year or 0 for each in known)}: "
    )
    label += f"{precision} peak, power and memory bandwidth by year"
    return as_file(
        lambda figure, palette: _draw_history(figure, palette, known, precision), (9.4, 11.4), suffix, "history", label
    )


def _roofs(each: HardwareLine, precision: str | None, *, all_of_them: bool) -> list[Roof]:
    """Peaks of one device that read the same are one roof."""
    if not each.bandwidth_bytes_s:
        raise InputError(f"the bandwidth of {each.name} is not known: it has no roofline")
    wanted = [precision] if precision else ordered(each.peak_flops) if all_of_them else list(_USUAL)
    names: dict[str, list[str]] = defaultdict(list)
    for name in wanted:
        if name in each.peak_flops:
            names[rate(each.peak_flops[name], 1e12)].append(name)
    if not names:
        raise InputError(
            f"no {precision or 'usual'} peak of {each.name} is known",
            hint=f"known: {', '.join(ordered(each.peak_flops)) or 'none'}",
        )
    return [
        (
            f"{', '.join(alike)} {said} T{work_name(alike[0])}/s",
            each.peak_flops[alike[0]],
            each.peak_flops[alike[0]] / each.bandwidth_bytes_s,
        )
        for said, alike in names.items()
    ]


def _draw_roofs(
    figure: Figure, palette: Palette, lines: Sequence[HardwareLine], roofs: Sequence[Sequence[Roof]]
) -> None:
    axes = figure.subplots()
    inks = (palette.accent, palette.peer, palette.ink, palette.third, palette.fourth, palette.muted)[: len(lines)]
    ridges = [ridge for found in roofs for _, _, ridge in found]
    left, right = 10 ** math.floor(math.log10(min(ridges) / 8)), 10 ** math.ceil(math.log10(max(ridges) * 4))
    slopes = [each.bandwidth_bytes_s or 0.0 for each in lines]
    peaks = [peak for found in roofs for _, peak, _ in found]
    axes.set(xscale="log", yscale="log", xlim=(left, right), ylim=(min(slopes) * left / 1e12, max(peaks) * 2.2 / 1e12))
    _log_axes(axes, palette)
    axes.set_xlabel("arithmetic intensity, FLOP per byte of main memory, logarithmic", color=palette.muted)
    axes.set_title("attainable, TFLOP/s (integers: TOP/s), logarithmic", loc="left", color=palette.muted, fontsize=8.5)
    ends: list[tuple[float, str, str]] = []
    drawn: list[Line] = []
    for place, (each, found, colour) in enumerate(zip(lines, roofs, inks, strict=True)):
        owner = f"{short_name(each.name)} " if len(lines) > 3 else ""  # so many colours are hard to tell apart
        slope, style = slopes[place] / 1e12, _STYLES[place]
        top = max(ridge for _, _, ridge in found)
        said = f"{plain(each.name)}, {rate(each.bandwidth_bytes_s, 1e9)} GB/s"
        axes.plot([left, top], [left * slope, top * slope], color=colour, linestyle=style, linewidth=1.8, label=said)
        drawn.append(((left, left * slope), (top, top * slope)))
        for text, peak, ridge in found:
            axes.plot([ridge, right], [peak / 1e12] * 2, color=colour, linestyle=style, linewidth=1.3)
            axes.plot([ridge], [peak / 1e12], "o", color=colour, markersize=5)
            drawn.append(((ridge, peak / 1e12), (right, peak / 1e12)))
            ends.append((peak / 1e12, owner + text, colour))
    columns = 1 if len(lines) > 4 else 2
    axes.legend(frameon=False, labelcolor=palette.ink, loc="lower right", ncols=columns, handlelength=3.4, fontsize=8)
    _roof_names(figure, axes, palette, ends)
    highest = max(peaks)
    figure.draw_without_rendering()  # the names of the roofs took some of the width
    names = [
        Name((ridge, peak / 1e12), f"ridge {rate(ridge)}" if peak == highest else rate(ridge), colour)
        for found, colour in zip(roofs, inks, strict=True)
        for _, peak, ridge in found
    ]
    name_points(figure, axes, names, palette.muted, 7.5, lines=drawn)


def _roof_names(figure: Figure, axes: Axes, palette: Palette, ends: Sequence[tuple[float, str, str]]) -> None:
    """What each roof is, at its right end; moved up or down where two would meet."""
    figure.draw_without_rendering()
    low, high = (math.log10(limit) for limit in axes.get_ylim())
    height = axes.get_window_extent().height * 72 / figure.dpi
    ideal = [(math.log10(value) - low) / (high - low) for value, _, _ in ends]
    for at, place, (_, text, colour) in zip(ideal, spread(ideal, 10.5 / height, 0.0, 1.0), ends, strict=True):
        axes.annotate(
            text, (1.0, at), xycoords="axes fraction", xytext=(1.018, place), textcoords="axes fraction", ha="left",
            va="center", fontsize=8, color=colour, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": palette.muted, "linewidth": 0.5, "shrinkA": 1, "shrinkB": 0,
                        "relpos": (0, 0.5)},
        )  # fmt: skip


def _draw_history(figure: Figure, palette: Palette, lines: Sequence[HardwareLine], precision: str) -> None:
    panels = figure.subplots(3, 1, sharex=True)
    years = [each.year or 0 for each in lines]
    sixteens = [sixteen(each.peak_flops) for each in lines] if precision == "fp32" else []
    work = work_name(precision)
    hollow = "; hollow: 16 bit" if any(sixteens) else ""
    titles = (f"{precision} peak, T{work}/s{hollow}", "power, W", "memory bandwidth, GB/s")
    values = (
        [_scaled(each.peak_flops.get(precision), 1e12) for each in lines],
        [each.power_w for each in lines],
        [_scaled(each.bandwidth_bytes_s, 1e9) for each in lines],
    )
    inks = _kind_inks(palette)
    across = _side_by_side(lines)
    for axes, title in zip(panels, titles, strict=True):
        axes.set_yscale("log")
        axes.set_title(f"{title}, logarithmic", loc="left", color=palette.ink, fontsize=9)
        axes.set_xlim(min(years) - 0.8, max(years) + 0.8)
        axes.xaxis.set_major_locator(MaxNLocator(14, integer=True))
        axes.xaxis.set_tick_params(labelbottom=True)
    for x, value, each in zip(across, sixteens, lines, strict=False):
        if value is not None:
            panels[0].plot(
                [x], [value / 1e12], _MARKERS[each.kind], color=inks[each.kind], markersize=3.6, markerfacecolor="none",
                markeredgewidth=0.7, alpha=0.75,
            )  # fmt: skip
    kinds = [kind for kind in _MARKERS if any(each.kind == kind for each in lines)]
    keys = [
        Line2D([], [], color=inks[kind], marker=_MARKERS[kind], linestyle="", label=_KIND_NAMES[kind]) for kind in kinds
    ]
    panels[0].legend(
        handles=keys, frameon=False, labelcolor=palette.ink, loc="lower right", bbox_to_anchor=(1.0, 1.0),
        ncols=len(keys), handletextpad=0.1,
    )  # fmt: skip
    hollows = [_scaled(value, 1e12) for value in sixteens]
    for axes, column, more in zip(panels, values, (hollows, [], []), strict=True):
        for x, value, each in zip(across, column, lines, strict=True):
            if value is not None:
                axes.plot([x], [value], _MARKERS[each.kind], color=inks[each.kind], markersize=4.2)
        _spare(axes, [value for value in (*column, *more) if value is not None])
        _log_axes(axes, palette, both=False)
    panels[-1].set_xlabel(_READ, color=palette.muted)
    figure.draw_without_rendering()
    others = [((x, value), (x, value)) for x, value in zip(across, hollows, strict=False) if value]
    # Where only the hollow point is known, that one is named.
    peaks = [half if peak is None else peak for peak, half in zip(values[0], hollows or values[0], strict=True)]
    for axes, column in zip(panels, (peaks, *values[1:]), strict=True):
        named = [*zip(across, column, lines, strict=True)]
        _name_column(figure, axes, palette, named, others if axes is panels[0] else [])


def _name_column(
    figure: Figure,
    axes: Axes,
    palette: Palette,
    points: Sequence[tuple[float, float | None, HardwareLine]],
    lines: Sequence[Line],
) -> None:
    """Name the points of one panel: the largest of each year first, then the smallest, then whatever finds room."""
    shown = [(x, value, each) for x, value, each in points if value is not None]

    def weight(point: tuple[float, float, HardwareLine]) -> tuple[int, float]:
        _, value, each = point
        alike = [other for _, other, another in shown if another.year == each.year]
        return (0 if value == max(alike) else 1 if value == min(alike) else 2), -value

    shown = sorted(shown, key=weight)
    inks = _kind_inks(palette)
    names = [Name((x, value), short_name(each.name), inks[each.kind]) for x, value, each in shown]
    name_points(figure, axes, names, palette.muted, lines=lines)


def _kind_inks(palette: Palette) -> dict[str, str]:
    return {
        "gpu": palette.accent, "cpu": palette.peer, "tpu": palette.ink, "edge": palette.muted, "fpga": palette.bad,
        "system": palette.ink,
    }  # fmt: skip


def _side_by_side(lines: Sequence[HardwareLine]) -> list[float]:
    """Years as places on the axis; what came out in one year stands beside one another, in the order of the names."""
    alike: dict[int, list[str]] = defaultdict(list)
    for each in sorted(lines, key=lambda each: each.name):
        alike[each.year or 0].append(each.name)
    made = []
    for each in lines:
        names = alike[each.year or 0]
        made.append((each.year or 0) + (names.index(each.name) - (len(names) - 1) / 2) * min(0.8 / len(names), 0.2))
    return made


def _spare(axes: Axes, values: Sequence[float]) -> None:
    if values:
        axes.set_ylim(min(values) / 2, max(values) * 2.4)


def _log_axes(axes: Axes, palette: Palette, *, both: bool = True) -> None:
    quiet_axes(axes, palette, grid="both" if both else "y")
    for axis in (axes.xaxis, axes.yaxis) if both else (axes.yaxis,):
        low, high = axis.get_view_interval()
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 1e3 else (1.0,), numticks=12))
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12g}"))


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit
