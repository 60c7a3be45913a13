"""Successive halving: the slow half goes, the fastest stays, engines that are dropped are closed."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from chipwise.compiler import compile as compile_module
from chipwise.compiler import race as race_module
from chipwise.compiler.choose import Samples
from chipwise.compiler.race import Raced, affordable, race, settle
from chipwise.compiler.trials import Trial
from chipwise.core.events import silent
from chipwise.core.plan import Candidate, Choice


class Engine:
    closed = False

    def close(self) -> None:
        self.closed = True


def trials(*sizes: int) -> list[Trial]:
    return [
        Trial(Candidate(Choice("onnxruntime", threads=number), "slower", ""), b"x" * size, Engine())  # type: ignore[arg-type]
        for number, size in enumerate(sizes, 1)
    ]


@pytest.fixture
def rungs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Contenders take as many milliseconds as they have threads; remembers how many took part, and how long."""
    seen: list[tuple[int, int]] = []

    def measured(some: list[Trial], *_: object, rounds: tuple[int, int], **__: object) -> Samples:
        seen.append((len(some), rounds[1]))
        baselines = np.ones(rounds[1]), 1, np.ones(rounds[1])
        return Samples({t.title: np.full(rounds[1], t.candidate.choice.threads * 1e-3) for t in some}, *baselines)

    monkeypatch.setattr(race_module, "measure", measured)
    monkeypatch.setattr(race_module, "_PAUSE_S", 0.0)
    return seen


def run(some: list[Trial], goal: str = "latency", budget_s: float = 60.0) -> race_module.Raced:
    subject = SimpleNamespace()
    return race(some, None, subject, goal, budget_s=budget_s, progress=silent, keep=2)  # type: ignore[arg-type]


def test_the_slower_half_goes_and_the_rest_is_timed_longer(
    rungs: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(race_module, "_FAR", 100.0)
    some = trials(*[10] * 8)
    raced = run(some)
    assert rungs == [(8, 3), (4, 6)]
    assert [t.candidate.choice.threads for t in raced.kept] == [1, 2]
    assert [t.engine.closed for t in some] == [False] * 2 + [True] * 6
    assert len(raced.dropped) == 6
    assert all(each.timing is not None and "in screening" in each.reason for each in raced.dropped)


def test_what_is_far_behind_goes_at_once(rungs: list[tuple[int, int]]) -> None:
    raced = run(trials(*[10] * 8))
    assert rungs == [(8, 3)]
    assert [t.candidate.choice.threads for t in raced.kept] == [1]


def test_one_thread_and_all_of_the_fastest_stay() -> None:
    some = trials(*[10] * 8)
    both = replace(some[7], candidate=replace(some[7].candidate, choice=Choice("onnxruntime", threads=0)))
    other = replace(both, candidate=replace(both.candidate, choice=Choice("openvino", threads=1)))
    alike = replace(both, candidate=replace(both.candidate, choice=Choice("openvino", threads=0)))
    samples = Samples(
        {both.title: np.full(3, 9.0), other.title: np.full(3, 9.0), alike.title: np.full(3, 1.0)}, np.ones(3)
    )
    kept, lost = race_module._halved([both, other, alike], samples, "latency", 1)
    assert kept == [alike, other]
    assert [each.choice for each in lost] == [both.candidate.choice]


def test_the_fastest_of_another_runtime_stays_where_it_is_not_far_behind() -> None:
    some = [
        Trial(replace(each.candidate, choice=replace(each.candidate.choice, threads=2)), b"", Engine())
        for each in trials(1)
    ]
    fast = [
        replace(some[0], candidate=replace(some[0].candidate, choice=Choice("openvino", threads=n))) for n in (2, 3, 4)
    ]
    for others, stays in ((1.2, True), (1.3, False)):
        times = {fast[0].title: np.full(3, 1.0), fast[1].title: np.full(3, 1.1), fast[2].title: np.full(3, 1.15)}
        samples = Samples(times | {some[0].title: np.full(3, others)}, np.ones(3))
        kept, _ = race_module._halved([*fast, *some], samples, "latency", 1)
        assert (some[0] in kept) is stays
        assert kept[:2] == fast[:2]


def test_leaders_are_the_two_fastest_and_the_fastest_of_each_other_runtime() -> None:
    (some,) = trials(1)
    kept = [
        replace(some, candidate=replace(some.candidate, choice=Choice(runtime, threads=threads)))
        for runtime, threads in (
            ("openvino", 1),
            ("openvino", 0),
            ("openvino", 2),
            ("onnxruntime", 1),
            ("onnxruntime", 0),
        )
    ]
    assert compile_module._leaders(kept) == [*kept[:2], kept[3]]
    assert compile_module._leaders(kept[3:]) == kept[3:]
    assert compile_module._leaders([]) == []


def test_rounds_in_which_all_are_slow_say_nothing_about_one() -> None:
    """One is timed in a fast moment once, after the others of its round."""
    some = trials(1, 1, 1, 1)
    times = {t.title: np.array([2.0, 2.0, 2.0]) * (1 + 0.1 * place) for place, t in enumerate(some)}
    times[some[3].title][2] = 1.4
    kept, _ = race_module._halved(some, Samples(times, np.ones(3)), "latency", 1)
    assert kept == some[:2]


def test_one_rung_is_run_without_time(rungs: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race_module, "_FAR", 100.0)
    assert len(run(trials(*[10] * 8), budget_s=0.0).kept) == 4
    assert len(rungs) == 1


def test_the_smallest_stays_where_size_is_the_goal(rungs: list[tuple[int, int]]) -> None:
    raced = run(trials(10, 10, 10, 10, 10, 1), "size")
    assert 1 in [len(t.model) for t in raced.kept]
    assert rungs


def test_what_cannot_be_timed_at_length_is_left_out_and_said() -> None:
    some = trials(10, 10, 1)
    times = {t.title: np.full(3, 1.0) for t in some}
    raced = Raced(some, [], Samples(times, np.full(3, 1.0)))
    kept, lost = affordable(raced, "latency", 1000.0)
    assert (kept, lost) == (some, [])
    kept, lost = affordable(raced, "latency", 0.1)
    assert kept == some[:1], "one is always timed"
    assert [each.choice.threads for each in lost] == [2, 3]
    assert all(each.timing is not None and "no time was left" in each.reason for each in lost)
    assert [t.engine.closed for t in some] == [False, True, True]
    assert affordable(Raced(trials(10, 10, 1), [], Samples(times, np.full(3, 1.0))), "size", 0.1)[0][-1].model == b"x"


ALL_STEPS = [9, 6, 6, 9, 12, 18]


def test_what_is_clearly_slower_goes_and_nothing_is_timed_when_all_is_clear(rungs: list[tuple[int, int]]) -> None:
    some = trials(10, 10, 1)
    settled = settle(some, None, None, "latency", budget_s=60.0, progress=silent)  # type: ignore[arg-type]
    assert rungs == [(3, 9), (3, 6)], "nothing is clear before the second visit"
    assert [t.candidate.choice.threads for t in settled.kept] == [1]
    assert [t.engine.closed for t in some] == [False, True, True]
    assert all("x the time of the fastest" in each.reason and each.timing.count == 15 for each in settled.dropped)


def test_the_smallest_is_never_dropped_where_size_is_the_goal(rungs: list[tuple[int, int]]) -> None:
    settled = settle(trials(10, 10, 1), None, None, "size", budget_s=60.0, progress=silent)  # type: ignore[arg-type]
    assert [len(t.model) for t in settled.kept] == [10, 1]
    assert rungs == [(3, 9), (3, 6)]


def test_what_may_be_the_fastest_is_timed_to_the_end(
    rungs: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(race_module, "_CLEAR", 3.0)
    some = trials(10, 10, 1)
    settled = settle(some, None, None, "latency", budget_s=60.0, progress=silent)  # type: ignore[arg-type]
    assert rungs == [(3, each) for each in ALL_STEPS]
    assert len(settled.kept) == 3
    assert settled.samples.again is not None
    assert len(settled.samples.trials[some[0].title]) == len(settled.samples.again) == sum(ALL_STEPS) == 60


def test_without_time_the_first_step_decides(rungs: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race_module, "_CLEAR", 3.0)
    settle(trials(10, 10, 1), None, None, "latency", budget_s=0.0, progress=silent)  # type: ignore[arg-type]
    assert rungs == [(3, 9)]


@pytest.mark.parametrize(
    ("other", "baseline", "again", "clear"),
    [
        (1.03, 1.5, 1.5, True),  # as fast as the fastest, and the baseline is beaten
        (1.10, 1.5, 1.5, False),  # one is slower, and it was not dropped: within the noise
        (1.03, 0.9, 0.9, True),  # the baseline is not beaten
        (1.03, 1.01, 1.01, True),  # 1% is not worth more rounds
        (1.03, 1.5, 1.0, False),  # it differs from itself by as much as it is beaten by
    ],
)
def test_when_more_rounds_would_change_nothing(other: float, baseline: float, again: float, clear: bool) -> None:
    some = trials(10, 10)
    times = {t.title: np.full(9, seconds) for t, seconds in zip(some, (1.0, other), strict=True)}
    samples = Samples(times, np.full(9, baseline), 1, np.full(9, again))
    assert race_module._clear(some, samples, "latency") is clear


@pytest.mark.parametrize(("rounds", "clear"), [(15, False), (21, True)])
def test_a_small_gain_within_the_noise_is_waited_for_for_three_visits(rounds: int, clear: bool) -> None:
    (one,) = trials(10)
    noisy = np.where(np.arange(rounds) % 2 == 0, 0.9, 1.12)
    gains = np.where(np.arange(rounds) % 3 == 0, 1.08, 1.04)
    samples = Samples({one.title: 1 / gains}, np.ones(rounds), 1, noisy)
    assert race_module._clear([one], samples, "latency") is clear
