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
import textwrap
from typing import TYPE_CHECKING, Any

from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from chipwise.views.ink import as_file, as_svg, quiet_axes
from chipwise.views.labels import Name, name_points, text_size
from chipwise.views.layer_dots import above_roof, bytes_rate, dots, frame, left_out, rate, roofs, title, whole_dot
from chipwise.views.units import format_share, format_time, significant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

    from chipwise.core.device import Device
    from chipwise.core.estimate import Estimate
    from chipwise.views.ink import Palette
    from chipwise.views.labels import Line, Spot
    from chipwise.views.layer_dots import Dot, Frame, Roof

    Mark = tuple[Spot, float]  # a place and a width, in pixels

_SIZE_IN = (9.4, 5.6)
_NARROW_IN, _FOLDED = 4.4, 48  # and the characters of a line
_NAMED = 4  # layers whose names are written beside their dots
_LARGEST = 900.0  # area of a dot that takes all of the time, in square points
_SMALLEST = 9.0
_FREE_PT = 30.0  # from a dot to the text along the slope, where there is room


def roofline_svg(network: str, expected: Estimate, device: Device, width_in: float) -> str:
    """The same picture as an `<svg>` element for a page; as of `roofline_file`, and `width_in` is its width."""
    wide = width_in > _NARROW_IN
    return as_svg(
        lambda figure, palette: _draw(figure, palette, network, expected, device, wide=wide),
        (width_in, _SIZE_IN[1] if wide else _NARROW_IN),
        f"layers{round(width_in)}",
        _label(network, expected),
    )


def roofline_file(network: str, expected: Estimate, device: Device, suffix: str) -> bytes:
    """Draw the picture.

    Args:
        network: its name.
        expected: one workload on the device, with its layers.
        device: whose roof it is.
        suffix: ".svg" or ".png".
    """
    return as_file(
        lambda figure, palette: _draw(figure, palette, network, expected, device), _SIZE_IN, suffix, "layers",
        _label(network, expected),
    )  # fmt: skip


def _label(network: str, expected: Estimate) -> str:
    top = dots(expected)[:3]
    longest = ", ".join(f"{dot.name} {format_share(dot.share, 0)}" for dot in top) or "no layer does arithmetic"
    return f"Roofline. {title(network, expected)}. Most of the time: {longest}"


def _draw(
    figure: Figure, palette: Palette, network: str, expected: Estimate, device: Device, *, wide: bool = True
) -> None:
    axes = figure.subplots()
    points, ceilings = dots(expected), roofs(device, expected.workload.precision)
    whole = whole_dot(expected)
    span = frame([*points, *([whole] if whole else [])], ceilings, device.bandwidth_bytes_s)
    _set_axes(axes, palette, span)
    labels = _draw_roofs(axes, palette, ceilings, device.bandwidth_bytes_s, span)
    colours = {"compute": palette.accent, "memory": palette.peer, "launch": palette.muted, "unknown": palette.bad}
    for dot in points:
        axes.scatter(
            [dot.intensity], [dot.flops_s], s=_area(dot), color=colours[dot.bound], alpha=0.55,
            linewidths=0.6, edgecolors=palette.paper, zorder=3,
        )  # fmt: skip
    if whole is not None:
        axes.scatter([whole.intensity], [whole.flops_s], s=70, marker="D", color=palette.ink, zorder=4)
    if wide:  # a page has it beside the picture
        said = title(network, expected)
        figure.suptitle(said, x=0.01, ha="left", color=palette.ink, fontsize=11, fontweight="bold")
    seen = {name: colours[name] for name in colours if any(dot.bound == name for dot in points)}
    _legend(axes, palette, seen, columns=len(seen) + 1 if wide else 2)
    above = above_roof(points, ceilings, device.bandwidth_bytes_s)
    _say_what_is_drawn(axes, palette, expected, above, wide=wide)
    figure.draw_without_rendering()  # only a finished layout knows the slope's angle, and where there is room
    marks = _marks(figure, axes, points, whole)
    drawn = [line for label in labels for line in _edges(axes, label)]
    left = 1 / device.bandwidth_bytes_s if device.bandwidth_bytes_s else 0.0
    drawn += [((max(span.left, roof.flops_s * left), roof.flops_s), (span.right, roof.flops_s)) for roof in ceilings]
    if ceilings and device.bandwidth_bytes_s:
        slope = _slope(device.bandwidth_bytes_s, ceilings[0], span)
        drawn += [slope, *_name_slope(axes, palette, device.bandwidth_bytes_s, slope, marks)]
    data = axes.transData.inverted()
    drawn += [_line(data.transform([(x - width / 2, y), (x + width / 2, y)])) for (x, y), width in marks]
    name_points(figure, axes, _names(palette, points, whole), palette.muted, 7.5, lines=drawn)


def _slope(bandwidth: float, roof: Roof, span: Frame) -> Line:
    """The part of the memory's slope that is in the picture."""
    left, ridge = max(span.left, span.bottom / bandwidth), roof.flops_s / bandwidth
    return (left, left * bandwidth), (ridge, roof.flops_s)


def _edges(axes: Axes, label: Annotation) -> list[Line]:
    """The upper and the lower edge of a text, in the data of its axes."""
    box, data = label.get_window_extent(), axes.transData.inverted()
    return [_line(data.transform([(box.x0, y), (box.x1, y)])) for y in (box.y0, box.y1)]


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


def _draw_roofs(
    axes: Axes, palette: Palette, ceilings: Sequence[Roof], bandwidth: float | None, span: Frame
) -> list[Annotation]:
    """The slope of the memory and one level a number format, the first in full strength; their names."""
    names = []
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
        name = axes.annotate(
            f"{roof.name} {rate(roof.flops_s)}", (span.right, roof.flops_s), xytext=(-4, 4), ha="right",
            textcoords="offset points", color=palette.ink if strong else palette.muted, fontsize=8,
        )  # fmt: skip
        names.append(name)
    return names


def _name_slope(axes: Axes, palette: Palette, bandwidth: float, slope: Line, marks: Sequence[Mark]) -> list[Line]:
    """Write the bandwidth along the slope where no dot is near; the lines that names must not cross."""
    text, unit = f"memory {bytes_rate(bandwidth)}", axes.figure.dpi / 72
    start, end = axes.transData.transform(slope)
    steep = math.atan2(end[1] - start[1], end[0] - start[0])
    along, up = (math.cos(steep), math.sin(steep)), (-math.sin(steep), math.cos(steep))
    long = text_size(text, 8)[0] * unit

    def spots(first: float, beside: float) -> list[Spot]:
        """The line through the middle of the text's letters, in pixels."""
        steps = [first + long * share / 8 for share in range(9)]
        return [
            (start[0] + along[0] * step + up[0] * beside, start[1] + along[1] * step + up[1] * beside) for step in steps
        ]

    def room(first: float, beside: float) -> float:
        """Pixels to the nearest dot or the edge; there is enough at some point."""
        gaps = [math.dist(spot, place) - width / 2 for spot in spots(first, beside) for place, width in marks]
        return float(min([_FREE_PT * unit, *gaps, *(spot[1] - axes.bbox.y0 for spot in spots(first, beside))]))

    last = math.dist(start, end) - long - 8 * unit
    firsts = [step * unit for step in range(8, max(int(last / unit), 9), 8)]
    first, beside = max(((step, side * 8 * unit) for step in firsts for side in (1, -1)), key=lambda at: room(*at))
    data = axes.transData.inverted()
    (x, y), _ = _line(data.transform([spots(first, beside)[4]] * 2))
    axes.annotate(
        text, (x, y), ha="center", va="center", color=palette.ink, fontsize=8,
        rotation=math.degrees(steep), rotation_mode="anchor",
    ).set_in_layout(False)  # fmt: skip
    edges = [[spots(first, beside + shift * unit)[place] for place in (0, -1)] for shift in (-3, 0, 3)]
    return [_line(data.transform(edge)) for edge in edges]


def _names(palette: Palette, points: Sequence[Dot], whole: Dot | None) -> list[Name]:
    """All layers' speed, and the longest layers."""
    names = [
        Name((dot.intensity, dot.flops_s), f"{dot.name}, {format_share(dot.share, 0)}", palette.ink)
        for dot in points[:_NAMED]
    ]
    if whole is not None:
        names.insert(0, Name((whole.intensity, whole.flops_s), f"all: {rate(whole.flops_s)}", palette.ink))
    return names


def _marks(figure: Figure, axes: Axes, points: Sequence[Dot], whole: Dot | None) -> list[Mark]:
    """Where dots are, and how wide, in pixels."""
    widths = [(dot, math.sqrt(_area(dot))) for dot in points] + ([(whole, 12.0)] if whole else [])
    places = [axes.transData.transform((dot.intensity, dot.flops_s)) for dot, _ in widths]
    return [
        ((float(place[0]), float(place[1])), width * figure.dpi / 72)
        for place, (_, width) in zip(places, widths, strict=True)
    ]


def _line(ends: Any) -> Line:
    (left, low), (right, high) = ends
    return (float(left), float(low)), (float(right), float(high))


def _area(dot: Dot) -> float:
    return _SMALLEST + _LARGEST * dot.share


def _legend(axes: Axes, palette: Palette, colours: dict[str, str], columns: int) -> None:
    marks = [
        Line2D([], [], marker="o", linestyle="", color=colour, alpha=0.7, label=f"bound by {name}")
        for name, colour in colours.items()
    ]
    marks.append(Line2D([], [], marker="D", linestyle="", color=palette.ink, label="all layers"))
    axes.legend(
        handles=marks, loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=columns, frameon=False,
        labelcolor=palette.ink, handletextpad=0.2,
    )  # fmt: skip


def _say_what_is_drawn(axes: Axes, palette: Palette, expected: Estimate, above: str, *, wide: bool) -> None:
    time = expected.time_s
    said = format_time(time.mid) if time.mid is not None else f"at least {format_time(time.low or 0.0)}"
    about = "; ".join(filter(None, [f"a dot's area is its share of {said}", left_out(expected)]))
    intensity = "arithmetic intensity, FLOP per byte moved (1 multiply-add = 2 FLOPs)"
    lines = [intensity, about, above] if wide else [textwrap.fill(each, _FOLDED) for each in (intensity, about, above)]
    axes.set_xlabel("\n".join(filter(None, lines)), color=palette.muted)


def _short(text: str) -> str:
    """A label of an axis: whole numbers without the zeros behind the point."""
    number, _, unit = text.partition(" ")
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    return f"{number} {unit}".strip()
