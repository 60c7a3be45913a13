"""Rates that are held, with a clock and an account of the processor that the test controls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from chipwise.clock.arithmetic import fastest
from chipwise.clock.interleave import Timer
from chipwise.clock.streams import measure_streams
from chipwise.clock.sustained import Watch, busy_s, sustained


@dataclass
class Machine:
    """Time passes by calls alone: each takes `call_s`, and others take `others` of a processor meanwhile."""

    call_s: float = 0.01
    others: Callable[[int], float] = lambda call: 0.0
    time_s: float = 0.0
    busy_s: float = 0.0
    own_s: float = 0.0
    calls: int = field(default=0)

    def call(self) -> None:
        self.time_s += self.call_s
        self.own_s += self.call_s
        self.busy_s += self.call_s * (1 + self.others(self.calls))
        self.calls += 1

    def watch(self) -> Watch:
        return Watch(Timer(now=lambda: self.time_s, cpu=lambda: self.own_s), busy=lambda: self.busy_s)


def test_work_over_time() -> None:
    machine = Machine()
    found = sustained(machine.call, 5.0, deadline_s=60, watch=machine.watch())
    assert found.rate == pytest.approx(500)
    assert (found.spread, found.repeats, found.disturbed) == (pytest.approx(0, abs=1e-9), 5, 0)


def test_blocks_in_which_others_worked_are_thrown_away_and_taken_again() -> None:
    machine = Machine(others=lambda call: 1.0 if 10 <= call < 20 else 0.0)
    slow = machine.call

    def call() -> None:
        slow()
        if 10 <= machine.calls < 20:
            machine.time_s += 0.01  # and it takes twice as long then

    found = sustained(call, 1.0, deadline_s=60, watch=machine.watch())
    assert found.disturbed >= 1
    assert found.repeats == 5 + found.disturbed
    assert found.rate == pytest.approx(100)


def test_where_all_is_disturbed_the_faster_half_counts() -> None:
    machine = Machine(others=lambda call: 1.0)
    found = sustained(machine.call, 1.0, deadline_s=2, watch=machine.watch())
    assert found.disturbed == found.repeats >= 2
    assert found.rate == pytest.approx(100)


def test_no_block_starts_beyond_the_deadline() -> None:
    machine = Machine()
    assert sustained(machine.call, 1.0, deadline_s=0.2, watch=machine.watch()).repeats == 2


def test_a_system_without_an_account_disturbs_nothing() -> None:
    machine = Machine()
    watch = Watch(Timer(now=lambda: machine.time_s, cpu=lambda: machine.time_s), busy=lambda: None)
    assert sustained(machine.call, 1.0, deadline_s=60, watch=watch).disturbed == 0


def test_the_systems_account_moves_forward_or_is_absent() -> None:
    first = busy_s()
    second = busy_s()
    assert first is None or (second is not None and second >= first > 0)


def test_the_size_with_the_best_rate_wins_and_a_slow_one_ends_the_search() -> None:
    machine = Machine()
    tried = []

    def make(size: int) -> Callable[[], None]:
        tried.append(size)

        def call() -> None:
            machine.call_s = {256: 0.01, 512: 0.02, 1024: 0.5}[size]
            machine.call()

        return call

    found = fastest(make, lambda size: size**2, "product", deadline_s=4, watch=machine.watch())
    assert found is not None
    size, best = found
    assert (size, tried) == (512, [256, 512, 1024])
    assert best.rate == pytest.approx(512**2 / 0.02)


def test_arithmetic_that_a_library_refuses_is_left_out() -> None:
    def make(size: int) -> Callable[[], None]:
        raise NotImplementedError(size)

    assert fastest(make, float, "product", deadline_s=1) is None


def test_streams_name_their_level_threads_and_bytes() -> None:
    caches = {"L1d": 32 << 10, "L2": 1 << 20}
    found = measure_streams(caches, cores=2, memory_bytes=1 << 29, deadline_s=0.4)
    assert {(each.level, each.kernel, each.threads) for each in found} == {
        *(("L1d", "add", threads) for threads in (1, 2)),
        *((level, kernel, threads) for level in ("L2", "memory") for kernel in ("copy", "add") for threads in (1, 2)),
    }
    sizes = {each.level: each.size_bytes for each in found if each.threads == 2}
    assert sizes["L2"] == 2 * (1 << 19)  # half of each core's own
    assert sizes["memory"] <= 1 << 26  # an eighth of what there is
    assert all(each.best.rate > 0 for each in found)
