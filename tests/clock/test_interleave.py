"""Interleaved timing with a clock that the test controls: no test waits for real time."""

from __future__ import annotations

import gc
from collections.abc import Callable
from itertools import cycle

import numpy as np
import pytest

from chipwise.clock import interleave as interleave_module
from chipwise.clock.interleave import Timer, interleave, share_of_round_s
from chipwise.core.errors import InputError


class FakeTime:
    """Time passes only when a contender or a pause says so."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.cpu_s = 0.0
        self.spinning_until_s = 0.0

    def pass_(self, seconds: float) -> None:
        spin = max(0.0, min(self.spinning_until_s, self.now_s + seconds) - self.now_s)
        self.now_s += seconds
        self.cpu_s += spin

    def timer(self) -> Timer:
        return Timer(now=lambda: self.now_s, sleep=self.pass_, cpu=lambda: self.cpu_s)

    def contender(self, seconds: float, log: list[str] | None = None, name: str = "") -> Callable[[], None]:
        def call() -> None:
            self.pass_(seconds)
            if log is not None:
                log.append(name)

        return call


def test_recovers_what_each_call_takes() -> None:
    time = FakeTime()
    contenders = {"fast": time.contender(1e-5), "slow": time.contender(3e-3)}
    samples = interleave(contenders, budget_s=1.0, timer=time.timer())
    np.testing.assert_allclose(samples["fast"], 1e-5, rtol=1e-6)
    np.testing.assert_allclose(samples["slow"], 3e-3, rtol=1e-6)
    assert len(samples["fast"]) == len(samples["slow"]) >= 5


def test_blocks_are_long_for_short_calls_and_single_for_long_ones() -> None:
    time, log = FakeTime(), []
    contenders = {"fast": time.contender(1e-6, log, "f"), "slow": time.contender(0.5, log, "s")}
    interleave(contenders, budget_s=0.0, min_rounds=1, timer=time.timer())
    assert log.count("f") > 40_000  # 40 ms of microseconds, more than once
    assert log.count("s") <= 4


def test_blocks_of_a_call_in_one_thread_are_shorter() -> None:
    time, log = FakeTime(), []
    contenders = {"one": time.contender(1e-5, log, "o"), "many": time.contender(1e-5, log, "m")}
    found = [
        interleave({name: call}, budget_s=0.0, min_rounds=3, one_thread={"one"}, timer=time.timer())[name]
        for name, call in contenders.items()
    ]
    assert 500 < log.count("o") < log.count("m") / 5
    np.testing.assert_allclose(*found, rtol=1e-6)


def test_a_call_of_a_tenth_of_a_second_is_not_warmed_up() -> None:
    time, log = FakeTime(), []
    interleave({"slow": time.contender(0.5, log, "s")}, budget_s=0.0, min_rounds=3, timer=time.timer())
    assert log.count("s") == 2 + 3  # first call, calibration, one a round


def test_stops_at_the_budget_but_not_before_min_rounds() -> None:
    time = FakeTime()
    samples = interleave({"a": time.contender(0.2)}, budget_s=3.0, timer=time.timer())
    assert 5 < len(samples["a"]) < 15
    assert time.now_s <= 3.0
    assert len(interleave({"a": time.contender(0.2)}, budget_s=0.0, timer=time.timer())["a"]) == 5


def test_stops_at_max_rounds() -> None:
    time = FakeTime()
    assert len(interleave({"a": time.contender(1e-3)}, budget_s=1e9, max_rounds=7, timer=time.timer())["a"]) == 7


def test_waits_until_spinning_threads_sleep() -> None:
    time = FakeTime()
    starts: list[bool] = []

    def spinner() -> None:
        time.pass_(0.05)
        time.spinning_until_s = time.now_s + 0.026

    def neighbour() -> None:
        starts.append(time.now_s < time.spinning_until_s)
        time.pass_(0.05)

    interleave({"spinner": spinner, "neighbour": neighbour}, budget_s=0.0, min_rounds=10, timer=time.timer())
    assert not any(starts[2:])  # the first two are calibration


def test_does_not_wait_for_ever() -> None:
    time = FakeTime()
    time.spinning_until_s = 1e9
    assert len(interleave({"a": time.contender(1e-3)}, budget_s=0.0, timer=time.timer())["a"]) == 5


def test_the_order_is_shuffled_and_seeded() -> None:
    def orders(seed: int) -> list[str]:
        time, log = FakeTime(), []
        contenders = {name: time.contender(0.2, log, name) for name in "abc"}
        interleave(contenders, budget_s=0.0, min_rounds=6, seed=seed, timer=time.timer())
        return log[6:]

    assert orders(0) == orders(0) != orders(1)
    rounds = {"".join(orders(0)[start : start + 3]) for start in range(0, 18, 3)}
    assert len(rounds) > 1
    assert all(sorted(each) == ["a", "b", "c"] for each in rounds)


def test_no_garbage_collection_in_a_block_and_as_before_afterwards() -> None:
    time, states = FakeTime(), []

    def call() -> None:
        states.append(gc.isenabled())
        time.pass_(0.05)

    interleave({"a": call}, budget_s=0.0, timer=time.timer())
    assert not any(states[2:])
    assert gc.isenabled()


def test_an_error_passes_through_and_collection_is_back_on() -> None:
    time, calls = FakeTime(), []

    def call() -> None:
        calls.append(1)
        time.pass_(0.01)
        if len(calls) > 4:
            raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        interleave({"a": call}, budget_s=0.0, timer=time.timer())
    assert gc.isenabled()


def test_says_how_far_it_is() -> None:
    time, told = FakeTime(), []

    class Told:
        def update(self, stage: str, fraction: float, message: str = "") -> None:
            told.append(fraction)

        def note(self, message: str) -> None:
            raise AssertionError

    interleave({"a": time.contender(0.2)}, budget_s=3.0, progress=Told(), timer=time.timer())
    assert told == sorted(told)
    assert told[-1] == 1.0


@pytest.mark.parametrize(("contenders", "rounds"), [({}, 5), ({"a": int}, 0), ({"a": int}, 300)])
def test_nothing_to_time(contenders: dict[str, Callable[[], object]], rounds: int) -> None:
    with pytest.raises(InputError):
        interleave(contenders, budget_s=1.0, min_rounds=rounds)


@pytest.mark.parametrize("call_s", [1e-5, 0.03, 0.07, 0.5])
@pytest.mark.parametrize("one", [frozenset(), frozenset("a")])
def test_a_call_takes_about_as_long_of_each_round_as_is_said(call_s: float, one: frozenset[str]) -> None:
    def took_s(rounds: int, *names: str) -> float:
        time = FakeTime()
        contenders = {name: time.contender(call_s) for name in names}
        interleave(contenders, budget_s=0.0, min_rounds=rounds, one_thread=one, timer=time.timer())
        return time.now_s

    both, other = ((took_s(11, *names) - took_s(1, *names)) / 10 for names in ("ab", "b"))
    assert 0.6 < share_of_round_s(call_s, one_thread="a" in one) / (both - other) < 1.5


def test_short_turns_are_three_a_round_and_their_median_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    time, turns = FakeTime(), []
    contenders = {"one": time.contender(1e-3), "many": time.contender(0.03), "long": time.contender(0.03)}
    script = {contenders["one"]: cycle([1.0, 9.0, 2.0]), contenders["many"]: cycle([5.0, 6.0, 7.0, 8.0])}

    def turn(call: Callable[[], None], count: int, timer: Timer) -> float:
        turns.append("o" if call is contenders["one"] else "m")
        return next(script.get(call, iter([3.0])))

    monkeypatch.setattr(interleave_module, "_turn", turn)
    one = {"one", "long"}
    samples = interleave(contenders, budget_s=0.0, min_rounds=4, max_rounds=4, one_thread=one, timer=time.timer())
    assert {name: times.tolist() for name, times in samples.items()} == {
        "one": [2.0] * 4,
        "many": [5.0, 6.0, 7.0, 8.0],
        "long": [3.0] * 4,  # one call fills its turn
    }
    assert "".join(turns) not in {"ooomm" * 4, "mmooo" * 4}, "turns lie apart"
    turns.clear()
    interleave({"one": contenders["one"]}, budget_s=0.0, min_rounds=3, max_rounds=3, one_thread=one, timer=time.timer())
    assert len(turns) == 3, "nothing longer is beside it"
