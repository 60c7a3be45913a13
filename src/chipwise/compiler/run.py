"""Run a network on pictures, sounds or arrays, or on the frames of a film, and say what it sees.

Everything that is given is read and checked before anything runs; frames are read one by one.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from chipwise.compiler.feeds import check_count
from chipwise.compiler.runner import Runner, from_plan
from chipwise.core.errors import InputError
from chipwise.core.events import Progress, silent
from chipwise.core.report import Prediction, RunResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from chipwise.compiler.answers import Answer
    from chipwise.compiler.feeds import Feed
    from chipwise.core.device import Machine
    from chipwise.core.plan import Plan

    Given = Path | NDArray[Any]
    Frames = Iterable[tuple[str, NDArray[np.uint8]]]
    Keep = Callable[[Answer], Prediction]

_KEPT_BYTES = 1 << 28  # of inputs that were read to be checked; what goes beyond is read again when its turn comes
_STAGE = "frames"


def unchanged(answer: Answer) -> Prediction:
    """Keep what was said and draw nothing."""
    return answer.prediction


def run_plan(plan: Plan, name: str, inputs: Sequence[Given], machine: Machine, *, top: int = 5) -> RunResult:
    """Run a plan on files and arrays: `run_all` on an opened plan.

    Raises:
        DataError, InputError: as `run_all`. RuntimeUnavailableError: the plan cannot run here.
    """
    return run_all(from_plan(plan, name, machine), inputs, top=top)


def run_all(runner: Runner, inputs: Sequence[Given], *, top: int = 5, keep: Keep = unchanged) -> RunResult:
    """Run a network on files and arrays.

    Args:
        runner: what runs.
        inputs: pictures, .wav files, .npy files or arrays, at least one; a network with several inputs takes one array
            for each.
        top: classes to name per item.
        keep: draws an answer, and gives the prediction that says where.

    Raises:
        DataError: a file that cannot be read. InputError: a shape that does not fit.
    """
    together = check_count(inputs, runner.task, runner.inputs)
    given: list[Any] = [list(inputs)] if together else list(inputs)
    feeds: list[Feed | None] = []
    held = 0
    for each in given:
        feed = runner.read(each)
        held += feed.held_bytes
        feeds.append(feed if held <= _KEPT_BYTES else None)
    predictions: list[Prediction] = []
    for index, each in enumerate(given):
        answers = runner.answer(feeds[index] or runner.read(each), top)
        feeds[index] = None
        predictions += [keep(answer) for answer in answers]
    return RunResult(runner.name, runner.choice, tuple(predictions), runner.latency_s)


def run_frames(
    runner: Runner, frames: Frames, count: int, *, top: int = 5, keep: Keep = unchanged, progress: Progress = silent
) -> RunResult:
    """Run a network on one frame after the other; Ctrl-C ends it early and keeps what is done.

    Args:
        runner: what runs; it must take pictures.
        frames: names and pictures, read as they are wanted.
        count: how many there are, 0 when that is not known.
        top: classes to name per frame.
        keep: as `run_all`; its time does not count.
        progress: told which frame it is.

    Returns:
        the answer, with frames a second from the first frame's reading to the last one's answer.

    Raises:
        DataError: a frame that cannot be read, or there is none.
    """
    predictions: list[Prediction] = []
    drawing_s, complete, started = 0.0, True, time.perf_counter()
    try:
        for name, picture in frames:
            answers = runner.answer(runner.picture(name, picture), top)
            answered = time.perf_counter()
            predictions += [keep(answer) for answer in answers]
            drawing_s += time.perf_counter() - answered
            done = len(predictions)
            progress.update(_STAGE, min(done / count, 0.999) if count else 0.0, f"{done} of {count or 'unknown'}")
    except KeyboardInterrupt:
        complete = False
        progress.note(f"interrupted after {len(predictions)} frames: these are kept")
    if not predictions and complete:
        raise InputError("there are no frames", hint="give a folder of pictures, or a film")
    rate = len(predictions) / max(time.perf_counter() - started - drawing_s, 1e-9)
    if complete:
        progress.update(_STAGE, 1.0, f"{len(predictions)} frames")
    return RunResult(runner.name, runner.choice, tuple(predictions), runner.latency_s, rate, complete)
