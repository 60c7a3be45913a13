"""Run a network on pictures, sounds or arrays, or on the frames of a film, and say what it sees.

Everything that is given is checked before anything runs: pictures by their headers, the rest by reading it. Pictures
and frames are then read one by one, or as many as keep the streams of a plan busy.
"""

from __future__ import annotations

from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chipwise.compiler.collect import FEW, Watch, collect, result, unchanged
from chipwise.compiler.feeds import check_count, takes_pictures
from chipwise.core.errors import InputError
from chipwise.core.events import Progress, silent
from chipwise.tasks.pictures import check_header

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from chipwise.compiler.collect import Keep
    from chipwise.compiler.feeds import Feed
    from chipwise.compiler.runner import Runner
    from chipwise.core.report import RunResult

    Given = Path | NDArray[Any]
    Frames = Iterable[tuple[str, NDArray[np.uint8]]]

_KEPT_BYTES = 1 << 28  # of inputs that were read to be checked; what goes beyond is read again when its turn comes


def run_all(
    runner: Runner, inputs: Sequence[Given], *, top: int = 5, keep: Keep = unchanged, progress: Progress = silent
) -> RunResult:
    """Run a network on files and arrays; Ctrl-C ends it early and keeps what is done.

    Args:
        runner: what runs.
        inputs: pictures, .wav files, .npy files or arrays, at least one; a network with several inputs takes one array
            for each.
        top: classes to name per item.
        keep: draws an answer, and gives the prediction that says where.
        progress: told which input it is, where there are many.

    Returns:
        the answers; a picture whose header was fine and whose body is damaged is left out, and named in `skipped`.

    Raises:
        DataError: a file that cannot be read. InputError: a shape that does not fit.
    """
    together = check_count(inputs, runner.task, runner.inputs)
    given: list[Any] = [list(inputs)] if together else list(inputs)
    kept: dict[int, Feed] = {}
    held = 0
    for index, each in enumerate(given):
        if isinstance(each, Path) and takes_pictures(each, runner.task):
            check_header(each)
            continue
        feed = runner.read(each)
        held += feed.held_bytes
        if held <= _KEPT_BYTES:
            kept[index] = feed

    def read(index: int) -> Feed:
        return kept.pop(index, None) or runner.read(given[index])

    bar = Watch("inputs", len(given), progress, len(given) > FEW)
    done = collect(
        map(read, range(len(given))), lambda feeds: runner.answer_many(feeds, top), bar, keep, runner.together
    )
    return result(runner, done)


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
        the answer, with frames a second from the first frame's reading to the last one's answer; frames that cannot be
        read are left out, and named in `skipped`.

    Raises:
        DataError: the network takes no pictures, or no frame can be read. InputError: there are no frames.
    """
    runner.check_pictures("frames")
    done = collect(
        starmap(runner.picture, frames),
        lambda feeds: runner.answer_many(feeds, top),
        Watch("frames", count, progress),
        keep,
        runner.together,
    )
    if not done.predictions and done.complete:
        raise InputError("there are no frames", hint="give a folder of pictures, or a film")
    return result(runner, done, rate=len(done.predictions) / max(done.seconds, 1e-9))
