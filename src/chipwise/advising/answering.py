"""Answering on hardware: the batch that keeps the latency, and how many devices the rate takes.

A request that comes while a batch runs waits for its end, and then for its own: with a rate to serve, an answer takes
two batches at worst, as long as there are devices enough that no second batch stands before it. The batch before it
counts with the middle of its time, its own with the upper bound; devices are as many as the rate's lower bound asks.

>>> quick_enough(Interval(1e-3, 2e-3, 3e-3), Goal(latency_s=4e-3)), quick_enough(
...     Interval(1e-3, 2e-3, 3e-3), Goal(latency_s=4e-3, rate_s=100.0))
(True, False)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from chipwise.advising.expected import Rows, at_batches, obstacle, runs_in, waiting_of
from chipwise.advising.hardware import Hardware
from chipwise.advising.training import capacity_of
from chipwise.core.advice import Candidate, Goal, Miss
from chipwise.core.estimate import Estimate, Interval

_BATCHES = tuple(2**power for power in range(9))
_KNEE = 0.9  # of the best throughput: a larger batch costs latency and memory for little
_GAIN = 1.1  # of the next batch, below which larger ones are not looked at where nothing asks for them
_MOST_DEVICES = 64


def answered(hardware: Hardware, rows_at: Rows, goal: Goal) -> Candidate | Miss:
    """How some hardware answers best within the goal, or why it cannot.

    Args:
        hardware: what answers; of one device as many as the rate takes.
        rows_at: layer rows for so many items.
        goal: `batch` of a call of each device, or None for what suits the rest.
    """
    device = hardware.device
    why = obstacle(device, "inference")
    if why:
        return Miss(hardware.name, why)
    format_name = runs_in(device, "inference", goal.precision)
    if not format_name:
        return Miss(hardware.name, f"not known to compute in {goal.precision}")
    made = at_batches(rows_at, device, "inference", format_name)
    capacity = capacity_of(hardware, goal)
    batch = _batch(made, goal, capacity, single=device.kind == "edge")  # whose compilers take one at a time
    if isinstance(batch, str):
        first = made(goal.batch or 1)
        tried = _candidate(hardware, first, format_name, capacity=capacity, needed=1)
        if batch not in (_TOO_SLOW, _UNSURE):
            return Miss(hardware.name, batch, candidate=tried)
        return Miss(hardware.name, batch, "latency", _worst_s(first.time_s, goal), goal.latency_s, tried)
    found = made(batch)
    needed = 1
    if goal.rate_s is not None:
        needed = math.ceil(goal.rate_s / (hardware.count * (found.items_s.low or 0.0) or math.inf)) or 1
    if needed > _MOST_DEVICES or (hardware.own and needed > 1):
        reason = f"more than {_MOST_DEVICES} of them are needed for the rate" if not hardware.own else _TOO_FEW
        return Miss(hardware.name, reason, "rate", float(needed), 1.0, None)
    return _candidate(hardware, found, format_name, capacity=capacity, needed=needed)


_UNSURE = "the latency is kept by the middle of the estimate, and not by its upper bound"
_TOO_SLOW, _TOO_FEW = "an answer takes longer than the latency, at a batch of one", "what is there is too slow"


def quick_enough(time_s: Interval, goal: Goal) -> bool:
    """Whether an answer comes within the latency."""
    return goal.latency_s is None or _worst_s(time_s, goal) <= goal.latency_s


def _worst_s(time_s: Interval, goal: Goal) -> float:
    """Seconds that an answer takes at worst: behind the batch before it, where there is a rate."""
    upper = time_s.high if time_s.high is not None else math.inf
    return upper + ((time_s.mid or 0.0) if goal.rate_s is not None else 0.0)


def _batch(made: Callable[[int], Estimate], goal: Goal, capacity: int | None, *, single: bool) -> int | str:
    """The batch of a call: the largest that keeps the latency, else the smallest near the best rate; or why none."""
    rates: dict[int, float] = {}
    unsure = fitting = False
    for batch in _batches(goal, single=single):
        found = made(batch)
        mid = found.time_s.mid
        if mid is None:
            return "only a floor of its time is known"
        needed = None if found.memory_bytes is None else found.memory_bytes.mid
        if capacity is not None and needed is not None and needed > capacity:
            break
        fitting = True
        hopeful = goal.latency_s is None or mid <= goal.latency_s / (1 if goal.rate_s is None else 2)
        if not hopeful:
            break
        if not quick_enough(found.time_s, goal):  # bounds are widest at small batches, and so a larger one may do
            unsure = True
            continue
        rates[batch] = batch / mid
        if goal.latency_s is None and rates[batch] < _GAIN * max(
            (rates[each] for each in rates if each < batch), default=0
        ):
            break
    if not rates:
        return _UNSURE if unsure else _TOO_SLOW if fitting else "it does not fit, whatever the batch is"
    if goal.latency_s is not None:
        return max(rates)
    best = max(rates.values())
    return next(batch for batch, rate in rates.items() if rate >= _KNEE * best)


def _batches(goal: Goal, *, single: bool) -> tuple[int, ...]:
    """Batches that are looked at: every power of two where the latency decides, else every second."""
    if goal.batch is not None:
        return (goal.batch,)
    return (1,) if single else _BATCHES if goal.latency_s is not None else _BATCHES[::2]


def _candidate(hardware: Hardware, made: Estimate, format_name: str, *, capacity: int | None, needed: int) -> Candidate:
    count = hardware.count * needed
    single = hardware.name.removeprefix(f"{hardware.count} x ")
    named = (
        hardware.name if needed == 1 else f"{needed} x {hardware.name}" if hardware.system else f"{count} x {single}"
    )
    power_w = None if hardware.power_w is None else hardware.power_w * needed
    return Candidate(
        name=named,
        device=hardware.device.name,
        kind=hardware.device.kind,
        count=count,
        batch=made.workload.batch * count,
        each=made.workload.batch,
        precision=format_name,
        step_s=replace(made.time_s, coverage=made.time_s.coverage),
        memory_bytes=made.memory_bytes or Interval(None, None, None),
        bound=made.bound,
        whole=hardware.system is not None,
        year=hardware.device.year,
        capacity_bytes=capacity,
        waiting=waiting_of(made),
        power_w=power_w,
        notes=made.notes,
    )
