"""Turn choices into engines that may be timed: built, compared with the oracle, and guarded on data.

Accuracy depends on runtime, precision and quantizer, not on threads or batch: it is measured once per such kind.
"""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise.codec.hashes import sha256_bytes
from chipwise.compiler.opset import rounds
from chipwise.compiler.oracle import relative_error
from chipwise.compiler.parts import asked_precision, build_parts, custom_parts
from chipwise.compiler.quantizers import quantize, usable, weights_of
from chipwise.compiler.subject import Subject, predicted_classes
from chipwise.core.errors import ChipwiseError, RuntimeUnavailableError
from chipwise.core.measure import PairedDrop
from chipwise.core.plan import Candidate, Choice, Label
from chipwise.runtimes.engine import Engine, EngineOptions, run_many
from chipwise.tasks.metrics import paired_drop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from chipwise.compiler.workspace import Workspace
    from chipwise.core.device import Machine

# Two float32 implementations that block their sums differently agree to about 1e-6 of the largest output.
CLOSE = 1e-4
_QUICK_CALLS = 3
_CHEAP_GUARD_S = 2.0  # of calls, at one a sample; below that a few calls are no reason not to count
_REASON_CHARACTERS = 200  # of a vendor's refusal; the rest is its log


@dataclass(frozen=True, slots=True)
class Kind:
    """What accuracy depends on, and what came of it.

    Attributes:
        model: the graph to ship, serialized.
        label: against the oracle; max_error: relative to the oracle's largest output.
        accuracy: paired with the source; None without data or need.
        refusal: why candidates of this kind may not ship; empty when they may.
        ran: False when the runtime or the quantizer refused the graph.
        slow: True when it is so slow that its accuracy was not counted.
    """

    model: bytes = b""
    label: Label | None = None
    max_error: float | None = None
    accuracy: PairedDrop | None = None
    refusal: str = ""
    ran: bool = True
    slow: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate whose engine is built and may be timed."""

    candidate: Candidate
    model: bytes
    engine: Engine

    @property
    def title(self) -> str:
        """Name in tables, and of its times."""
        return self.candidate.choice.title


def quantizers_for(subject: Subject, machine: Machine) -> tuple[str, ...]:
    """Names of the quantizers worth trying: none without data to guard by, nor for what is quantized."""
    if subject.guard is None or len(subject.network.inputs) != 1 or rounds(subject.source):
        return ()
    return usable(machine, True, weights_of(subject.source))


def examine(
    choice: Choice,
    subject: Subject,
    max_drop: float,
    machine: Machine,
    workspace: Workspace,
    *,
    calls: int | None = None,
    limit_s: float = math.inf,
) -> tuple[Kind, Engine | None]:
    """Build one engine of a kind, compare it with the oracle and, where it is lossy, guard it on data.

    The engine is given back where the kind may ship.

    Args:
        choice: one of the kind.
        subject: what is compiled.
        max_drop: of the accuracy, 0..1.
        machine: this one.
        workspace: what an earlier search has found out.
        calls: to calibrate by; None for all.
        limit_s: a lossy one whose call takes longer is not guarded, which takes a call for each sample.
    """
    try:
        model = _graph_for(choice, subject, machine, workspace, calls)
        engine = build(choice, model)
    except ChipwiseError as failure:
        return Kind(refusal=failure.message[:_REASON_CHARACTERS], ran=False), None
    with ExitStack() as unless_kept:
        unless_kept.callback(engine.close)
        try:
            kind = _compared(choice, engine, subject, max_drop, model=model, workspace=workspace, limit_s=limit_s)
        except ChipwiseError as failure:
            return Kind(refusal=failure.message[:_REASON_CHARACTERS], ran=False), None
        if kind.refusal:
            return kind, None
        unless_kept.pop_all()
    return kind, engine


def _compared(
    choice: Choice,
    engine: Engine,
    subject: Subject,
    max_drop: float,
    *,
    model: bytes,
    workspace: Workspace,
    limit_s: float,
) -> Kind:
    """The kind with its label, its error and, where it is lossy, its accuracy."""
    error = relative_error(engine.run(subject.sample), subject.expected)
    label: Label = "lossy" if _rounds_more(choice) or error > CLOSE else "exact" if error == 0 else "close"
    kind = Kind(model=model, label=label, max_error=error)
    if label != "lossy":
        return kind
    if subject.guard is None:
        said = f"{choice.format} differs by {error:.1e} from the source on a sample"
        return replace(kind, refusal=f"{said}; --data would show whether it matters")
    seconds = quickest_s(engine, subject)
    if seconds > limit_s and seconds * len(subject.guard.held_out.labels) > _CHEAP_GUARD_S:
        slow = f"a call takes {seconds * 1e3:.3g} ms, many times as long as the fastest: its accuracy was not counted"
        return replace(kind, refusal=slow, slow=True)
    made = sha256_bytes(repr(choice.parts).encode())[:16] if choice.parts else "whole"
    name = f"accuracy-{choice.runtime}-{choice.precision}-{_made_of(choice)}-{made}.json"
    drop = workspace.read(name, PairedDrop)
    if drop is None:
        right = predicted_classes(engine, subject.guard.held_out.inputs) == subject.guard.held_out.labels
        drop = paired_drop(subject.guard.held_out.source_right, right, max_drop)
        workspace.write(name, drop)
    return replace(kind, accuracy=drop, refusal=_verdict(drop, max_drop))


def _rounds_more(choice: Choice) -> bool:
    """Whether it computes in fewer bits than float32: one sample, whose softmax may be saturated, is no proof then."""
    formats = {choice.precision, *(part.precision for part in choice.parts)}
    return bool(choice.quantizer) or formats != {"fp32"}


def quickest_s(engine: Engine, subject: Subject) -> float:
    """Seconds that a call with the sample takes, the quickest of a few: to tell what is slow from what is not."""
    seconds = []
    for _ in range(_QUICK_CALLS):
        start = time.perf_counter()
        engine.run(subject.sample)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def build(choice: Choice, model: bytes) -> Engine:
    """Build the engine of a choice.

    Raises:
        RuntimeUnavailableError: when the runtime refuses the graph.
    """
    return build_parts(choice, model, options_of(choice))


def options_of(choice: Choice) -> EngineOptions:
    """How the engine of a choice is built."""
    precision = asked_precision(choice.precision, choice.quantizer)
    return EngineOptions(precision=precision, threads=choice.threads, batch=choice.batch, streams=choice.streams)


def make_trial(choice: Choice, kind: Kind, engine: Engine | None = None) -> Trial | Candidate:
    """Build the engine to be timed where `examine` gave none, or the record of why it cannot be."""
    record = Candidate(
        choice=choice,
        status="slower",
        reason="",
        label=kind.label,
        size_bytes=len(kind.model) or None,
        max_error=kind.max_error,
        accuracy=kind.accuracy,
    )
    if kind.refusal:
        if kind.slow:
            return replace(record, reason=kind.refusal)
        return replace(record, status="rejected" if kind.ran else "failed", reason=kind.refusal)
    try:
        if not choice.parts:  # say where custom layers cut it
            choice = replace(choice, parts=custom_parts(kind.model, choice.runtime, choice.precision))
        return Trial(replace(record, choice=choice), kind.model, engine or build(choice, kind.model))
    except RuntimeUnavailableError as failure:
        return replace(record, status="failed", reason=failure.message[:_REASON_CHARACTERS])


def proven(trial: Trial, subject: Subject) -> Trial | Candidate:
    """The trial, or the record of why not where several requests at once fail, or differ from one alone."""
    try:
        alone = trial.engine.run(subject.sample)
        answers = run_many(trial.engine, [subject.sample] * trial.candidate.choice.streams)
    except RuntimeUnavailableError as failure:
        reason = failure.message[:_REASON_CHARACTERS]
    else:
        error = max(relative_error(answer, alone) for answer in answers)
        if error <= CLOSE:
            return trial
        reason = f"several requests at once differ by {error:.1e} from one alone"
    trial.engine.close()
    return replace(trial.candidate, status="failed", reason=reason)


def _graph_for(choice: Choice, subject: Subject, machine: Machine, workspace: Workspace, calls: int | None) -> bytes:
    graph = subject.graphs.model(choice.graph)
    if not choice.quantizer:
        return graph
    assert subject.guard is not None, "int8 needs calibration data"
    name = f"int8-{_made_of(choice)}.onnx"
    model = workspace.read_bytes(name)
    if model is None:
        model = quantize(choice.quantizer, graph, subject.guard.calibration[:calls], machine, choice.kept)
        workspace.write_bytes(name, model)
    return model


def _made_of(choice: Choice) -> str:
    """What the graph of a choice depends on, as a name of a file."""
    parts = (choice.quantizer or "float", choice.graph, *choice.kept)
    return sha256_bytes("|".join(parts).encode())[:16]


def _verdict(drop: PairedDrop, max_drop: float) -> str:
    """Why the drop is too large; empty when it is within the limit."""
    if drop.upper <= max_drop:
        return ""
    counted = f"{drop.lost} answers lost and {drop.won} won on {drop.source.count} samples"
    bound = f"{counted}: the accuracy may have dropped by {drop.upper:.2%}, more than {max_drop:.2%}"
    if drop.drop <= max_drop and drop.needed > drop.source.count:
        return f"{bound}; at least {drop.needed} samples are needed to tell"
    return bound


def tiled(sample: Sequence[NDArray[Any]], batch: int) -> list[NDArray[Any]]:
    """A sample repeated to a batch, one array per input."""
    if batch == 1:
        return list(sample)  # a single number has no axis to repeat
    return [np.ascontiguousarray(np.repeat(array, batch, axis=0)) for array in sample]
