"""Training on hardware: the quickest way that fits, what a step takes, and what all of it takes.

Time of a step is that of `chipwise.cost.estimate`; of copies, `chipwise.cost.together`; of sharded weights and of
networks that are cut, `chipwise.cost.mesh_step`. Checkpointing runs the forward pass a second time, a third of a step
more (Chen et al. 2016). The optimizer's state on the host sends gradients there and weights back, and the host's memory
moves seven values of each weight (ZeRO-Offload: Ren et al., USENIX ATC 2021).

>>> slower(Interval(1.0, 2.0, 3.0), (0.5, 1.0, 2.0)).high
5.0
"""

from __future__ import annotations

import math

from chipwise.advising.expected import Rows, at_batches, obstacle, runs_in, waiting_of
from chipwise.advising.fitting import Fit, cut_fits, fits, tried
from chipwise.advising.hardware import Hardware
from chipwise.core.advice import Candidate, Goal, Miss, Rung
from chipwise.core.estimate import Estimate, Interval, Workload
from chipwise.cost.best_mesh import parts_of
from chipwise.cost.mesh_step import Layout, Wires, mesh_step
from chipwise.cost.parallel import GRADIENT_BYTES, ring_s
from chipwise.cost.together import LOST, copies_of, wires_of
from chipwise.devices import known

_AGAIN = 4 / 3  # of a step's time: forward, forward again, and twice as much back
_WAITS = 0.5  # share of a step from which plain float32 is tried, too
# A host with two channels of DDR4-3200, as desktops have, moves gradient, momentum, variance and weight in float32:
# four are read and three written.
_HOST_BYTES_S, _HOST_VALUES = 51.2e9, 7
# Of a link's stated bandwidth that copies to the host reach; best, usual, worst.
_LINK_SHARES = (1.0, 0.73, 0.4)
_NORM_ITEMS = 16  # batch normalization over fewer items is noticeably noisier (Wu and He, "Group normalization", 2018)


def trained(hardware: Hardware, rows_at: Rows, goal: Goal) -> Candidate | Miss:
    """The quickest way to train on some hardware, or why there is none.

    Args:
        hardware: what it is trained on.
        rows_at: layer rows for so many items.
        goal: with its batch, which all devices share.
    """
    device, batch = hardware.device, goal.batch or 1
    why = obstacle(device, "training")
    if why:
        return Miss(hardware.name, why)
    format_name = runs_in(device, "training", goal.precision)
    if not format_name:
        return Miss(hardware.name, _no_format(goal.precision))
    if hardware.count > batch:
        return Miss(hardware.name, f"a batch of {batch} is fewer items than devices")
    if hardware.count > 1 and hardware.link is None:
        return Miss(hardware.name, "no link speed between its devices is known")
    way = _quickest(hardware, rows_at, goal, format_name)
    if isinstance(way, str):
        return Miss(hardware.name, way)
    if goal.precision is None and way[2].waiting > _WAITS and format_name != "fp32" and "fp32" in device.peak_flops:
        plain = _quickest(hardware, rows_at, goal, "fp32")  # autocast's casts are starts, too
        if not isinstance(plain, str) and (plain[1].mid or math.inf) < (way[1].mid or math.inf):
            way = plain
    return way[2]


def _quickest(hardware: Hardware, rows_at: Rows, goal: Goal, format_name: str) -> tuple[Fit, Interval, Candidate] | str:
    """The quickest way that fits in a number format, or why there is none."""
    device, batch = hardware.device, goal.batch or 1
    capacity = capacity_of(hardware, goal)
    share = math.ceil(batch / hardware.count)
    found = fits(rows_at, device, format_name, share, capacity=capacity, count=hardware.count)
    if not found and hardware.count > 1:
        found = cut_fits(rows_at, device, format_name, batch, capacity=capacity, count=hardware.count)
    if not found:
        return "it does not fit, whatever is done"
    made = at_batches(rows_at, device, "training", format_name)
    ways = [(fit, step_of(hardware, fit, made(fit.micro), rows_at, batch)) for fit in found]
    timed = [(fit, step_s) for fit, step_s in ways if step_s is not None and step_s.mid is not None]
    if not timed:
        return "only a floor of its time is known"
    fit, step_s = min(timed, key=lambda pair: pair[1].mid or math.inf)
    return (
        fit,
        step_s,
        _candidate(hardware, fit, made(fit.micro), step_s=step_s, rows_at=rows_at, goal=goal, format_name=format_name),
    )


def capacity_of(hardware: Hardware, goal: Goal) -> int | None:
    """Bytes that may be used of a device's memory; None where neither is known: a host has what is put in."""
    known_bytes = [each for each in (hardware.device.memory_bytes, goal.memory_bytes) if each is not None]
    return min(known_bytes, default=None)


def _no_format(asked: str | None) -> str:
    return f"no {asked or 'format'} that pays: its units are slower in it than in float32, or not known to have it"


def _candidate(
    hardware: Hardware,
    fit: Fit,
    made: Estimate,
    *,
    step_s: Interval,
    rows_at: Rows,
    goal: Goal,
    format_name: str,
) -> Candidate:
    count, batch = hardware.count, goal.batch or 1
    return Candidate(
        name=hardware.name,
        device=hardware.device.name,
        kind=hardware.device.kind,
        count=count,
        batch=batch,
        each=fit.micro,
        precision=format_name,
        step_s=step_s,
        memory_bytes=fit.memory,
        bound=made.bound,
        link=hardware.link.name if hardware.link is not None else "",
        whole=hardware.system is not None,
        year=hardware.device.year,
        techniques=fit.words,
        capacity_bytes=capacity_of(hardware, goal),
        waiting=waiting_of(made),
        work_s=None if goal.steps is None else step_s.times(goal.steps),
        power_w=hardware.power_w,
        notes=tuple(dict.fromkeys((*made.notes, *_said(fit, rows_at)))),
    )


def _said(fit: Fit, rows_at: Rows) -> list[str]:
    """What micro-batches do to a network with batch normalization."""
    normed = any(row.op == "BatchNormalization" for row in rows_at(1))
    if fit.parts > 1 and fit.micro < _NORM_ITEMS and normed:
        return [f"batch normalization sees {fit.micro} items at a time, which may cost accuracy"]
    return []


def alone_s(hardware: Hardware, fit: Fit, made: Estimate, rows_at: Rows) -> Interval:
    """Seconds in which one copy learns its share, before anything is exchanged."""
    whole = made.time_s.times(fit.parts * (_AGAIN if fit.checkpointed else 1.0))
    if not fit.offloaded:
        return whole
    device = hardware.device
    values = sum(row.parameters for row in rows_at(1)) / (hardware.count if fit.stage else 1)
    link = known.link(device.host_link)
    update_s = values * GRADIENT_BYTES * _HOST_VALUES / _HOST_BYTES_S
    moved_s = 2 * values * GRADIENT_BYTES / link.bandwidth_bytes_s
    best, usual, worst = (moved_s / share for share in _LINK_SHARES)
    return slower(whole, (max(best, update_s), usual + update_s, 2 * (worst + update_s)))


def slower(time_s: Interval, added: tuple[float, float, float]) -> Interval:
    """The time with so many seconds more: at best, usually, at worst."""
    low, mid, high = (
        None if value is None else value + more
        for value, more in zip((time_s.low, time_s.mid, time_s.high), added, strict=True)
    )
    return Interval(low, mid, high)


def step_of(hardware: Hardware, fit: Fit, made: Estimate, rows_at: Rows, batch: int) -> Interval | None:
    """Seconds of a step of all; None where no middle is known."""
    if hardware.count == 1:
        return alone_s(hardware, fit, made, rows_at)
    if hardware.link is None:
        return None
    if fit.layout != "copies":
        return _cut_s(hardware, fit, made, rows_at)
    alone = alone_s(hardware, fit, made, rows_at)
    rows = rows_at(fit.micro)
    workload = Workload("training", math.ceil(batch / hardware.count))
    found = copies_of(workload, alone, rows, hardware.as_system())
    if found is None or fit.stage < 3:
        return None if found is None else found.step_s
    size = sum(row.parameters for row in rows) * GRADIENT_BYTES
    best, usual, worst = (ring_s(size, hardware.count, wire) / 2 for wire in wires_of(hardware.link))
    return slower(found.step_s, (best, usual, worst))


def _cut_s(hardware: Hardware, fit: Fit, made: Estimate, rows_at: Rows) -> Interval | None:
    """Seconds of a step of devices that hold one network together."""
    assert hardware.link is not None
    count = hardware.count
    tensor = fit.layout == "tensor"
    layout = Layout(group=count if tensor else 1, stages=1 if tensor else count, micro_batches=fit.parts)
    rows = rows_at(fit.micro)
    bounds = []
    for bound, wire, lost in zip(_ends(made.time_s), wires_of(hardware.link), LOST, strict=True):
        if bound is None:
            return None
        parts = parts_of(rows, made, bound * (1 + lost * math.log2(count)), count if tensor else 1)
        bounds.append(mesh_step(parts, layout, Wires(wire, wire, wire)).step_s)
    low, mid, high = bounds
    return Interval(min(low, mid), mid, max(mid, high))


def _ends(time_s: Interval) -> tuple[float | None, float | None, float | None]:
    return time_s.low, time_s.mid, time_s.high


def rungs(hardware: Hardware, rows_at: Rows, goal: Goal, precision: str) -> list[Rung]:
    """Ways to train on some hardware, each technique by itself, quickest first; float32, too.

    Args:
        hardware: the recommended one.
        rows_at: layer rows for so many items.
        goal: as of `trained`.
        precision: the number format that was chosen.
    """
    device, batch, capacity = hardware.device, goal.batch or 1, capacity_of(hardware, goal)
    share = math.ceil(batch / hardware.count)
    wide = ["fp32"] if precision != "fp32" and "fp32" in device.peak_flops else []
    found = []
    for name in (*wide, precision):
        made = at_batches(rows_at, device, "training", name)
        for fit in tried(rows_at, device, name, share, capacity=capacity, count=hardware.count):
            if name in wide and fit.words:
                continue
            step_s = step_of(hardware, fit, made(fit.micro), rows_at, batch)
            if step_s is not None:
                room = capacity is None or (fit.memory.mid or 0.0) <= capacity
                found.append(Rung(name, fit.words, fit.memory, room, step_s.rate(batch)))
    found.sort(key=lambda each: -(each.items_s.mid or 0.0))
    return found
