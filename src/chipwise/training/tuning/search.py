"""What the stages of a tuning share: what is known so far, and races in which ways of computing a step take turns."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from chipwise.clock.interleave import interleave
from chipwise.clock.statistics import speedup, summarize
from chipwise.core.events import Part
from chipwise.core.tuning import TuneRow, in_words
from chipwise.training.tuning.choice import simplest, why_not
from chipwise.training.tuning.steps import begun, changes, timed_step

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from chipwise.core.events import Progress
    from chipwise.core.measure import PairedDrop, Ratio, Timing
    from chipwise.core.tuning import BatchRow, TrainingBound
    from chipwise.training.settings import Settings
    from chipwise.training.tuning.steps import Call, Stand

    Samples = Mapping[str, NDArray[np.float64]]

STAGE = "tuning"
_ROUNDS = 30


@dataclass(frozen=True, slots=True)
class Limits:
    """What a tuning may try.

    Attributes:
        budget_s: wall time.
        fixed: names of settings that were asked for, and stay.
        formats: number formats that the processor is quick at, beside fp32.
        cores: that the process may use.
    """

    budget_s: float = 120.0
    fixed: frozenset[str] = frozenset()
    formats: tuple[str, ...] = ()
    cores: int = 1


@dataclass(slots=True)
class Search:
    """A tuning on its way.

    Attributes:
        stand: where steps are made; limits: what may be tried; progress: told how far it is.
        plain: settings of the plain loop; kept: the best so far.
        fallback: the best in the number format of the plain loop.
        compile_s: that compiling a way took, the longest; 0 where nothing was compiled.
        overrun_s: that compiling took beyond its share of the time; later stages begin and end so much later.
        calls: steps that are prepared, by their settings.
        sample_s: seconds a sample, one number a round, by batch size.
        rows, batches, notes, shown, seeds, guard, timings, speedup, bound: of the answer, as `core.tuning.Tuning`.
    """

    stand: Stand
    limits: Limits
    progress: Progress
    plain: Settings
    kept: Settings
    fallback: Settings
    started_s: float = field(default_factory=time.perf_counter)
    compile_s: float = 0.0
    overrun_s: float = 0.0
    calls: dict[Settings, Call] = field(default_factory=dict)
    sample_s: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    rows: list[TuneRow] = field(default_factory=list)
    batches: list[BatchRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    shown: int = 0
    seeds: int = 0
    guard: PairedDrop | None = None
    timings: tuple[Timing, Timing] | None = None
    speedup: Ratio | None = None
    bound: TrainingBound | None = None

    @property
    def spent_s(self) -> float:
        """Wall time so far."""
        return time.perf_counter() - self.started_s

    def left_s(self, share: float) -> float:
        """Seconds until so much of the time is used up; below 0 where it is."""
        return share * self.limits.budget_s + self.overrun_s - self.spent_s

    @property
    def progress_share(self) -> float:
        """How much of the time is used up, 0..1."""
        return min(0.999, self.spent_s / (self.limits.budget_s + self.overrun_s))

    def time_for(self, what: str, share: float) -> bool:
        """Whether any of that share of the time is left; else it is noted that `what` was not tried."""
        if self.left_s(share) > 0:
            return True
        self.notes.append(f"{what}: not tried, there was no time left: --for more")
        return False

    def tell(self, message: str) -> None:
        """Move the bar, and show what is done beside it."""
        self.progress.update(STAGE, self.progress_share, message)

    def named(self, settings: Settings) -> str:
        """The settings in words: what differs from the plain loop."""
        return in_words(changes(settings, self.plain))


def prepared(search: Search, ways: Sequence[Settings], stage: str) -> list[Settings]:
    """Make the first step of each; those that fail become rows with the reason, the others are given."""
    ran = []
    for way in ways:
        if way not in search.calls:
            search.tell(f"first step: {search.named(way)}")
            call, took_s, reason = begun(partial(timed_step, search.stand, way))
            if call is None:
                search.rows.append(TuneRow(stage, changes(way, search.plain), reason=f"failed: {reason}"))
                continue
            search.calls[way] = call
            if way.compiled:
                search.compile_s = max(search.compile_s, took_s)
        ran.append(way)
    return ran


def race(
    search: Search, calls: Mapping[str, Call], until: float, message: str, *, least_s: float = 0.0, rounds: int = 5
) -> Samples:
    """Time calls in turns until that share of the time is used up; for so many seconds, and rounds, at least.

    Returns:
        seconds a call of each, one number a round, the same rounds for all.
    """
    begin = search.progress_share
    shown = _Unending(Part(search.progress, STAGE, begin, max(begin, min(0.999, until))), message)
    budget_s = max(least_s, search.left_s(until))
    seed = search.plain.seed
    return interleave(calls, budget_s=budget_s, min_rounds=rounds, max_rounds=_ROUNDS, progress=shown, seed=seed)


def winner(samples: Samples, ways: Mapping[str, Settings], over: str) -> Settings:
    """The simplest way that none beats; changes count from `over`."""
    cost = {name: len(changes(way, ways[over])) for name, way in ways.items()}
    return ways[simplest({name: samples[name] for name in ways}, cost)]


def note_rows(search: Search, stage: str, samples: Samples, ways: Mapping[str, Settings], over: str) -> None:
    """Write a row for every way that has none yet in this stage, with its speed-up over the way `over`.

    That one itself has a row where it is the plain loop and the stage the first: later ones begin with what was kept.
    """
    told = [row.changes for row in search.rows if row.stage == stage]
    for name, way in ways.items():
        differing = changes(way, search.plain)
        if differing in told or (name == over and search.rows and not told):
            continue
        ratio = None if name == over else speedup(samples[name], samples[over])
        reason = "" if ratio is None else why_not(ratio)
        search.rows.append(TuneRow(stage, differing, summarize(samples[name]), ratio, reason=reason))


def keep(search: Search, stage: str, settings: Settings) -> None:
    """Take these settings on, and mark the row of them in a stage, alone."""
    search.kept, wanted = settings, changes(settings, search.plain)
    for place, row in enumerate(search.rows):
        if row.stage == stage and row.step is not None:
            ours = row.changes == wanted
            reason = "" if ours else row.reason or (why_not(row.speedup) if row.speedup else "")
            search.rows[place] = replace(row, kept=ours, reason=reason)


class _Unending:
    """A stretch of a bar that is not ended by what reports to it, and says what is raced.

    Args:
        part: the stretch; message: what is shown beside it.
    """

    def __init__(self, part: Progress, message: str) -> None:
        self._part, self._message = part, message

    def update(self, stage: str, fraction: float, message: str = "") -> None:
        """Move it."""
        del stage, message
        self._part.update(STAGE, min(fraction, 0.999), self._message)

    def note(self, message: str) -> None:
        """Show one line that stays."""
        self._part.note(message)
