"""Measure what may be measured, interleaved, and choose: nothing wins inside the noise.

The baseline is what the user had: ONNX Runtime's default on the source graph. A candidate must beat it beyond the
noise; among those that are as fast as the best, the one that changes least wins.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from chipwise.clock.energy import interleave_energy
from chipwise.clock.interleave import interleave
from chipwise.clock.statistics import speedup, summarize
from chipwise.compiler.trials import Trial, tiled
from chipwise.core.measure import Ratio
from chipwise.core.plan import Candidate, Choice
from chipwise.runtimes.engine import run_many

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from chipwise.clock.energy import EnergyCounter
    from chipwise.compiler.subject import Subject
    from chipwise.core.events import Progress
    from chipwise.core.plan import Goal
    from chipwise.runtimes.engine import Engine

BASELINE = "baseline"
_AGAIN = "baseline again"
_MOST = {"latency": "fastest", "throughput": "fastest", "size": "smallest", "energy": "thriftiest"}
_MORE = {"latency": "faster", "throughput": "faster", "size": "smaller", "energy": "thriftier"}
FINAL_MIN_ROUNDS, _FINAL_ROUNDS = 9, 60  # fewer than 9 pairs: the interval of a median is their whole range
_TIE = 1.02  # within this factor of the best counts as equal, as does anything inside the noise
_FAITHFUL = ("exact", "close", "lossy")
_FORMATS = ("fp32", "fp16", "bf16", "int8", "int8+bf16", "int4")
_ALL_THREADS = 1 << 16  # 0 means all of them
# Where some keep several requests in flight, a call offers so many for each stream, or fewer where that takes long: at
# its end streams run dry. Calls that the clock makes beside those of the rounds.
PER_STREAM, UNTIMED = 4, 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the measurements say.

    Attributes:
        baseline: the source graph as the user had it, with its time; it ships when nothing beat it.
        best: the trial to ship; None when nothing beat the baseline beyond the noise.
        speedup: of the best over the baseline, per item; None without a best.
        noise: the baseline over itself, as if it were a candidate; None where it was not timed twice.
        candidates: every candidate with its timing and reason, best first.
        why: one sentence on the choice.
    """

    best: Trial | None
    baseline: Candidate
    speedup: Ratio | None
    candidates: tuple[Candidate, ...]
    why: str
    noise: Ratio | None = None


@dataclass(frozen=True, slots=True)
class Samples:
    """Seconds, or joules, per item from one interleaved run.

    Attributes:
        trials: by title, one number a round; baseline: the same for the source graph, at its best batch.
        baseline_batch: that batch.
        offered: items that a call answers at least, whoever makes it; in requests of its own batch.
        again: the same engine at the same batch once more, as if it were another one; what differs is the machine's.
    """

    trials: dict[str, NDArray[np.float64]]
    baseline: NDArray[np.float64]
    baseline_batch: int = 1
    again: NDArray[np.float64] | None = None
    offered: int = 1

    def followed_by(self, more: Samples) -> Samples:
        """These rounds and later ones, of the trials that the later ones still have.

        Where the baseline was best at another batch later, rounds do not belong together: those that are more count.
        """
        if self.baseline_batch != more.baseline_batch:
            if len(more.baseline) >= len(self.baseline):
                return more
            return replace(self, trials={title: self.trials[title] for title in more.trials})
        both = self.again is not None and more.again is not None
        return Samples(
            {title: np.concatenate([self.trials[title], times]) for title, times in more.trials.items()},
            np.concatenate([self.baseline, more.baseline]),
            self.baseline_batch,
            np.concatenate([self.again, more.again]) if both else None,
            more.offered,
        )


def measure(
    trials: Sequence[Trial],
    baseline: Engine,
    subject: Subject,
    *,
    budget_s: float,
    rounds: tuple[int, int] = (FINAL_MIN_ROUNDS, _FINAL_ROUNDS),
    progress: Progress,
) -> Samples:
    """Time every trial and the baseline in turns.

    The baseline runs at every batch that a trial runs at, and its fastest counts: a batch is no merit of the plan. One
    item is run twice a round: what seems to lie between the two is noise. Where a trial has streams, all are
    given as many items at once as fill the most streams; those without answer one request after another.

    Args:
        trials: engines to time.
        baseline: ONNX Runtime's default on the source graph.
        subject: gives the input, and the source's.
        budget_s: wall time.
        rounds: fewest and most rounds.
        progress: told how far it is.
    """
    fewest, most = rounds
    offered = _offered(trials, baseline, subject, budget_s / (fewest + UNTIMED))
    calls, sources = _contenders(trials, baseline, subject, offered)
    one_thread = {trial.title for trial in trials if trial.candidate.choice.one_thread}
    found = interleave(
        calls, budget_s=budget_s, min_rounds=fewest, max_rounds=most, progress=progress, one_thread=one_thread
    )
    return _per_item(trials, sources, found, offered)


def measure_energy(
    trials: Sequence[Trial],
    baseline: Engine,
    subject: Subject,
    counter: EnergyCounter,
    *,
    budget_s: float,
    progress: Progress,
) -> Samples:
    """Like `measure`, of joules in the place of seconds.

    Raises:
        RuntimeUnavailableError: the counter stands still.
    """
    calls, sources = _contenders(trials, baseline, subject, 1)
    return _per_item(trials, sources, interleave_energy(calls, counter, budget_s=budget_s, progress=progress), 1)


def requests(batch: int, offered: int) -> int:
    """Requests in one timed call, so that it answers at least the items that are offered.

    >>> requests(1, 64), requests(24, 64), requests(128, 64)
    (64, 3, 1)
    """
    return -(-offered // batch)


def _offered(trials: Sequence[Trial], baseline: Engine, subject: Subject, round_s: float) -> int:
    """Items that every call answers: all streams are busy, several times over if a round then takes no longer."""
    choices = [trial.candidate.choice for trial in trials]
    fill = max((choice.streams * choice.batch for choice in choices if choice.streams > 1), default=0)
    if not fill:
        return 1
    baseline.run(subject.source_sample)
    started = time.perf_counter()
    baseline.run(subject.source_sample)
    contenders = len(trials) + len({choice.batch for choice in choices} | {1}) + 1
    times = round_s / (contenders * fill * (time.perf_counter() - started))
    return fill * int(np.clip(times, 1, PER_STREAM))


def _contenders(
    trials: Sequence[Trial], baseline: Engine, subject: Subject, offered: int
) -> tuple[dict[str, Callable[[], object]], dict[str, int]]:
    """What takes turns, by name, and the batches of those that are the baseline."""

    def timed(engine: Engine, sample: Sequence[NDArray[Any]], batch: int) -> Callable[[], object]:
        arrays, count = tiled(sample, batch), requests(batch, offered)
        return (lambda: engine.run(arrays)) if count == 1 else lambda: run_many(engine, [arrays] * count)

    calls = {trial.title: timed(trial.engine, subject.sample, trial.candidate.choice.batch) for trial in trials}
    sources = {f"{BASELINE} batch {size}": size for size in sorted({t.candidate.choice.batch for t in trials} | {1})}
    calls |= {name: timed(baseline, subject.source_sample, size) for name, size in sources.items()}
    calls[_AGAIN] = timed(baseline, subject.source_sample, 1)
    return calls, sources


def _per_item(
    trials: Sequence[Trial], sources: dict[str, int], found: dict[str, NDArray[np.float64]], offered: int
) -> Samples:
    def items(batch: int) -> int:
        return batch * requests(batch, offered)

    each = {t.title: found[t.title] / items(t.candidate.choice.batch) for t in trials}
    baselines = {size: found[name] / items(size) for name, size in sources.items()}
    best = min(baselines, key=lambda size: float(np.median(baselines[size])))
    return Samples(each, baselines[best], best, found[_AGAIN] / items(1) if best == 1 else None, offered)


def pace(times: NDArray[np.float64], samples: Samples) -> float:
    """Time in the baseline's of the same rounds, the median: what slowed the whole machine for a while cancels.

    Args:
        times: of one trial, one number a round.
        samples: the run that they are from.
    """
    return float(np.median(times / samples.baseline))


def decide(
    trials: Sequence[Trial],
    samples: Samples,
    rest: Sequence[Candidate],
    goal: Goal,
    source_bytes: int,
    *,
    energy: Samples | None = None,
    may_ship_source: bool = True,
) -> Outcome:
    """Choose among timed trials.

    Args:
        trials: what was timed.
        samples: of one interleaved run.
        rest: records of what was not timed or lost in screening.
        goal: "size" prefers bytes and then time; the other goals time alone.
        source_bytes: size of the source graph, which is the baseline's.
        energy: joules of the same trials, where they decide.
        may_ship_source: False where the source takes another input than was asked for: then the best trial ships,
            whether or not it beats the baseline.
    """
    judged = energy or samples
    times = judged.trials
    order = sorted(trials, key=lambda trial: pace(times[trial.title], judged))
    overs = {trial: speedup(of=times[trial.title], over=judged.baseline) for trial in order}
    # A noisy trial may tie with the fastest and yet not beat the baseline: it must not take the gain away.
    noise = None if judged.again is None else speedup(of=judged.again, over=judged.baseline)
    faster = [trial for trial in order if overs[trial].low > _seeming(noise)]
    best = _least_changed(faster, times) if goal != "size" else _smallest(order, source_bytes)
    if best is None and not may_ship_source:
        best = _least_changed(order, times) if goal != "size" else _smallest(order)
    over = overs[best] if best else None
    records = []
    for trial in order:
        status: Literal["chosen", "slower"] = "chosen" if trial is best else "slower"
        reason = _reason(trial, best, times, goal)
        joules = None if energy is None else float(np.median(energy.trials[trial.title]))
        timing = summarize(samples.trials[trial.title])
        records.append(replace(trial.candidate, timing=timing, energy_j=joules, status=status, reason=reason))
    source = baseline_record(samples, source_bytes, chosen=best is None)
    records = sorted([*records, source], key=lambda each: each.status != "chosen")
    why = _why(best, over, goal)
    if best is None and noise is not None and any(ratio.verdict == "faster" for ratio in overs.values()):
        why = f"{why}: the baseline differed from itself by {_seeming(noise):.2f}x, and nothing gains more than that"
    return Outcome(best, source, over, (*records, *rest), why, noise)


def _seeming(noise: Ratio | None) -> float:
    """The gain that the baseline seems to have over itself, or it over the baseline; 1 where that is not known."""
    return 1.0 if noise is None else max(noise.mid, 1 / noise.mid)


def baseline_record(samples: Samples | None, source_bytes: int, *, chosen: bool) -> Candidate:
    """The source graph as the user had it, as a candidate like the others; untimed without samples."""
    return Candidate(
        Choice("onnxruntime", threads=0, batch=samples.baseline_batch if samples else 1, source=True),
        "chosen" if chosen else "slower",
        "the baseline: ONNX Runtime's default on the source graph",
        label="close",
        timing=summarize(samples.baseline) if samples else None,
        size_bytes=source_bytes,
    )


def _least_changed(order: Sequence[Trial], times: dict[str, NDArray[np.float64]]) -> Trial | None:
    """Of all that are as fast as the fastest, the most faithful, the widest format, the fewest streams and threads."""
    if not order:
        return None
    fastest = times[order[0].title]

    def tied(trial: Trial) -> bool:
        slower = speedup(of=fastest, over=times[trial.title])
        return trial is order[0] or slower.mid <= _TIE or slower.verdict != "faster"

    def change(trial: Trial) -> tuple[int, ...]:
        choice = trial.candidate.choice
        return (
            _FAITHFUL.index(trial.candidate.label or "lossy"),
            _FORMATS.index(choice.format),
            len(choice.parts),
            choice.streams,
            choice.threads or _ALL_THREADS,
        )

    return min((trial for trial in order if tied(trial)), key=change)


def _smallest(order: Sequence[Trial], below: float = math.inf) -> Trial | None:
    """Fewest bytes; sizes within 2% count as equal and the faster one wins (`order` is by time)."""
    least = min((len(trial.model) for trial in order), default=below)
    if least >= below:
        return None
    return next(trial for trial in order if len(trial.model) <= least * _TIE)


def _reason(trial: Trial, best: Trial | None, times: dict[str, NDArray[np.float64]], goal: Goal) -> str:
    if trial is best:
        smallest = "smallest, or as small as the smallest and faster"
        most = _MOST[goal]
        return smallest if goal == "size" else f"{most}, or as good as the {most} and closer to the source"
    if best is None:
        return "not better than the baseline beyond the noise"
    if goal == "size" and len(trial.model) > len(best.model) * _TIE:
        return f"{len(trial.model) / len(best.model):.2f}x the size of the chosen one"
    ratio = speedup(of=times[best.title], over=times[trial.title])
    if ratio.verdict == "faster":
        return f"{ratio.mid:.2f}x the {'energy' if goal == 'energy' else 'time'} of the chosen one"
    return "as good as the chosen one within the noise, and changes more"


def _why(best: Trial | None, over: Ratio | None, goal: Goal) -> str:
    if best is None or over is None:
        beaten = "smaller than the source graph" if goal == "size" else f"{_MORE[goal]} than it beyond the noise"
        return f"ONNX Runtime's default on the source graph, because nothing was {beaten}"
    if goal == "energy":
        spread = f"({1 / over.high:.2f} to {1 / over.low:.2f})"
        return f"{best.title} takes {1 / over.mid:.2f} {spread} of the energy of ONNX Runtime's default"
    gain = (
        f"{over.mid:.2f}x ({over.low:.2f} to {over.high:.2f}) the speed of ONNX Runtime's default on the source graph"
    )
    if goal == "size":
        return f"{best.title} is the smallest within the accuracy limit, at {gain}"
    return f"{best.title} runs at {gain}"
