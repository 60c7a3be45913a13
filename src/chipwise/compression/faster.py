"""A network as many times faster as is asked for: channels go by a measured table of latencies, and it learns between.

>>> parse_faster("2x"), shares(2.0)
(2.0, (0.75, 0.5625, 0.5))
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir.passes.common as ir_passes
import torch

from chipwise.clock.statistics import speedup, summarize
from chipwise.codec.files import atomic_write
from chipwise.codec.records import decode, encode
from chipwise.compression.finetune import finetune
from chipwise.compression.latency_choice import calibrated, quickening
from chipwise.compression.latency_table import LatencyTable, layers_of, measured
from chipwise.core.compression import Speed
from chipwise.core.errors import InputError
from chipwise.core.events import Progress, silent
from chipwise.training.teacher import Teacher
from chipwise.training.trainable import put_back, simplified, trainable, weights_left

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import onnx_ir as ir
    from torch import nn

    from chipwise.compression.finetune import Lecture
    from chipwise.compression.stopwatch import Stopwatch
    from chipwise.training.settings import Settings

_FACTOR = re.compile(r"(\d+(?:\.\d+)?)\s*x?", re.IGNORECASE)
_KEEP = 0.75  # of the time, in a round
_MARGIN = 0.97  # of the time that is asked for: where noise would else decide whether it is reached
_ATTEMPTS = 7  # of measuring in the last round, each with the pace that the measurement before it gave
_APPROACH, _NEAR = 0.6, 1.03  # of the way to go by the table alone, where more than a little is left
_ERROR = 1.2  # by which the table, scaled to the source, may be wrong of what was made of it
_JUDGED = 256  # samples by which a step is judged, each the same ones
_CHECK_S, _LAST_S = 2.0, 8.0  # of timing network against network, in between and in the end


@dataclass(frozen=True, slots=True)
class Faster:
    """What is asked for.

    Attributes:
        times: how many times as fast as the source.
        step: widths that this machine likes are multiples of it.
        stopwatch: what is timed on.
        table_s: about how long layers are timed.
    """

    times: float
    step: int
    stopwatch: Stopwatch
    table_s: float = 30.0

    @property
    def said(self) -> str:
        """For what a stage is told by, and for tables."""
        return f"{self.times:g}x as fast on {self.stopwatch.title}"


def parse_faster(text: str) -> float:
    """Read "2x", "1.5x" or "3".

    Raises:
        InputError: it is none of these, or not faster.
    """
    found = _FACTOR.fullmatch(text.strip())
    if found is None or not 1 < float(found[1]) <= 1000:
        raise InputError(f"faster is {text!r}", hint="how many times as fast, above 1: 2x")
    return float(found[1])


def shares(times: float) -> tuple[float, ...]:
    """The share of the source's time that is left after each round."""
    found, left = [], 1.0
    while left > 1 / times:
        left = max(left * _KEEP, 1 / times)
        found.append(left)
    return tuple(found)


def table_of(graph: ir.Model, wanted: Faster, file: Path, *, progress: Progress = silent) -> LatencyTable:
    """The table of a graph's layers: what the file has of it, and the rest measured and kept there.

    Args:
        graph: as it will run.
        wanted: on what, and at which widths.
        file: of an earlier call, for the source or an earlier run; it need not be there.
        progress: told what is timed.

    Raises:
        StorageError: the file cannot be written. NetworkError: a layer's size is not known.
    """
    known = _kept(file, LatencyTable(wanted.stopwatch.title, wanted.step, ()))
    table = measured(
        with_shapes(graph), wanted.stopwatch.layer, known=known, budget_s=wanted.table_s, progress=progress
    )
    if table != known:
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(file, encode(table, pretty=True))
    return table


def _kept(file: Path, empty: LatencyTable) -> LatencyTable:
    """What an earlier call left; nothing where it is damaged, or of another runtime or step."""
    if not file.is_file():
        return empty
    try:
        found = decode(file.read_bytes(), LatencyTable, str(file))
    except InputError:
        return empty
    return found if (found.title, found.step) == (empty.title, empty.step) else empty


def quickened(  # noqa: PLR0917 (what it works on, and then how)
    source: ir.Model,
    graph: ir.Model,
    share: float,
    table: LatencyTable,
    wanted: Faster,
    lecture: Lecture,
    settings: Settings,
    *,
    progress: Progress = silent,
) -> tuple[ir.Model, float]:
    """One round: an epoch in which channels show what they are worth, then those go that cost most for it.

    Args:
        source: that it is timed against.
        graph: what the round before left; is not changed.
        share: of the source's time that is to be left.
        table: of the layers' times.
        wanted: what is asked for in the end; its last round measures until it is reached.
        lecture: what it learns from.
        settings: of an epoch.
        progress: told after it.

    Returns:
        the narrower graph, which has not learned since, and its accuracy before.
    """
    made = trainable(with_shapes(graph))
    source_s, now_s = _believed(source, graph, table, wanted)
    quick = quickening(made, table, now_s, wanted.step, _judge(source, lecture))
    once = dataclasses.replace(settings, epochs=1)
    tuned = finetune(made.module, lecture, once, before_step=quick.narrowing.observe, progress=progress)
    last, goal_s = share <= 1 / wanted.times + 1e-9, share * source_s * _MARGIN
    quick.drop_to(_nearer(now_s, goal_s) if last else goal_s)
    narrow = _without_dead(put_back(graph, made.values()))
    for attempt in range(_ATTEMPTS if last else 0):
        source_s, now_s = _believed(source, narrow, table, wanted)
        goal_s = share * source_s * _MARGIN
        if now_s <= goal_s:
            break
        left = weights_left(narrow)
        layers = quick.widths()
        assert layers is not None, "no choice loses the answer"
        quick.pace = calibrated(table, layers, now_s)
        quick.drop_to(_nearer(now_s, goal_s) if attempt < _ATTEMPTS - 2 else goal_s)
        narrow = _without_dead(put_back(graph, made.values()))
        if weights_left(narrow) == left:
            break  # nothing more can go
    return narrow, tuned.accuracy


def _nearer(now_s: float, goal_s: float) -> float:
    """A time between two, for steps that end where they are measured: what went too far does not come back."""
    return goal_s if now_s < _NEAR * goal_s else now_s - _APPROACH * (now_s - goal_s)


def _judge(source: ir.Model, lecture: Lecture) -> Callable[[nn.Module], float]:
    """How far a network's answers are from the source's, on some training samples."""
    count = len(lecture.train)  # all over it: files come class by class
    inputs = lecture.train.inputs[torch.linspace(0, count - 1, min(_JUDGED, count)).long()]
    teacher = Teacher(trainable(source).module.eval())
    answers = teacher.answers(inputs)

    def apart(module: nn.Module) -> float:
        with torch.inference_mode():
            return float(teacher.apart(module(inputs).float(), answers))

    return apart


def _believed(source: ir.Model, graph: ir.Model, table: LatencyTable, wanted: Faster) -> tuple[float, float]:
    """Seconds of the source and of what was made of it: measured, and no further from the table than it may err.

    A machine that does other things meanwhile can say anything, and channels that are gone do not come back.
    """
    before, now = wanted.stopwatch.race(source, graph, _CHECK_S)
    source_s = float(np.median(before))
    pace = calibrated(table, layers_of(with_shapes(source)), source_s)
    told = pace.seconds(layers_of(with_shapes(graph)))
    return source_s, float(np.clip(source_s * np.median(now / before), told / _ERROR, told * _ERROR))


def _without_dead(graph: ir.Model) -> ir.Model:
    """Twice, as there is something to fold where a branch was."""
    return simplified(simplified(graph))


def recovered(
    graph: ir.Model, lecture: Lecture, settings: Settings, *, progress: Progress = silent
) -> tuple[ir.Model, float]:
    """All epochs of training for what is left."""
    made = trainable(graph)
    tuned = finetune(made.module, lecture, settings, progress=progress)
    return put_back(graph, made.values()), tuned.accuracy


def speed_of(source: ir.Model, after: ir.Model, table: LatencyTable, wanted: Faster) -> Speed:
    """Time the two against each other, and say what the table had predicted.

    Args:
        source: as it would run.
        after: what was made of it, as it would run.
        table: of the layers of both.
        wanted: what was asked for, and the clock.
    """
    before, now = wanted.stopwatch.race(source, after, _LAST_S)
    pace = calibrated(table, layers_of(with_shapes(source)), float(np.median(before)))
    return Speed(
        asked=wanted.times,
        on=wanted.stopwatch.title,
        step=wanted.step,
        predicted_s=pace.seconds(layers_of(with_shapes(after))),
        before=summarize(before),
        after=summarize(now),
        ratio=speedup(of=now, over=before),
    )


def with_shapes(graph: ir.Model) -> ir.Model:
    """A copy in which the sizes of all values are known that can be."""
    copy = graph.clone()
    ir_passes.ShapeInferencePass(check_type=False, strict_mode=False)(copy)
    return copy
