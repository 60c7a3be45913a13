"""Inputs in turn, some at a time: read, answered, kept; what is damaged is left out, and Ctrl-C keeps what is done.

>>> class Show:
...     def update(self, stage, fraction, message=""): pass
...     def note(self, message): print(message)
>>> def read(number):
...     if number == 2:
...         raise DataError("b.png is damaged")
...     return number
>>> def answer(some):
...     return [[Answer(Prediction(str(each)))] for each in some]
>>> done = collect(map(read, (1, 2, 3)), answer, Watch("frames", 3, Show()))
skipped: b.png is damaged
>>> len(done.predictions), done.skipped
(2, ('b.png is damaged',))
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from chipwise.compiler.answers import Answer
from chipwise.core.errors import DataError
from chipwise.core.events import Progress, silent
from chipwise.core.report import Prediction, RunResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from chipwise.compiler.runner import Runner

    Keep = Callable[[Answer], Prediction]

T = TypeVar("T")
FEW = 8  # inputs that need no bar


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told how far it is.

    Attributes:
        what: the inputs are called ("frames"); it is the name of the bar, too.
        count: how many there are, 0 when that is not known.
        progress: told which one it is, and which is left out.
        bar: False where there are so few that only what is left out is told.
    """

    what: str
    count: int = 0
    progress: Progress = silent
    bar: bool = True


@dataclass(frozen=True, slots=True)
class Collected:
    """What came of the inputs; `seconds` from the first one's reading to the last one's answer, drawing left out."""

    predictions: tuple[Prediction, ...]
    skipped: tuple[str, ...]
    complete: bool
    seconds: float


def result(runner: Runner, done: Collected, rate: float | None = None) -> RunResult:
    """What a network said of all inputs; with frames a second where they were timed."""
    return RunResult(
        runner.name, runner.choice, done.predictions, runner.latency_s, rate, done.complete, skipped=done.skipped
    )


def unchanged(answer: Answer) -> Prediction:
    """Keep what was said and draw nothing."""
    return answer.prediction


def collect(
    inputs: Iterator[T],
    answer: Callable[[Sequence[T]], list[list[Answer]]],
    watch: Watch,
    keep: Keep = unchanged,
    together: int = 1,
) -> Collected:
    """Answer inputs in turn.

    Args:
        inputs: read as they are wanted; one that raises DataError is left out and the next one is asked for, which a
            `map` gives and a generator does not.
        answer: runs some at once, and answers each.
        watch: who is told.
        keep: draws an answer, and gives the prediction that says where.
        together: how many are read before they are answered.

    Raises:
        DataError: what the first one raised, when none at all could be read; whatever `answer` and `keep` raise.
    """
    progress, shown = watch.progress, watch.progress if watch.bar else silent
    predictions: list[Prediction] = []
    skipped: list[DataError] = []
    done, drawing_s, complete, started = 0, 0.0, True, time.perf_counter()
    try:
        for some in _groups(inputs, together, skipped, progress):
            for answers in answer(some):
                answered = time.perf_counter()
                predictions += [keep(each) for each in answers]
                drawing_s += time.perf_counter() - answered
                done += 1
                share = min((done + len(skipped)) / watch.count, 0.999) if watch.count else 0.0
                shown.update(watch.what, share, f"{done} of {watch.count or 'unknown'}")
    except KeyboardInterrupt:
        complete = False
        progress.note(f"interrupted after {done} {watch.what}: these are kept")
    if skipped and not done and complete:
        raise skipped[0]
    if complete and done:
        shown.update(watch.what, 1.0, f"{done} {watch.what}")
    seconds = time.perf_counter() - started - drawing_s
    return Collected(tuple(predictions), tuple(each.message for each in skipped), complete, seconds)


def _groups(inputs: Iterator[T], size: int, skipped: list[DataError], progress: Progress) -> Iterator[list[T]]:
    """What can be read, so many at a time. What cannot be goes to `skipped`, and is told once anything could be."""
    group: list[T] = []
    told, begun = 0, False
    while True:
        try:
            group.append(next(inputs))
            begun = True
        except StopIteration:
            break
        except DataError as error:
            skipped.append(error)
        if begun:
            for damaged in skipped[told:]:
                progress.note(f"skipped: {damaged.message}")
            told = len(skipped)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
