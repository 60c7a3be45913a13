"""One search for a plan: what is compiled, under which limits, and the contenders that are built for it.

A choice is examined once a kind (runtime, number format, quantizer, graph): accuracy does not depend on threads,
streams or batch. Every choice ends as a trial that may be timed, or as a record of why not.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from chipwise.compiler.trials import Trial, examine, make_trial, proven, quickest_s, tiled
from chipwise.core.plan import Candidate

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from chipwise.compiler.options import CompileOptions
    from chipwise.compiler.subject import Subject
    from chipwise.compiler.trials import Kind
    from chipwise.compiler.workspace import Workspace
    from chipwise.core.device import Machine
    from chipwise.core.events import Progress
    from chipwise.core.plan import Choice

STAGE = "compile"
_MEMORY_SHARE = 0.5
# A call that gathers every tensor's range takes several times as long; each quantizer gathers anew.
_CALIBRATION_SHARE, _CALIBRATION_COST, _FEWEST_CALLS = 0.1, 5.0, 16
_SLOW = 3.0  # times the quickest call so far: a race drops it at half of that, and the guard takes thousands of calls
_NO_TIME = "the time budget was used up; give more with --budget"
_NO_MEMORY = "the engines to compare would take more than half of the memory"


@dataclass(slots=True)
class Search:
    """A search and what it has found so far.

    Attributes:
        subject, options, machine, workspace: what is compiled, under which limits, where, and what is known already.
        output: file that holds the best plan so far; None keeps it in memory only.
        progress: told what is tried.
        deadline_s: monotonic time at which the budget ends.
        calls: to calibrate by; None for all there are.
        kinds: what was examined; records: of candidates that are out of the race.
        quickest_s: call of the sample by threads and batch, of all that may be timed.
    """

    subject: Subject
    options: CompileOptions
    machine: Machine
    workspace: Workspace
    output: Path | None
    progress: Progress
    deadline_s: float
    calls: int | None = None
    kinds: dict[tuple[object, ...], Kind] = field(default_factory=dict)
    records: list[Candidate] = field(default_factory=list)
    quickest_s: dict[tuple[int, int], float] = field(default_factory=dict)

    def left_s(self) -> float:
        """Seconds left in the budget, at least a tenth of a second so that something is always measured."""
        return max(self.deadline_s - time.monotonic(), 0.1)

    def pace(self, trial: Trial) -> None:
        """Let calibration take no more than a part of the time that is left, by how long a call of a trial takes."""
        arrays, start = tiled(self.subject.sample, trial.candidate.choice.batch), time.monotonic()
        trial.engine.run(arrays)
        call_s = time.monotonic() - start
        self.calls = max(_FEWEST_CALLS, int(self.left_s() * _CALIBRATION_SHARE / (_CALIBRATION_COST * call_s + 1e-6)))

    def calibration(self) -> NDArray[Any]:
        """Inputs to calibrate by, [C, B, ...]; the subject must have data."""
        assert self.subject.guard is not None
        return self.subject.guard.calibration[: self.calls]

    def admit(self, wanted: Iterable[Choice], present: list[Trial], budget_s: float, bar: tuple[float, float]) -> None:
        """Build the contenders of some choices and put them to those `present`, as far as time and memory go.

        Args:
            wanted: in the order of their promise.
            present: engines that are held; the list grows.
            budget_s: wall time; the first contender of all is always built.
            bar: where the work begins and ends on the progress bar, 0..1.
        """
        until, choices = time.monotonic() + budget_s, list(wanted)
        for number, choice in enumerate(choices):
            self.progress.update(STAGE, bar[0] + (bar[1] - bar[0]) * number / len(choices), choice.title)
            short = _NO_TIME if present and time.monotonic() > until else self._short_of_memory(present)
            if short:
                self.records.append(Candidate(choice, "skipped", short))
                continue
            made = self._made(choice)
            if isinstance(made, Candidate):
                self.records.append(made)
            elif made is not None:
                present.append(made)

    def _made(self, choice: Choice) -> Trial | Candidate | None:
        """A trial, or the record of why not; None for what an earlier record of the same kind has said."""
        key = (choice.runtime, choice.precision, choice.quantizer, choice.graph, choice.kept, choice.parts)
        known, engine = key in self.kinds, None
        like = (choice.threads, choice.batch)
        if not known:
            by_time = self.options.goal in ("latency", "throughput")
            self.kinds[key], engine = examine(
                choice,
                self.subject,
                self.options.max_drop,
                self.machine,
                self.workspace,
                calls=self.calls,
                limit_s=_SLOW * self.quickest_s.get(like, math.inf) if by_time else math.inf,
            )
        kind = self.kinds[key]
        if kind.refusal and known:
            return None
        made = make_trial(choice, kind, engine)
        if isinstance(made, Candidate) and kind.refusal:
            return replace(made, choice=replace(choice, threads=0, batch=1, streams=1))
        if isinstance(made, Trial) and self.subject.guard is not None:
            self.quickest_s[like] = min(quickest_s(made.engine, self.subject), self.quickest_s.get(like, math.inf))
        return proven(made, self.subject) if isinstance(made, Trial) and choice.streams > 1 else made

    def _short_of_memory(self, present: list[Trial]) -> str:
        """Engines hold about three times their graph."""
        held = 3 * sum(len(trial.model) for trial in present)
        memory = self.machine.memory_bytes
        return _NO_MEMORY if memory is not None and held > memory * _MEMORY_SHARE else ""
