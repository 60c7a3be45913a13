"""Successive halving: all are timed a little, the slower half is dropped, the rest is timed twice as long.

Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", AISTATS 2016. Times of
one round are comparable, since all contenders take turns in it. What is dropped is closed: an engine may hold as much
memory as its network.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from chipwise.clock.interleave import share_of_round_s
from chipwise.clock.statistics import speedup, summarize
from chipwise.compiler.candidates import THROUGHPUT_BATCHES
from chipwise.compiler.choose import FINAL_MIN_ROUNDS, UNTIMED, Samples, measure, pace, requests
from chipwise.core.events import Part
from chipwise.core.plan import Choice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from chipwise.compiler.subject import Subject
    from chipwise.compiler.trials import Trial
    from chipwise.core.events import Progress
    from chipwise.core.plan import Candidate, Goal
    from chipwise.runtimes.engine import Engine

FINALISTS = 4
_FIRST_ROUNDS = 3
_JOINED = 20  # contenders of a race with what joined the leaders, roughly
_FAR = 1.5  # slower than this against the fastest: dropped whatever its rank
_RIVAL = 1.25  # the fastest of another runtime stays within this: its other number formats may be faster
_CLEAR = 1.02  # slower than this beyond the noise: not among those that count as equal in the end
_ALIKE = 1.05  # what may well be as fast as the fastest, and seems no slower than this, need not be told from it
_STEPS = (FINAL_MIN_ROUNDS, 6, 6, 9, 12, 18)  # rounds of the last few, on visits some seconds apart
_FEWEST = 5  # rounds of the first visit, whatever the budget: with fewer, an interval says nothing
_MANY = 20  # rounds after which what is gained on the baseline, if it is within 5%, is not waited for
_PAUSE_S, _PAUSE_SHARE = 5.0, 0.15  # between visits; of the time that is left


@dataclass(frozen=True, slots=True)
class Raced:
    """What a race left.

    Attributes:
        kept: fastest first; dropped: records of the others, with the times of their last round.
        samples: of the last round.
    """

    kept: list[Trial]
    dropped: list[Candidate]
    samples: Samples


def race(
    trials: Sequence[Trial],
    baseline: Engine,
    subject: Subject,
    goal: Goal,
    *,
    budget_s: float,
    progress: Progress,
    keep: int = FINALISTS,
) -> Raced:
    """Time trials in rungs until `keep` are left, or the time is over.

    Args:
        trials: at least one.
        baseline: takes part in each rung and is never dropped.
        subject: gives the input.
        goal: "size" keeps the smallest graph in the race whatever its time.
        budget_s: wall time; one rung is always run.
        progress: told how far it is.
        keep: how many may stay.
    """
    deadline = time.monotonic() + budget_s
    alive, dropped, rounds = list(trials), [], _FIRST_ROUNDS
    done = 0.0
    while True:
        left = max(deadline - time.monotonic(), 0.0)
        rung = Part(progress, "compile", done, done := done + (1 - done) / 2)
        samples = measure(alive, baseline, subject, budget_s=left, rounds=(_FIRST_ROUNDS, rounds), progress=rung)
        kept, lost = _halved(alive, samples, goal, keep)
        dropped += lost
        over = time.monotonic() >= deadline or len(kept) <= keep or len(kept) == len(alive)
        alive, rounds = kept, 2 * rounds
        if over:
            return Raced(alive, dropped, samples)


def affordable(raced: Raced, goal: Goal, left_s: float) -> tuple[list[Trial], list[Candidate]]:
    """As many of the fastest as can be timed at length in the time that is left, at least one; and the others' records.

    Args:
        raced: the last race, with its times.
        goal: "size" never drops the smallest.
        left_s: seconds.
    """

    def round_s(items_s: NDArray[np.float64], choice: Choice) -> float:
        call_s = float(np.median(items_s)) * choice.batch * requests(choice.batch, raced.samples.offered)
        return share_of_round_s(call_s, one_thread=choice.one_thread)

    baseline = Choice("onnxruntime", threads=0, batch=raced.samples.baseline_batch)
    twice = 2 * round_s(raced.samples.baseline, baseline)
    smallest = min((len(trial.model) for trial in raced.kept), default=0)
    kept: list[Trial] = []
    lost: list[Candidate] = []
    spent = FINAL_MIN_ROUNDS * twice
    for trial in raced.kept:
        spent += FINAL_MIN_ROUNDS * round_s(raced.samples.trials[trial.title], trial.candidate.choice)
        if not kept or spent <= left_s or (goal == "size" and len(trial.model) == smallest):
            kept.append(trial)
            continue
        timing = summarize(raced.samples.trials[trial.title])
        lost.append(replace(trial.candidate, timing=timing, reason="not among the fastest; no time was left for more"))
        trial.engine.close()
    return kept, lost


def timeable(raced: Raced, budget_s: float) -> int:
    """Items in flight at once, in all streams, that a race of what joins can time, at least two.

    Args:
        raced: the last race, with its times.
        budget_s: wall time of the race to come.
    """
    items_s = (_FIRST_ROUNDS + UNTIMED) * _JOINED * float(np.median(raced.samples.baseline))
    return max(2, min(int(budget_s / items_s), max(THROUGHPUT_BATCHES)))


def settle(
    trials: Sequence[Trial],
    baseline: Engine,
    subject: Subject,
    goal: Goal,
    *,
    budget_s: float,
    progress: Progress,
) -> Raced:
    """Time the last few until it is clear which one is the fastest, and whether it beats the baseline.

    After some rounds those go that are slower beyond the noise; those that seem as fast as the fastest within 5% may
    all stay: which of them wins makes no difference (Birattari and others, "A racing algorithm for configuring
    metaheuristics", GECCO 2002, with a zone of indifference). Nor do more rounds where even the fastest gains no 5% on
    the baseline: for sure, or as it seems after the third visit. Nothing is clear before a second visit, some seconds
    later: while somebody else uses a core, one thread beats two, in every single round.

    Args:
        trials: at least one.
        baseline: takes part and is never dropped.
        subject: gives the input.
        goal: "size" never drops the smallest.
        budget_s: wall time; five rounds are always run.
        progress: told how far it is.
    """
    deadline, lost = time.monotonic() + budget_s, []
    visit = partial(measure, baseline=baseline, subject=subject)
    first, *others = _STEPS
    part = Part(progress, "compile", 0.0, done := first / sum(_STEPS))
    samples = visit(trials, budget_s=budget_s, rounds=(_FEWEST, first), progress=part)
    kept = list(trials)
    for rounds in others:
        time.sleep(min(_PAUSE_S, max(deadline - time.monotonic(), 0.0) * _PAUSE_SHARE))
        left = deadline - time.monotonic()
        if left <= 0:
            break
        part = Part(progress, "compile", done, done := done + rounds / sum(_STEPS))
        samples = samples.followed_by(visit(kept, budget_s=left, rounds=(1, rounds), progress=part))
        kept, slower = _undecided(kept, samples, goal)
        lost += slower
        if _clear(kept, samples, goal):
            break
    return Raced(kept, lost, samples)


def _clear(kept: Sequence[Trial], samples: Samples, goal: Goal) -> bool:
    """Whether more rounds are of no use: trials are alike or one is left, and the baseline is beaten or as good."""
    fastest = samples.trials[kept[0].title]
    noise = None if samples.again is None else speedup(of=samples.again, over=samples.baseline)
    seeming = 1.0 if noise is None else max(noise.high, 1 / noise.low)
    over = speedup(of=fastest, over=samples.baseline)
    gain = over.high if len(fastest) < _MANY else over.mid
    alike = goal == "size" or all(
        speedup(of=fastest, over=samples.trials[each.title]).mid <= _ALIKE for each in kept[1:]
    )
    return alike and (over.low > seeming or gain <= _ALIKE)


def _undecided(trials: Sequence[Trial], samples: Samples, goal: Goal) -> tuple[list[Trial], list[Candidate]]:
    """Trials that may be as fast as the fastest, fastest first, and records of the others."""
    times = samples.trials
    order = sorted(trials, key=lambda trial: pace(times[trial.title], samples))
    smallest = min(len(trial.model) for trial in trials)
    kept, lost = [], []
    for trial in order:
        slower = speedup(of=times[order[0].title], over=times[trial.title])
        small = goal == "size" and len(trial.model) == smallest
        if small or slower.low <= _CLEAR:
            kept.append(trial)
            continue
        reason = f"{slower.mid:.2f}x the time of the fastest"
        lost.append(replace(trial.candidate, timing=summarize(times[trial.title]), reason=reason))
        trial.engine.close()
    return kept, lost


def _halved(trials: Sequence[Trial], samples: Samples, goal: Goal, keep: int) -> tuple[list[Trial], list[Candidate]]:
    quick = _standing(trials, samples)
    order = sorted(trials, key=lambda trial: quick[trial])
    fastest, smallest = quick[order[0]], min(len(trial.model) for trial in trials)
    room = max(keep, (len(order) + 1) // 2)
    first_of = {trial.candidate.choice.runtime: trial for trial in reversed(order)}
    kept, lost = [], []
    for rank, trial in enumerate(order):
        small = goal == "size" and len(trial.model) == smallest
        rival = first_of[trial.candidate.choice.runtime] is trial and quick[trial] <= fastest * _RIVAL
        if small or rival or _twins(trial, order[0]) or (rank < room and quick[trial] <= fastest * _FAR):
            kept.append(trial)
            continue
        reason = f"{quick[trial] / fastest:.2f}x the time of the fastest in screening"
        lost.append(replace(trial.candidate, timing=summarize(samples.trials[trial.title]), reason=reason))
        trial.engine.close()
    return kept, lost


def _standing(trials: Sequence[Trial], samples: Samples) -> dict[Trial, float]:
    """Times in the mean time of all in the same round, the median over rounds.

    The machine's speed may change from round to round; the mean over many moves little by what hits one of them.
    """
    times = np.log([samples.trials[trial.title] for trial in trials])
    found = np.exp(np.median(times - times.mean(axis=0), axis=1))
    return dict(zip(trials, found.tolist(), strict=True))


def _twins(one: Trial, fastest: Trial) -> bool:
    """True for one thread or all of them of what is the fastest: which pays depends on who else uses the cores now."""
    choice = one.candidate.choice
    return choice.threads in (0, 1) and replace(choice, threads=fastest.candidate.choice.threads) == (
        fastest.candidate.choice
    )
