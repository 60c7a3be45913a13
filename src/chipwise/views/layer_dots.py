"""Layers of an estimate as points under a device's roof: what the drawn roofline and its page share.

>>> from chipwise.core.device import Device
>>> chip = Device("Chip", "gpu", peak_flops={"fp32": 1e12}, bandwidth_bytes_s=1e11)
>>> [(roof.name, roof.flops_s) for roof in roofs(chip, "fp32")]
[('fp32', 1000000000000.0)]
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chipwise.views.units import format_flops, plain, significant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.core.device import Device
    from chipwise.core.estimate import Estimate, EstimateRow

_BEYOND = 1.02  # times the roof: nearer is on it


@dataclass(frozen=True, slots=True)
class Roof:
    """One ceiling of arithmetic: the number format it is for, FLOP/s."""

    name: str
    flops_s: float


@dataclass(frozen=True, slots=True)
class Dot:
    """A layer, or all of them: FLOPs per byte, FLOP/s as estimated, and its share of the time."""

    name: str
    kind: str
    bound: str
    intensity: float
    flops_s: float
    time_s: float
    share: float
    flops: float
    moved_bytes: float


@dataclass(frozen=True, slots=True)
class Frame:
    """What the axes span: powers of ten from `left` to `right` FLOPs per byte, `bottom` to `top` FLOP/s."""

    left: float
    right: float
    bottom: float
    top: float


def roofs(device: Device, precision: str) -> tuple[Roof, ...]:
    """The ceiling of the number format that is run, then float32's where that is another."""
    names = dict.fromkeys((precision, "fp32"))
    return tuple(Roof(name, device.peak_flops[name]) for name in names if device.peak_flops.get(name))


def dots(expected: Estimate) -> tuple[Dot, ...]:
    """Layers that do arithmetic, the longest first, so that small ones are drawn over large ones."""
    whole = sum(row.time_s for row in expected.rows) + expected.beside_s
    drawn = [row for row in expected.rows if row.flops > 0 and row.moved_bytes > 0 and row.time_s > 0]
    made = [_dot(row, whole) for row in drawn]
    return tuple(sorted(made, key=lambda dot: -dot.time_s))


def whole_dot(expected: Estimate) -> Dot | None:
    """All layers together; None where there is no arithmetic."""
    flops, moved = (sum(getattr(row, field) for row in expected.rows) for field in ("flops", "moved_bytes"))
    time_s = expected.time_s.mid or sum(row.time_s for row in expected.rows)
    if not (flops and moved and time_s):
        return None
    return Dot("all layers", "", expected.bound, flops / moved, flops / time_s, time_s, 1.0, flops, moved)


def frame(points: Sequence[Dot], ceilings: Sequence[Roof], bandwidth: float | None) -> Frame:
    """Axes that hold every point, the ridge and the roofs, a little room around them."""
    x = [dot.intensity for dot in points] or [1.0]
    y = [dot.flops_s for dot in points] or [1e9]
    tops = [roof.flops_s for roof in ceilings]
    ridges = [top / bandwidth for top in tops] if bandwidth else []
    left, right = min(x) / 1.6, max([*x, *(3 * ridge for ridge in ridges)]) * 1.6
    highest = max([*y, *tops])
    # No more than seven decades: what lies lower takes no time worth a look.
    lowest = max(min(y), highest / 1e7)
    return Frame(left, right, lowest / 2, highest * 2.5)


def left_out(expected: Estimate) -> str:
    """Which part of the time has no point: layers without arithmetic, and what belongs to no layer; "" for none."""
    whole = sum(row.time_s for row in expected.rows) + expected.beside_s
    rest = [row for row in expected.rows if row.flops <= 0 or row.moved_bytes <= 0 or row.time_s <= 0]
    said = []
    if rest:
        some = "layer without arithmetic is" if len(rest) == 1 else "layers without arithmetic are"
        said.append(f"{len(rest)} {some} not drawn ({_share(sum(row.time_s for row in rest), whole)} of the time)")
    if whole and expected.beside_s / whole >= 0.005:
        said.append(f"{_share(expected.beside_s, whole)} of the time is beside the layers")
    return "; ".join(said)


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f}%" if whole and part / whole >= 0.0005 else "less than 0.1%"


def above_roof(points: Sequence[Dot], ceilings: Sequence[Roof], bandwidth: float | None) -> str:
    """Why some points lie above the roof of a data sheet; "" where none does."""
    if not ceilings or not bandwidth:
        return ""
    top = ceilings[0].flops_s
    faster = sum(dot.flops_s > _BEYOND * top for dot in points)
    cached = sum(top >= dot.flops_s > _BEYOND * bandwidth * dot.intensity for dot in points)
    said = []
    if cached:
        why = "caches serve traffic faster than the memory; it is traffic all the same that bounds them"
        said.append(f"{_lie(cached)} above the slope: {why}")
    if faster:
        said.append(f"{_lie(faster)} above the roof: the clock exceeds the stated one")
    return "; ".join(said)


def _lie(count: int) -> str:
    return "1 dot lies" if count == 1 else f"{count} dots lie"


def title(network: str, expected: Estimate) -> str:
    """What is drawn."""
    workload = expected.workload
    formats = f"amp ({workload.precision})" if "amp" in workload.techniques else workload.precision
    return f"{plain(network)} on {plain(expected.device)}: {workload.phase}, batch {workload.batch}, {formats}"


def rate(flops_s: float) -> str:
    """FLOP/s with a unit."""
    return f"{format_flops(flops_s)}/s"


def bytes_rate(bytes_s: float) -> str:
    """Bytes per second in decimal units, as data sheets have them."""
    power = min(max(int(math.log10(bytes_s)) // 3, 0), 5) if bytes_s >= 1 else 0
    return f"{significant(bytes_s / 1000**power)} {('', 'k', 'M', 'G', 'T', 'P')[power]}B/s"


def _dot(row: EstimateRow, whole: float) -> Dot:
    return Dot(
        name=plain(row.name),
        kind=plain(row.op or row.kind),
        bound=row.bound,
        intensity=row.flops / row.moved_bytes,
        flops_s=row.flops / row.time_s,
        time_s=row.time_s,
        share=row.time_s / whole,
        flops=row.flops,
        moved_bytes=row.moved_bytes,
    )
