"""The race: nothing wrong is timed, a device is timed with and without the way there, what is slow is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from chipwise.core.array_race import ArrayRow, Way
from chipwise.core.measure import Ratio, Timing
from chipwise.numerics import numpy as first
from chipwise.numerics import race
from chipwise.numerics.race import race_rows, ways_of
from chipwise.numerics.turns import turns_of


@dataclass
class StandIn:
    """A library whose device is counted: what goes there, what comes back, what is waited for."""

    CALLS: dict[str, Any] = field(default_factory=lambda: dict(first.CALLS))
    places: tuple[str, ...] = ("cpu", "gpu")
    counts: dict[str, int] = field(default_factory=lambda: {"put": 0, "get": 0, "wait": 0})

    def version(self) -> str:
        return "1"

    def devices(self) -> tuple[str, ...]:
        return self.places

    def threads(self) -> int:
        return 2

    def put(self, array: NDArray[Any], device: str) -> NDArray[Any]:
        self.counts["put"] += device == "gpu"
        return array

    def get(self, result: Any) -> NDArray[Any]:
        self.counts["get"] += 1
        return np.asarray(result)

    def waiter(self, device: str) -> Callable[[Any], object] | None:
        def wait(result: Any) -> None:
            self.counts["wait"] += 1

        return wait if device == "gpu" else None


def test_a_device_is_timed_with_and_without_the_way_there() -> None:
    other = StandIn()
    rows = list(race_rows({"numpy": first, "other": other}, ["sum"], [100], budget_s=0))
    assert [row.way.title for row in rows] == ["numpy", "other", "other on gpu", "other on gpu, moved"]
    assert all(row.timing is not None and row.timing.count == 5 for row in rows)
    assert [row.speedup is None for row in rows] == [True, False, False, False]
    assert other.counts["wait"] > 10
    assert other.counts["put"] > 10


def test_arrays_that_stay_on_the_device_go_there_once() -> None:
    other, resting = StandIn(), Way("other", "gpu")
    arrays = (np.ones(10, np.float32),)
    call = race._call(resting, other, "sum", arrays)
    call(), call()
    assert other.counts == {"put": 1, "get": 0, "wait": 2}
    call = race._call(Way("other", "gpu", moved=True), other, "sum", arrays)
    call(), call()
    assert other.counts == {"put": 3, "get": 2, "wait": 2}


def test_a_wrong_answer_is_not_timed() -> None:
    wrong = StandIn(places=("cpu",))
    wrong.CALLS["sum"] = lambda values: values.sum() * np.float32(1.01)
    rows = list(race_rows({"numpy": first, "wrong": wrong}, ["sum"], [100], budget_s=0))
    assert rows[0].timing is not None
    assert rows[1].timing is None
    assert "not NumPy's: they are 1.0e-02" in rows[1].note


def test_what_a_library_cannot_do_is_said_or_left_out() -> None:
    poor = StandIn(places=("cpu",))
    del poor.CALLS["fft"]

    def refuse(values: object) -> object:
        raise RuntimeError("no kernel for this\nat line 1")

    poor.CALLS["sort"] = refuse
    rows = list(race_rows({"numpy": first, "poor": poor}, ["fft", "sort"], [100], budget_s=0))
    assert [(row.operation, row.way.library) for row in rows] == [("fft", "numpy"), ("sort", "numpy"), ("sort", "poor")]
    assert rows[2].note == "failed: no kernel for this"


def test_what_would_take_all_the_time_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race, "_once_s", lambda call: 30.0)
    rows = list(race_rows({"numpy": first}, ["sum"], [100], budget_s=1))
    assert rows[0].timing is None
    assert "5 rounds take 300 s" in rows[0].note


def test_rows_come_as_they_are_done() -> None:
    rows = race_rows({"numpy": first}, ["sum", "copy"], [100, 10], budget_s=0)
    assert [(row.operation, row.size) for row in rows] == [("sum", 100), ("sum", 10), ("copy", 100), ("copy", 10)]


def test_only_devices_beside_the_processor_have_a_way_there() -> None:
    assert [way.moved for way in ways_of({"x": StandIn(places=("cuda",))})] == [False, True]
    assert [way.moved for way in ways_of({"x": StandIn(places=("cpu",))})] == [False]


VERDICTS = {"faster": Ratio(2.0, 1.5, 2.5, 5), "slower": Ratio(0.5, 0.4, 0.6, 5), "same": Ratio(1.0, 0.9, 1.1, 5)}


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(sorted(VERDICTS)), min_size=1, max_size=8), st.permutations(range(9)))
def test_a_turn_holds_from_its_size_on(words: list[str], order: list[int]) -> None:
    rows = [
        ArrayRow("sum", 10**place, Way("torch"), Timing(5, (1.0,)), VERDICTS[word]) for place, word in enumerate(words)
    ]
    base = ArrayRow("sum", 1, Way("numpy"), Timing(5, (1.0,)))
    (turn,) = turns_of([[*rows, base][place] for place in order if place <= len(rows)])
    assert (turn.faster_from is not None) == (words[-1] == "faster")
    assert (turn.slower_from is not None) == (words[-1] == "slower")
    assert turn.largest == 10 ** (len(words) - 1)
    start = turn.faster_from or turn.slower_from
    if start is not None:
        place = len(str(start)) - 1
        assert set(words[place:]) == {words[-1]}
        assert place == 0 or words[place - 1] != words[-1]
