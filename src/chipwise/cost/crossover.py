"""Where one device overtakes another as networks grow: steps with their parts, and curves that cross.

>>> slow = [Interval(0.9, 1.0, 1.1), Interval(9.0, 10.0, 11.0)]
>>> fast = [Interval(2.5, 3.0, 3.5), Interval(2.5, 3.0, 3.5)]
>>> kind, parameters = crossing([100, 10_000], fast, slow)
>>> kind, round(parameters.mid)
('at', 900)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from chipwise.core.crossover import Parts
from chipwise.core.device import Link
from chipwise.core.estimate import Estimate, Interval

Kind = Literal["at", "always", "never"]

# Starting a copy, where the link's own latency is not known: assumed, about what a kernel's start and a wait take.
_COPY_START_S = 10e-6
# A copy out of memory that is not pinned takes up to so many times as long: assumed. One that a reader of data has made
# ahead, out of pinned memory, takes nothing that shows.
_UNPINNED = 3.0
# A size that was not measured is at least so uncertain, as a logarithm: what one machine does from minute to minute.
_LEAST_SPREAD = math.log(1.1)
# With one measured size alone nothing tells how the model's curve fits: assumed.
_LONE_SPREAD = math.log(3)
_LAST = 4  # measured points that say how well the next is told from the one before


def transfer(size_bytes: float, link: Link | None) -> Interval:
    """Seconds to move a batch to a device; all 0 where it needs no moving or the link is not known.

    Args:
        size_bytes: of the inputs and labels of a step.
        link: to the host.

    Returns:
        low: hidden by what reads ahead; mid: at the link's stated rate; high: out of memory that is not pinned.
    """
    if link is None:
        return Interval(0.0, 0.0, 0.0)
    moving_s = size_bytes / link.bandwidth_bytes_s
    start_s = link.latency_s or _COPY_START_S
    return Interval(0.0, start_s + moving_s, start_s + _UNPINNED * moving_s)


def with_transfer(step_s: Interval, moved_s: Interval) -> Interval:
    """A step that begins when its batch is there."""
    low, mid, high = (
        None if one is None or other is None else one + other
        for one, other in zip(
            (step_s.low, step_s.mid, step_s.high), (moved_s.low, moved_s.mid, moved_s.high), strict=True
        )
    )
    return Interval(low, mid, high, step_s.coverage)


def parts_of(estimate: Estimate, transfer_s: float) -> Parts:
    """What the seconds of an estimated step go to: each layer counts under what bounds it."""
    totals = {"compute": 0.0, "memory": 0.0, "launch": estimate.beside_s}
    for row in estimate.rows:
        name = row.bound if row.bound in totals else "memory"
        totals[name] += row.time_s
    return Parts(totals["launch"], transfer_s, totals["memory"], totals["compute"])


def crossing(
    parameters: Sequence[float], device: Sequence[Interval], against: Sequence[Interval]
) -> tuple[Kind, Interval]:
    """From how many parameters on a device stays faster than another.

    Args:
        parameters: ascending, more than 0; at least one.
        device: seconds of its steps, with a middle.
        against: of the other's, likewise.

    Returns:
        what kind of answer it is, and the number: between two sizes it is where straight lines of logarithms cross. Its
        low bound is for the device at its fastest and the other at its slowest, its high bound the other way round;
        None where that lies outside of `parameters`, or a bound of theirs is not known.
    """

    def bound(one: Literal["low", "mid", "high"], other: Literal["low", "mid", "high"]) -> float | None:
        mine, theirs = [getattr(each, one) for each in device], [getattr(each, other) for each in against]
        known = all(value is not None for value in (*mine, *theirs))
        return _from(parameters, mine, theirs) if known else None

    low, mid, high = (
        None if value in (None, 0.0, math.inf) else value
        for value in (bound("low", "high"), bound("mid", "mid"), bound("high", "low"))
    )
    middle = bound("mid", "mid")
    kind: Kind = "at" if mid is not None else "always" if middle == 0.0 else "never"
    return kind, Interval(low, mid, high)


def _from(parameters: Sequence[float], mine: Sequence[float], theirs: Sequence[float]) -> float:
    """Where `mine` is less from there on; 0 for everywhere and infinity for nowhere."""
    gaps = [math.log(one / other) for one, other in zip(mine, theirs, strict=True)]
    last = next((place for place in reversed(range(len(gaps))) if gaps[place] >= 0), None)
    if last is None:
        return 0.0
    if last == len(gaps) - 1:
        return math.inf
    share = gaps[last] / (gaps[last] - gaps[last + 1])
    return math.exp((1 - share) * math.log(parameters[last]) + share * math.log(parameters[last + 1]))


def at(parameters: Sequence[float], values: Sequence[float], where: float) -> float:
    """A curve between its points, straight in logarithms; flat beyond its ends.

    Args:
        parameters: ascending.
        values: more than 0.
        where: between the first and the last of `parameters`.
    """
    for (left, low), (right, high) in pairwise(zip(parameters, values, strict=True)):
        if left <= where <= right and right > left:
            share = math.log(where / left) / math.log(right / left)
            return math.exp((1 - share) * math.log(low) + share * math.log(high))
    return values[0] if where < parameters[0] else values[-1]


def parts_at(parameters: Sequence[float], parts: Sequence[Parts], where: float) -> Parts:
    """The parts of a step between two points, straight against the logarithm of the parameters."""
    for (left, low), (right, high) in pairwise(zip(parameters, parts, strict=True)):
        if left <= where <= right and right > left:
            share = math.log(where / left) / math.log(right / left)
            return Parts(
                *(
                    (1 - share) * getattr(low, name) + share * getattr(high, name)
                    for name in ("launch_s", "transfer_s", "memory_s", "compute_s")
                )
            )
    return parts[0] if where < parameters[0] else parts[-1]


def scaled_on(measured: Sequence[tuple[float, float]], model_s: float, beyond: int) -> Interval:
    """A step that was not measured, from a model's curve put through the last point that was.

    Args:
        measured: seconds by the model and by the clock, ascending; at least one.
        model_s: of the step by the model.
        beyond: how many sizes it is beyond the last measured one.

    Returns:
        the middle, and as far around it as each of the last points would have been off from the one before it,
        widened by the root of `beyond`; by a factor of 3 where one point alone was measured. Nothing was calibrated.
    """
    by_model, by_clock = measured[-1]
    mid = by_clock * model_s / by_model
    errors = [
        abs(math.log((after[1] / before[1]) / (after[0] / before[0]))) for before, after in pairwise(measured[-_LAST:])
    ]
    width = max(_LEAST_SPREAD, *errors) if errors else _LONE_SPREAD
    width *= math.sqrt(max(beyond, 1))
    return Interval(mid * math.exp(-width), mid, mid * math.exp(width))
