"""The roofline with every layer as a dot, as a page without any request: details of what is pointed at, and a table.

>>> from chipwise.core.device import Device
>>> from chipwise.core.estimate import Estimate, EstimateRow, Interval, MemoryUse, Workload
>>> chip = Device("Chip", "gpu", peak_flops={"fp32": 1e12}, bandwidth_bytes_s=1e11)
>>> rows = (EstimateRow("fc", 1e-5, "memory", "Gemm", "matmul", 1e6, 9e5),)
>>> expected = Estimate("Chip", Workload(), rows, Interval(None, 1e-5, None), MemoryUse(1, 1), "memory", "by hand")
>>> roofline_html("net", expected, chip)[:15]
'<!doctype html>'
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from chipwise.views.intervals import time_range
from chipwise.views.layer_dots import above_roof, bytes_rate, dots, frame, left_out, rate, roofs, title, whole_dot
from chipwise.views.units import format_bytes, format_flops, format_share, format_time, plain, significant

if TYPE_CHECKING:
    from chipwise.core.device import Device
    from chipwise.core.estimate import Estimate, EstimateRow
    from chipwise.views.layer_dots import Dot


def roofline_html(network: str, expected: Estimate, device: Device) -> str:
    """Draw the page.

    Args:
        network: its name.
        expected: one workload on the device, with its layers.
        device: whose roof it is.
    """
    points, ceilings, whole = dots(expected), roofs(device, expected.workload.precision), whole_dot(expected)
    bandwidth = device.bandwidth_bytes_s if ceilings else None
    span = frame([*points, *([whole] if whole else [])], ceilings, bandwidth)
    document: dict[str, Any] = {
        "frame": [span.left, span.right, span.bottom, span.top],
        "bandwidth": bandwidth,
        "slope": f"memory {bytes_rate(bandwidth)}" if bandwidth else "",
        "roofs": [{"y": roof.flops_s, "text": f"{plain(roof.name)} {rate(roof.flops_s)}"} for roof in ceilings],
        "dots": [_as_data(dot) for dot in points],
        "whole": None if whole is None else _as_data(whole),
    }
    page = Environment(
        loader=PackageLoader("chipwise", "views"), autoescape=True, trim_blocks=True, undefined=StrictUndefined
    ).get_template("layer_roofline.html.j2")
    drawn = {dot.name: place for place, dot in enumerate(points)}
    time_s = sum(row.time_s for row in expected.rows) + expected.beside_s
    return page.render(
        title=title(network, expected),
        time=time_range(expected.time_s),
        coverage="" if expected.time_s.coverage is None else format_share(expected.time_s.coverage, 0),
        notes=[plain(note) for note in expected.notes],
        unknown=", ".join(plain(op) for op in expected.unknown_ops),
        method=plain(expected.method),
        left_out="; ".join(filter(None, [left_out(expected), above_roof(points, ceilings, bandwidth)])),
        bounds=[
            name for name in ("compute", "memory", "launch", "unknown") if any(dot.bound == name for dot in points)
        ],
        rows=[
            _cells(row, time_s, points[0].share if points else 1.0) | {"dot": drawn.get(plain(row.name), -1)}
            for row in expected.rows
        ],
        data=Markup(json.dumps(document, separators=(",", ":")).replace("<", "\\u003c")),  # noqa: S704  escaped here
    )


def _as_data(dot: Dot) -> dict[str, Any]:
    kind = f" ({dot.kind})" if dot.kind else ""
    about = (
        f"{format_time(dot.time_s)}, {format_share(dot.share, 1)} of the time, bound by {dot.bound}; "
        f"{format_flops(dot.flops)}, {format_bytes(dot.moved_bytes)} moved, {significant(dot.intensity)} FLOP/byte, "
        f"{rate(dot.flops_s)}"
    )
    return {
        "name": f"{dot.name}{kind}", "about": about, "x": dot.intensity, "y": dot.flops_s, "share": dot.share,
        "bound": dot.bound,
    }  # fmt: skip


def _cells(row: EstimateRow, whole: float, longest: float) -> dict[str, Any]:
    """One row of the table; the bar of the longest share fills its cell."""
    share = row.time_s / whole if whole else 0.0
    return {
        "name": plain(row.name),
        "op": plain(row.op),
        "time": format_time(row.time_s),
        "share": format_share(share, 1),
        "width": f"{min(100 * share / longest, 100.0):.1f}",
        "flops": format_flops(row.flops),
        "bytes": format_bytes(row.moved_bytes),
        "bound": row.bound,
    }
