"""Measure what may be measured, interleaved, and choose: nothing wins inside the noise.

The baseline is what the user had: ONNX Runtime's default on the source graph. A candidate must beat it beyond the
noise; among those that are as fast as the best, the one that changes least wins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from chipwise.clock.interleave import interleave
from chipwise.clock.statistics import speedup, summarize
from chipwise.compiler.trials import Trial, tiled
from chipwise.core.measure import Ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from chipwise.compiler.subject import Subject
    from chipwise.core.events import Progress
    from chipwise.core.plan import Candidate, Goal
    from chipwise.runtimes.engine import Engine

BASELINE = "baseline"
_SCREEN_ROUNDS, FINAL_ROUNDS, _MIN_ROUNDS = 9, 60, 5
_SCREEN_QUANTILE = 0.2
_SCREEN_KEEPS = 1.5  # slower than this against the best in screening: not timed again
_TIE = 1.02  # within this factor of the best median counts as equal, as does anything inside the noise
_FAITHFUL = ("exact", "close", "lossy")
_PRECISIONS = ("fp32", "bf16", "int8")
_ALL_THREADS = 1 << 16  # 0 means all of them


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the measurements say.

    Attributes:
        best: the trial to ship; None when nothing beat the baseline beyond the noise.
        speedup: of the best over the baseline, per item; None without a best.
        candidates: every candidate with its timing and reason, best first.
        why: one sentence on the choice.
    """

    best: Trial | None
    speedup: Ratio | None
    candidates: tuple[Candidate, ...]
    why: str


def measure(
    trials: Sequence[Trial], baseline: Engine, subject: Subject, *, budget_s: float, rounds: int, progress: Progress
) -> dict[str, NDArray[np.float64]]:
    """Seconds per item of every trial and of the baseline, interleaved; keys are titles and BASELINE.

    The baseline runs at every batch that a trial runs at, and its fastest counts: a batch is no merit of the plan.
    """

    def timed(engine: Engine, batch: int) -> Callable[[], object]:
        arrays = tiled(subject, batch)
        return lambda: engine.run(arrays)

    contenders = {trial.candidate.choice.title: timed(trial.engine, trial.candidate.choice.batch) for trial in trials}
    batches = {f"{BASELINE} batch {size}": size for size in sorted({t.candidate.choice.batch for t in trials} | {1})}
    contenders |= {name: timed(baseline, size) for name, size in batches.items()}
    samples = interleave(contenders, budget_s=budget_s, min_rounds=_MIN_ROUNDS, max_rounds=rounds, progress=progress)
    for trial in trials:
        samples[trial.candidate.choice.title] /= trial.candidate.choice.batch
    sources = [samples.pop(name) / size for name, size in batches.items()]
    samples[BASELINE] = min(sources, key=lambda seconds: float(np.median(seconds)))
    return samples


def screen(
    trials: Sequence[Trial], baseline: Engine, subject: Subject, goal: Goal, *, budget_s: float, progress: Progress
) -> tuple[list[Trial], list[Candidate]]:
    """Time everything briefly; return what is worth timing again, and the records of the rest."""
    samples = measure(trials, baseline, subject, budget_s=budget_s, rounds=_SCREEN_ROUNDS, progress=progress)
    # A low quantile: with few rounds, what else runs on the machine moves medians more than it moves the fast calls.
    quick = {trial: float(np.quantile(samples[trial.candidate.choice.title], _SCREEN_QUANTILE)) for trial in trials}
    fastest = min(quick.values(), default=0.0)
    smallest = min((len(trial.model) for trial in trials), default=0)
    kept, dropped = [], []
    for trial, seconds in quick.items():
        small = goal == "size" and len(trial.model) == smallest
        if seconds <= fastest * _SCREEN_KEEPS or small:
            kept.append(trial)
        else:
            timing = summarize(samples[trial.candidate.choice.title])
            reason = f"{seconds / fastest:.1f}x the time of the fastest in screening"
            dropped.append(replace(trial.candidate, timing=timing, reason=reason))
    return kept, dropped


def decide(
    trials: Sequence[Trial], samples: dict[str, NDArray[np.float64]], rest: Sequence[Candidate], goal: Goal
) -> Outcome:
    """Choose among timed trials.

    Args:
        trials: what was timed.
        samples: seconds per item from one interleaved run, with the baseline.
        rest: records of what was not timed or lost in screening.
        goal: "size" prefers bytes and then time; the other goals time alone.
    """
    times = {trial.candidate.choice.title: samples[trial.candidate.choice.title] for trial in trials}
    order = sorted(trials, key=lambda trial: float(np.median(times[trial.candidate.choice.title])))
    overs = {trial: speedup(of=times[trial.candidate.choice.title], over=samples[BASELINE]) for trial in order}
    # A noisy trial may tie with the fastest and yet not beat the baseline: it must not take the gain away.
    faster = [trial for trial in order if overs[trial].verdict == "faster"]
    best = _least_changed(faster, times) if goal != "size" else _smallest(order)
    over = overs[best] if best else None
    records = []
    for trial in order:
        seconds = times[trial.candidate.choice.title]
        status: Literal["chosen", "slower"] = "chosen" if trial is best else "slower"
        reason = _reason(trial, best, times, goal)
        records.append(replace(trial.candidate, timing=summarize(seconds), status=status, reason=reason))
    return Outcome(best, over, (*sorted(records, key=lambda c: c.status != "chosen"), *rest), _why(best, over, goal))


def _least_changed(order: Sequence[Trial], times: dict[str, NDArray[np.float64]]) -> Trial | None:
    """Of all that are as fast as the fastest, the most faithful, then the widest format, then the fewest threads."""
    if not order:
        return None
    fastest = times[order[0].candidate.choice.title]

    def tied(trial: Trial) -> bool:
        seconds = times[trial.candidate.choice.title]
        return (
            trial is order[0]
            or bool(np.median(seconds) <= np.median(fastest) * _TIE)
            or (speedup(of=fastest, over=seconds).verdict != "faster")
        )

    def change(trial: Trial) -> tuple[int, int, int]:
        choice = trial.candidate.choice
        return (
            _FAITHFUL.index(trial.candidate.label or "lossy"),
            _PRECISIONS.index(choice.precision),
            choice.threads or _ALL_THREADS,
        )

    return min((trial for trial in order if tied(trial)), key=change)


def _smallest(order: Sequence[Trial]) -> Trial | None:
    """Fewest bytes; sizes within 2% count as equal and the faster one wins (`order` is by time)."""
    if not order:
        return None
    least = min(len(trial.model) for trial in order)
    return next(trial for trial in order if len(trial.model) <= least * _TIE)


def _reason(trial: Trial, best: Trial | None, times: dict[str, NDArray[np.float64]], goal: Goal) -> str:
    if trial is best:
        smallest = "smallest, or as small as the smallest and faster"
        return smallest if goal == "size" else "fastest, or as fast as the fastest and closer to the source"
    if best is None:
        return "not faster than the baseline beyond the noise"
    if goal == "size" and len(trial.model) > len(best.model) * _TIE:
        return f"{len(trial.model) / len(best.model):.2f}x the size of the chosen one"
    ratio = speedup(of=times[best.candidate.choice.title], over=times[trial.candidate.choice.title])
    if ratio.verdict == "faster":
        return f"{ratio.mid:.2f}x the time of the chosen one"
    return "as fast as the chosen one within the noise, and changes more"


def _why(best: Trial | None, over: Ratio | None, goal: Goal) -> str:
    if best is None or over is None:
        return (
            "nothing was faster than ONNX Runtime's default on the source graph beyond the noise, so that is the plan"
        )
    gain = (
        f"{over.mid:.2f}x ({over.low:.2f} to {over.high:.2f}) the speed of ONNX Runtime's default on the source graph"
    )
    if goal == "size":
        return f"{best.candidate.choice.title} is the smallest within the accuracy limit, at {gain}"
    return f"{best.candidate.choice.title} runs at {gain}"
