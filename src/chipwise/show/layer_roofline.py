"""The roofline of a device with every layer of a network as a dot, as an SVG or PNG file.

Dots are as large as their layer's share of the time; their colour says what bounds it.

>>> from chipwise.core.device import Device
>>> from chipwise.core.estimate import Estimate, EstimateRow, Interval, MemoryUse, Workload
>>> chip = Device("Chip", "gpu", peak_flops={"fp32": 1e12}, bandwidth_bytes_s=1e11)
>>> rows = (EstimateRow("fc", 1e-5, "memory", "Gemm", "matmul", 1e6, 9e5),)
>>> expected = Estimate("Chip", Workload(), rows, Interval(None, 1e-5, None), MemoryUse(1, 1), "memory", "by hand")
>>> roofline_file("net", expected, chip, ".svg")[:4]
b'<svg'
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from chipwise.show.ink import as_file, quiet_axes
from chipwise.show.layer_dots import above_roof, bytes_rate, dots, frame, left_out, rate, roofs, title, whole_dot
from chipwise.show.units import format_share, format_time, significant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from chipwise.core.device import Device
    from chipwise.core.estimate import Estimate
    from chipwise.show.ink import Palette
    from chipwise.show.layer_dots import Dot, Frame, Roof

_SIZE_IN = (9.4, 5.6)
_NAMED = 4  # layers whose names are written beside their dots
_LARGEST = 900.0  # area of a dot that takes all of the time, in square points
_SMALLEST = 9.0


def roofline_file(network: str, expected: Estimate, device: Device, suffix: str) -> bytes:
    """Draw the picture.

    Args:
        network: its name.
        expected: one workload on the device, with its layers.
        device: whose roof it is.
        suffix: ".svg" or ".png".
    """
    top = dots(expected)[:3]
    longest = ", ".join(f"{dot.name} {format_share(dot.share, 0)}" for dot in top) or "no layer does arithmetic"
    label = f"Roofline. {title(network, expected)}. Most of the time: {longest}"
    return as_file(
        lambda figure, palette: _draw(figure, palette, network, expected, device), _SIZE_IN, suffix, "layers", label
    )


def _draw(figure: Figure, palette: Palette, network: str, expected: Estimate, device: Device) -> None:
    axes = figure.subplots()
    points, ceilings = dots(expected), roofs(device, expected.workload.precision)
    whole = whole_dot(expected)
    span = frame([*points, *([whole] if whole else [])], ceilings, device.bandwidth_bytes_s)
    _set_axes(axes, palette, span)
    _draw_roofs(axes, palette, ceilings, device.bandwidth_bytes_s, span)
    colours = {"compute": palette.accent, "memory": palette.peer, "launch": palette.muted, "unknown": palette.bad}
    for dot in points:
        axes.scatter(
            [dot.intensity], [dot.flops_s], s=_SMALLEST + _LARGEST * dot.share, color=colours[dot.bound], alpha=0.55,
            linewidths=0.6, edgecolors=palette.paper, zorder=3,
        )  # fmt: skip
    if whole is not None:
        axes.scatter([whole.intensity], [whole.flops_s], s=70, marker="D", color=palette.ink, zorder=4)
    _name(axes, palette, points[:_NAMED], whole)
    figure.suptitle(title(network, expected), x=0.01, ha="left", color=palette.ink, fontsize=11, fontweight="bold")
    _legend(axes, palette, {name: colours[name] for name in colours if any(dot.bound == name for dot in points)})
    above = above_roof(points, ceilings, device.bandwidth_bytes_s)
    _say_what_is_drawn(axes, palette, expected, above)
    _name_slope(figure, axes, palette, device.bandwidth_bytes_s if ceilings else None, span)


def _set_axes(axes: Axes, palette: Palette, span: Frame) -> None:
    quiet_axes(axes, palette, grid="both")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(span.left, span.right)
    axes.set_ylim(span.bottom, span.top)
    for axis, say in ((axes.xaxis, significant), (axes.yaxis, rate)):
        axis.set_major_locator(LogLocator(numticks=10))
        axis.set_major_formatter(FuncFormatter(lambda value, _, say=say: _short(say(value))))
        axis.set_minor_formatter(NullFormatter())


def _draw_roofs(axes: Axes, palette: Palette, ceilings: Sequence[Roof], bandwidth: float | None, span: Frame) -> None:
    """The slope of the memory and one level a number format, the first in full strength."""
    if bandwidth and ceilings:
        ridge = ceilings[0].flops_s / bandwidth
        axes.plot([span.left, ridge], [span.left * bandwidth, ridge * bandwidth], color=palette.ink, linewidth=1.4)
    for place, roof in enumerate(ceilings):
        start = roof.flops_s / bandwidth if bandwidth else span.left
        strong = place == 0
        axes.plot(
            [start, span.right], [roof.flops_s, roof.flops_s], color=palette.ink if strong else palette.muted,
            linewidth=1.4 if strong else 0.9, linestyle="-" if strong else (0, (3, 2)),
        )  # fmt: skip
        axes.annotate(
            f"{roof.name} {rate(roof.flops_s)}", (span.right, roof.flops_s), xytext=(-4, 4), ha="right",
            textcoords="offset points", color=palette.ink if strong else palette.muted, fontsize=8,
        )  # fmt: skip


def _name_slope(figure: Figure, axes: Axes, palette: Palette, bandwidth: float | None, span: Frame) -> None:
    """Write the bandwidth along the slope where it enters the picture; only a finished layout knows the angle."""
    if not bandwidth:
        return
    figure.draw_without_rendering()
    start, end = axes.transData.transform([(span.left, span.bottom), (span.left * 10, span.bottom * 10)])
    angle = math.degrees(math.atan2(end[1] - start[1], end[0] - start[0]))
    x = max(span.left, span.bottom / bandwidth) * 1.3
    axes.annotate(
        f"memory {bytes_rate(bandwidth)}", (x, x * bandwidth), xytext=(-2, 5), textcoords="offset points",
        color=palette.ink, fontsize=8, rotation=angle, rotation_mode="anchor",
    )  # fmt: skip


def _name(axes: Axes, palette: Palette, longest: Sequence[Dot], whole: Dot | None) -> None:
    """Write the longest layers beside their dots, each where the one before it has left room."""
    taken: list[float] = []
    if whole is not None:
        axes.annotate(
            f"all: {rate(whole.flops_s)}", (whole.intensity, whole.flops_s), xytext=(8, -13), zorder=5,
            textcoords="offset points", color=palette.ink, fontsize=8, fontweight="bold",
        )  # fmt: skip
        taken.append(axes.transData.transform((whole.intensity, whole.flops_s))[1] - 13)
    for dot in longest:
        _, y = axes.transData.transform((dot.intensity, dot.flops_s))
        shift = -3.0
        while any(abs(y + shift - other) < 11 for other in taken):
            shift -= 11.0
        taken.append(y + shift)
        text = f"{dot.name}, {format_share(dot.share, 0)}"
        axes.annotate(
            text, (dot.intensity, dot.flops_s), xytext=(12, shift), textcoords="offset points", color=palette.ink,
            fontsize=7.5, arrowprops={"arrowstyle": "-", "color": palette.muted, "linewidth": 0.5}, zorder=5,
        )  # fmt: skip


def _legend(axes: Axes, palette: Palette, colours: dict[str, str]) -> None:
    marks = [
        Line2D([], [], marker="o", linestyle="", color=colour, alpha=0.7, label=f"bound by {name}")
        for name, colour in colours.items()
    ]
    marks.append(Line2D([], [], marker="D", linestyle="", color=palette.ink, label="all layers"))
    axes.legend(
        handles=marks, loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=len(marks), frameon=False,
        labelcolor=palette.ink, handletextpad=0.2,
    )  # fmt: skip


def _say_what_is_drawn(axes: Axes, palette: Palette, expected: Estimate, above: str) -> None:
    time = expected.time_s
    said = format_time(time.mid) if time.mid is not None else f"at least {format_time(time.low or 0.0)}"
    about = "; ".join(filter(None, [f"a dot's area is its share of {said}", left_out(expected)]))
    intensity = "arithmetic intensity, FLOP per byte moved (1 multiply-add = 2 FLOPs)"
    axes.set_xlabel("\n".join(filter(None, [intensity, about, above])), color=palette.muted)


def _short(text: str) -> str:
    """A label of an axis: whole numbers without the zeros behind the point."""
    number, _, unit = text.partition(" ")
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    return f"{number} {unit}".strip()
