"""What a network should take on a device: time per layer as an interval, memory, energy and money.

With a profile (`chipwise.devices.profiles.profile_for`) the time has a middle, and bounds from the spread that
cross-validation over families of networks found. Systolic arrays have their own model. Without either, the time is the
roofline's floor: a low bound alone.

>>> from chipwise.core.layer import Layer
>>> device = Device("example", "gpu", peak_flops={"fp32": 1e12}, bandwidth_bytes_s=1e11)
>>> rows = [Layer("fc", "Gemm", ((1, 1000),), ((1, 1000),), flops=2_000_000, read_bytes=4_004_000, write_bytes=4_000)]
>>> estimate(rows, device, Workload()).time_s.low
4.008e-05
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from chipwise.core.device import Device
from chipwise.core.estimate import Bound, Estimate, EstimateRow, Interval, Workload
from chipwise.core.layer import Layer
from chipwise.core.profile import Profile, Scales, Spread
from chipwise.cost import roofline, systolic
from chipwise.cost.energy import energy_of
from chipwise.cost.execution import planned
from chipwise.cost.memory import memory_interval, memory_of
from chipwise.cost.model import Price, prices, rates, step_s
from chipwise.cost.money import price_of
from chipwise.cost.ops import Op, operations

# A systolic array's published times lie within this factor of its model (benchmarks/published/edge_tpu.py).
_ARRAY_FACTOR = 2.0
# Work that is not known takes between its traffic and this many times as long.
_UNKNOWN_FACTOR = 4.0
# Hosts of published timings take 25 to 41 microseconds to start an operation of PyTorch (the GPUs of
# benchmarks/published/neusight.py, each in a machine of its own), so another host may be this much slower or faster.
_HOST_FACTOR = 1.6
# From this share of the time on the host is worth a note.
_HOST_SHARE = 0.1


def estimate(
    layers: Sequence[Layer],
    device: Device,
    workload: Workload,
    profile: Profile | None = None,
    *,
    scales: Scales | None = None,
    notes: Sequence[str] = (),
) -> Estimate:
    """Estimate time, memory, energy and price of one batch, or of one training step.

    Args:
        layers: rows made for `workload.batch` items, FLOPs with 1 multiply-add = 2, bytes as float32.
        device: peaks and bandwidth; for a profile, its cache and multiprocessors sharpen the estimate.
        workload: what is run.
        profile: coefficients of a way of running, as `profile_for` chose them; None for the floor.
        scales: what the device reaches of its stated peaks, where it was measured.
        notes: about the profile, passed on.

    Raises:
        InputError: an unknown precision, or a device whose peak or bandwidth is not known.
    """
    if device.array is not None and workload.phase == "inference":
        timed = _systolic(layers, device, workload)
    elif profile is not None:
        timed = _profiled(layers, device, profile, scales)
    else:
        rows, time_s = roofline.floor(layers, device, workload)
        timed = Timed(rows, time_s, limit((row.bound, row.time_s) for row in rows), roofline.METHOD)
    unknown = _unknown(layers)
    said = [*notes, *timed.notes]
    if unknown:
        said.append(f"the work of {', '.join(unknown)} is not known: counted by traffic alone, the interval is wider")
    return whole(layers, device, workload, replace(timed, notes=tuple(said)))


@dataclass(frozen=True, slots=True)
class Timed:
    """What a model of time gives; `waiting`: share of it that a device waits for its host; else as of `Estimate`."""

    rows: tuple[EstimateRow, ...]
    time_s: Interval
    bound: Bound
    method: str
    notes: tuple[str, ...] = ()
    waiting: float = 0.0


def whole(layers: Sequence[Layer], device: Device, workload: Workload, timed: Timed) -> Estimate:
    """The estimate of a workload whose time is known: with the memory, energy and money that go with it."""
    memory = memory_of(layers, device, workload)
    held = memory_interval(layers, device, workload, memory)
    return Estimate(
        device=device.name,
        workload=workload,
        rows=timed.rows,
        time_s=timed.time_s,
        memory=memory,
        bound=timed.bound,
        method=timed.method,
        memory_bytes=held,
        fits=None if device.memory_bytes is None or held.mid is None else held.mid <= device.memory_bytes,
        energy_j=energy_of(layers, device, workload, timed.time_s, waiting=timed.waiting),
        price_usd=price_of(device, timed.time_s),
        unknown_ops=_unknown(layers),
        notes=timed.notes,
    )


def limit(parts: Iterable[tuple[Bound, float]]) -> Bound:
    """What limits most of the time, from what limits each part and the seconds of that part."""
    totals: dict[Bound, float] = {"compute": 0.0, "memory": 0.0}
    for bound, time_s in parts:
        totals[bound] = totals.get(bound, 0.0) + time_s
    return max(totals, key=lambda bound: totals[bound])


def _unknown(layers: Sequence[Layer]) -> tuple[str, ...]:
    return tuple(sorted({layer.op for layer in layers if not layer.known}))


def difficulty(ops: Sequence[Op], priced: Sequence[Price]) -> dict[str, float]:
    """Shares of the time that are harder to predict, 0..1: products of odd shapes, launches, unknown work."""
    total = sum(price.total_s for price in priced) or 1.0

    def share(kinds: Iterable[str]) -> float:
        chosen = set(kinds)
        return sum(price.total_s for op, price in zip(ops, priced, strict=True) if op.kind in chosen) / total

    return {
        "depthwise": share(("dw", "dwl")),
        "grouped": share(("grp", "grpl")),
        "attention": share(("bmm", "sdpa", "sm")),
        "copies": share(("cp", "cast", "red")),
        "launch": sum(price.launch_s for price in priced) / total,
    }


def interval(mid_s: float, spread: Spread | None, hard: dict[str, float], *, elsewhere: bool) -> Interval:
    """Bounds around a middle: the spread, widened by difficulty and on devices that were not fitted."""
    if spread is None:
        return Interval(None, mid_s, None)
    width = 1.0 + sum(weight * hard.get(name, 0.0) for name, weight in spread.difficulty.items())
    width *= spread.elsewhere if elsewhere else 1.0
    low, high = mid_s * math.exp(width * spread.low), mid_s * math.exp(width * spread.high)
    return Interval(min(low, mid_s), mid_s, max(high, mid_s), spread.coverage)


def waiting_share(step_s: float, priced: Sequence[Price]) -> float:
    """Share of a step, 0..1, in which the device has nothing to do: each kernel's start, and what the host adds."""
    working_s = sum(price.total_s - price.launch_s for price in priced)
    return max(0.0, 1.0 - working_s / step_s) if step_s else 0.0


def on_any_host(time_s: Interval, waiting: float) -> Interval:
    """The interval on a host that is not known: wider by the share of the time that the device waits for it.

    The host's speed has nothing to do with how well the device is known, so the logarithms add as squares.
    """
    low, mid, high = time_s.low, time_s.mid, time_s.high
    if low is None or mid is None or high is None:
        return time_s
    slower, faster = 1.0 + waiting * (_HOST_FACTOR - 1.0), 1.0 + waiting * (1.0 / _HOST_FACTOR - 1.0)
    below, above = math.hypot(math.log(mid / low), math.log(faster)), math.hypot(math.log(high / mid), math.log(slower))
    return replace(time_s, low=mid * math.exp(-below), high=mid * math.exp(above))


def timed_ops(
    ops: Sequence[Op], device: Device, profile: Profile, scales: Scales | None = None
) -> tuple[Interval, list[Op], list[Price]]:
    """Seconds of a step of eager operations in 2-byte values, what really runs, and the price of each.

    Raises:
        InputError: the device's peak or bandwidth is not known.
    """
    run = planned(ops, profile)
    priced = prices(run, rates(device, profile, scales), profile, scales)
    elsewhere = bool(profile.devices) and device.name not in profile.devices
    mid_s = step_s(priced, profile, scales)
    return interval(mid_s, profile.spread, difficulty(run, priced), elsewhere=elsewhere), run, priced


def _profiled(layers: Sequence[Layer], device: Device, profile: Profile, scales: Scales | None) -> Timed:
    time_s, run, priced = timed_ops(operations(layers), device, profile, scales)
    waiting = waiting_share(time_s.mid or 0.0, priced) if device.kind == "gpu" else 0.0  # a CPU is its own host
    time_s = on_any_host(time_s, waiting)
    unknown_s = sum(price.total_s for op, price in zip(run, priced, strict=True) if not op.known)
    if unknown_s and time_s.high is not None:
        time_s = replace(time_s, high=time_s.high + (_UNKNOWN_FACTOR - 1) * unknown_s)
    said = []
    if profile.devices and device.name not in profile.devices:
        said.append(
            f"{device.name} was not measured: its data sheet stands for it, fitted on {', '.join(profile.devices)}"
        )
    if waiting >= _HOST_SHARE and time_s.high is not None:
        said.append(
            f"{waiting:.0%} of the time on {device.name} is waiting for the host, and hosts of published timings "
            f"differ by a factor of {_HOST_FACTOR}: the interval is wider by that"
        )
    if unknown_s and time_s.high is None:
        said.append("no upper bound: the work of some operators is not known")
    # What the device does not account for is spent launching.
    launch_s = max(0.0, (time_s.mid or 0.0) - sum(price.total_s for price in priced))
    return Timed(
        rows=_rows(layers, run, priced),
        time_s=time_s,
        bound=limit([("launch", launch_s), *((price.bound, price.total_s) for price in priced)]),
        method=f"profile {profile.name}: {profile.fitted_on}" if profile.fitted_on else f"profile {profile.name}",
        notes=tuple(said),
        waiting=waiting,
    )


def _rows(layers: Sequence[Layer], run: Sequence[Op], priced: Sequence[Price]) -> tuple[EstimateRow, ...]:
    """One row a layer, in order; what belongs to none (the optimizer) comes last."""
    found: dict[str, list[tuple[Op, Price]]] = {layer.name: [] for layer in layers}
    for op, price in zip(run, priced, strict=True):
        found.setdefault(op.layer, []).append((op, price))
    named = {layer.name: layer for layer in layers}
    rows = []
    for name, parts in found.items():
        longest = max(parts, key=lambda part: part[1].total_s, default=None)
        rows.append(
            EstimateRow(
                name=name or "optimizer",
                time_s=sum(price.total_s for _, price in parts),
                bound=longest[1].bound if longest else "memory",
                op=named[name].op if name in named else "",
                kind=longest[0].kind if longest else "",
                flops=sum(op.flops for op, _ in parts),
                moved_bytes=sum(op.read_bytes + op.weight_bytes + op.write_bytes for op, _ in parts),
            )
        )
    return tuple(rows)


def _systolic(layers: Sequence[Layer], device: Device, workload: Workload) -> Timed:
    rows = tuple(systolic.seconds(layers, device, workload))
    total_s = sum(row.time_s for row in rows)
    said = ["the interval is a factor of two either way, not calibrated"]
    if device.bandwidth_bytes_s:  # else the link is the host's, and counted
        said.append("the chip alone: what its host does, and the way there and back, are left out")
    return Timed(
        rows=rows,
        time_s=Interval(total_s / _ARRAY_FACTOR, total_s, total_s * _ARRAY_FACTOR),
        bound=limit((row.bound, row.time_s) for row in rows),
        method="systolic array: fill of its tiles, weights streamed once",
        notes=tuple(said),
    )
