"""Where curves cross: monotone in what makes a device faster, bounded by its intervals, silent beyond what was seen."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chipwise.core.crossover import Parts
from chipwise.core.device import Link
from chipwise.core.estimate import Estimate, EstimateRow, Interval, MemoryUse, Workload
from chipwise.cost.crossover import at, crossing, parts_at, parts_of, scaled_on, transfer, with_transfer

SIZES = [10**power for power in range(4, 9)]
SECONDS = st.lists(st.floats(1e-6, 1e3), min_size=5, max_size=5)
SPREAD = st.floats(1.0, 4.0)


def curve(values: list[float], spread: float = 1.0) -> list[Interval]:
    return [Interval(value / spread, value, value * spread) for value in values]


def bounds(found: Interval) -> tuple[float, float, float]:
    """All three, where all are known."""
    assert None not in (found.low, found.mid, found.high)
    return found.low or 0.0, found.mid or 0.0, found.high or 0.0


def place(kind: str, found: Interval) -> float:
    """A crossing as a number that can be compared."""
    return {"always": 0.0, "never": math.inf}.get(kind, found.mid or 0.0)


@given(SECONDS, SECONDS, st.floats(1.0, 100.0))
def test_a_faster_device_never_overtakes_later(mine: list[float], theirs: list[float], gain: float) -> None:
    before = place(*crossing(SIZES, curve(mine), curve(theirs)))
    after = place(*crossing(SIZES, curve([value / gain for value in mine]), curve(theirs)))
    assert after <= before * (1 + 1e-9)


@given(SECONDS, SECONDS, SPREAD, SPREAD)
def test_bounds_lie_around_the_middle(mine: list[float], theirs: list[float], one: float, other: float) -> None:
    kind, found = crossing(SIZES, curve(mine, one), curve(theirs, other))
    inside = [value for value in (found.low, found.mid, found.high) if value is not None]
    assert inside == sorted(inside)
    assert all(SIZES[0] <= value <= SIZES[-1] * (1 + 1e-9) for value in inside)
    assert (kind == "at") == (found.mid is not None)
    if kind == "always":
        assert found.low is None
        assert all(left < right for left, right in zip(mine, theirs, strict=True))
    if kind == "never":
        assert found.high is None
        assert mine[-1] >= theirs[-1]


@given(SECONDS, SECONDS)
def test_from_the_crossing_on_the_device_is_faster(mine: list[float], theirs: list[float]) -> None:
    kind, found = crossing(SIZES, curve(mine), curve(theirs))
    if kind == "at" and found.mid is not None:
        assert at(SIZES, mine, found.mid) == pytest.approx(at(SIZES, theirs, found.mid), rel=1e-6)
        beyond = [(a, b) for size, a, b in zip(SIZES, mine, theirs, strict=True) if size > found.mid * (1 + 1e-9)]
        assert beyond
        assert all(a < b for a, b in beyond)


def test_a_device_that_is_overtaken_again_counts_from_the_last_time() -> None:
    kind, found = crossing([1, 10, 100, 1000], curve([0.5, 2.0, 2.0, 0.5]), curve([1.0] * 4))
    assert kind == "at"
    assert found.mid == pytest.approx(10**2.5)


def test_unknown_bounds_leave_bounds_unknown() -> None:
    half = [Interval(None, value, None) for value in (3.0, 3.0)]
    kind, found = crossing([1, 100], half, curve([1.0, 9.0], 1.1))
    assert (kind, found.low, found.high) == ("at", None, None)
    assert found.mid == pytest.approx(10.0)


@given(st.floats(1e-5, 10.0), st.floats(1.0, 1e3), st.integers(1, 6))
def test_what_was_not_measured_grows_with_the_model_and_gets_less_sure(base: float, more: float, beyond: int) -> None:
    pairs = [(1e-3, base), (2e-3, 2.2 * base)]
    near, far = scaled_on(pairs, 4e-3, 1), scaled_on(pairs, 4e-3 * more, beyond)
    (low, middle, high), (_, far_middle, far_high) = bounds(near), bounds(far)
    assert low < middle < high
    assert middle == pytest.approx(4.4 * base)
    assert far_middle >= middle
    assert far_high / far_middle >= high / middle * (1 - 1e-9)


def test_one_measured_point_says_little() -> None:
    alone, two = scaled_on([(1.0, 1.0)], 2.0, 1), scaled_on([(0.5, 0.5), (1.0, 1.0)], 2.0, 1)
    assert alone.high == pytest.approx(6.0)
    assert two.high == pytest.approx(2.2)


def test_moving_a_batch_is_hidden_at_best_and_unpinned_at_worst() -> None:
    link = Link("PCIe 4.0 x16", 31.5e9)
    moved = transfer(31.5e6, link)
    assert moved.low == 0
    assert moved.mid == pytest.approx(1e-3 + 10e-6)
    assert moved.high == pytest.approx(3e-3 + 10e-6)
    assert transfer(31.5e6, replace(link, latency_s=1e-6)).mid == pytest.approx(1e-3 + 1e-6)
    assert transfer(1e9, None) == Interval(0.0, 0.0, 0.0)
    whole = with_transfer(Interval(1e-3, 2e-3, None, 0.8), moved)
    assert (whole.low, whole.high, whole.coverage) == (1e-3, None, 0.8)
    assert whole.mid == pytest.approx(3.01e-3)


def test_parts_are_all_of_a_step() -> None:
    rows = (
        EstimateRow("a", 1e-3, "compute"),
        EstimateRow("b", 2e-3, "memory"),
        EstimateRow("c", 3e-3, "launch"),
        EstimateRow("d", 1e-3, "unknown"),
    )
    told = Estimate("x", Workload("training"), rows, Interval(None, 10e-3, None), MemoryUse(0, 0), "compute", "m")
    parts = parts_of(told, 1e-3)
    assert parts.launch_s == pytest.approx(6e-3)  # and what belongs to no layer
    assert (parts.transfer_s, parts.memory_s, parts.compute_s) == (1e-3, 3e-3, 1e-3)
    assert sum(parts.shares.values()) == pytest.approx(1)
    middle = parts_at([100, 10_000], [parts, Parts(0.0, 1e-3, 3e-3, 1e-3)], 1000)
    assert middle.launch_s == pytest.approx(3e-3)
    assert parts_at([100, 10_000], [parts, parts], 5) == parts
