"""Run a staged image pipeline: regions of a large picture, each judged by a classifier, as named boxes.

The rows in a batch are always as many as the stage says, the last one repeated where there are fewer: a runtime
prepares for each new shape, which costs more than a few rows.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise.compiler.answers import Answer
from chipwise.compiler.collect import FEW, Watch, collect, result, unchanged
from chipwise.compiler.feeds import picture_feed, read_array
from chipwise.core.errors import DataError, InputError
from chipwise.core.events import Progress, silent
from chipwise.core.pipeline import Classify, Keep
from chipwise.core.report import Box, Prediction
from chipwise.tasks.agreement import class_count
from chipwise.tasks.classify import name_of
from chipwise.tasks.pictures import check_header, open_picture
from chipwise.tasks.regions import candidates, cut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from chipwise.compiler.collect import Keep as Keeper
    from chipwise.compiler.runner import Runner
    from chipwise.core.pipeline import Pipeline
    from chipwise.core.report import RunResult

_REGION = "region"  # of pipelines that do not classify
_MOST_LISTED = 20  # classes in a hint


def run_pipeline(
    runner: Runner,
    pipeline: Pipeline,
    inputs: Sequence[Path | NDArray[Any]],
    *,
    keep: Keeper = unchanged,
    progress: Progress = silent,
) -> RunResult:
    """Find regions in pictures and classify each.

    Args:
        runner: a network for classification that takes pictures.
        pipeline: how to find them, and which to keep.
        inputs: picture files, or uint8 arrays [H, W] or [H, W, 1 or 3] (or .npy files of these), at least one.
        keep: draws an answer, and gives the prediction that says where.
        progress: told which picture it is, where there are many.

    Returns:
        for each picture its boxes, highest score first. The latency is that of one region. A picture that turns out to
        be damaged is left out, and named in `skipped`; Ctrl-C keeps what is done.

    Raises:
        InputError: the network does not classify pictures or does not know a class to keep, or there is no input.
        DataError: no picture, or too many regions in it.
    """
    if runner.task.kind != "classification" or runner.task.preprocess is None:
        raise InputError(
            f"{runner.name} is for {runner.task.kind}, and a pipeline classifies pictures",
            hint="give a network for classification that says how pictures become its input",
        )
    if not inputs:
        raise InputError("no input was given", hint="name pictures")
    _check_labels(pipeline, runner)
    for given in inputs:
        _check(given)

    def answer(read: Sequence[tuple[str, NDArray[np.uint8]]]) -> list[list[Answer]]:
        boxes = [tuple(sorted(found(runner, pipeline, picture), key=lambda box: -box.score)) for _, picture in read]
        pairs = zip(read, boxes, strict=True)
        return [[Answer(Prediction(name, boxes=each), picture)] for (name, picture), each in pairs]

    done = collect(map(_read, inputs), answer, Watch("pictures", len(inputs), progress, len(inputs) > FEW), keep)
    return result(runner, done)


def found(runner: Runner, pipeline: Pipeline, picture: NDArray[np.uint8]) -> list[Box]:
    """The boxes in one picture, uint8 [H, W, C], in the order of its rows."""
    edges = candidates(picture, pipeline.stages)
    answers = [(_REGION, 1.0)] * len(edges)
    for stage in pipeline.stages:
        if isinstance(stage, Classify):
            answers = _classified(runner, cut(picture, edges), stage.batch)
        if isinstance(stage, Keep):
            fits = [(not stage.labels or label in stage.labels) and score >= stage.score for label, score in answers]
            answers = [answer for answer, fit in zip(answers, fits, strict=True) if fit]
            edges = edges[np.array(fits, bool)]
    rows = zip(answers, edges.tolist(), strict=True)
    return [Box(label, score, *map(float, edge)) for (label, score), edge in rows]


def _check_labels(pipeline: Pipeline, runner: Runner) -> None:
    """Refuse a pipeline that keeps a class which the network does not know."""
    labels, classes = runner.task.labels, class_count(runner.task, runner.outputs)
    known = [name_of(kind, labels) for kind in range(classes or len(labels))]
    for stage in pipeline.stages:
        for label in stage.labels if isinstance(stage, Keep) else ():
            if label not in known and (known or not re.fullmatch(r"class \d+", label)):
                listed = ", ".join(known[:_MOST_LISTED]) + (", ..." if len(known) > _MOST_LISTED else "")
                hint = f"the network's classes are {listed}" if known else "its classes have no names: --labels FILE"
                raise InputError(f"the pipeline keeps {label!r}", hint=hint)


def _classified(runner: Runner, crops: list[NDArray[np.uint8]], batch: int) -> list[tuple[str, float]]:
    spec = runner.inputs[0]
    fixed = spec.shape[0] if spec.shape else 1
    size = fixed if isinstance(fixed, int) else batch
    answers: list[tuple[str, float]] = []
    for start in range(0, len(crops), size):
        some = crops[start : start + size]
        full = some + some[-1:] * (size - len(some))
        answered = runner.answer(picture_feed("regions", full, runner.task, spec), top=1)
        answers += [each.prediction.top[0] for each in answered[: len(some)]]
    return answers


def _check(given: Path | NDArray[Any]) -> None:
    """Find out before anything runs what is no picture: files by their headers."""
    if isinstance(given, Path) and given.suffix.lower() != ".npy":
        check_header(given)
    else:
        _read(given)


def _read(given: Path | NDArray[Any]) -> tuple[str, NDArray[np.uint8]]:
    """The name and the pixels of one picture."""
    if isinstance(given, Path) and given.suffix.lower() != ".npy":
        return str(given), open_picture(given)
    array = read_array(given) if isinstance(given, Path) else given
    return str(given) if isinstance(given, Path) else "array", _picture(array)


def _picture(array: NDArray[Any]) -> NDArray[np.uint8]:
    stack = array[:, :, None] if array.ndim == 2 else array
    if stack.dtype != np.uint8 or stack.ndim != 3 or stack.shape[2] not in (1, 3) or not stack.size:
        raise DataError(f"{array.dtype} {list(array.shape)} is no picture", hint="give uint8 [height, width, 3]")
    return stack
