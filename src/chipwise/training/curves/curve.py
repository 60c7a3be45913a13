"""One run of a curve: a network learns, and its errors are counted on what it learned and on what it did not.

The test split is never looked at, and the weights that are judged are those at the end, not the best ones: choosing
would hide what a curve is to show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from chipwise.training.checkpointed import from_text, run_again
from chipwise.training.curves.runs import Errors
from chipwise.training.dropout import set_dropout
from chipwise.training.evaluate import evaluate_fed
from chipwise.training.feed import Feed, feed_of
from chipwise.training.lesson import lesson_of
from chipwise.training.loop import run_epoch
from chipwise.training.process import memory_kept, memory_returned, threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from chipwise.core.network import Network
    from chipwise.datasets.dataset import Dataset
    from chipwise.training.feed import Fed
    from chipwise.training.loop import Lesson
    from chipwise.training.settings import Settings

MOST_JUDGED = 10_000  # training samples, evenly spread


def learned(
    module: nn.Module,
    network: Network,
    train: Dataset,
    validation: Dataset,
    settings: Settings,
    *,
    every: bool,
    tell: Callable[[float], None],
) -> tuple[Errors, ...]:
    """Train a module and count its errors.

    Args:
        module: fresh; is trained in place.
        network: fitted to the data.
        train: what it learns.
        validation: what judges it.
        settings: resolved.
        every: count after every epoch, rather than at the end alone.
        tell: called with the share of the work that is done.

    Raises:
        DataError, NetworkError, InputError: the parts do not fit together. GoalMissedError: the loss diverges.
    """
    if settings.dropout is not None:
        set_dropout(module, settings.dropout)
    rows: list[Errors] = []
    memory = memory_returned if settings.return_memory else memory_kept
    with threads(settings.threads), memory(), run_again(module, from_text(settings.recompute)):
        lesson = lesson_of(module, network, train, settings)
        held = feed_of(validation, network, what="validation", channels_last=settings.channels_last)
        judged = _evenly(lesson.feed)
        epochs = settings.epochs or 1
        for number in range(1, epochs + 1):
            run_epoch(lesson, number, _teller(lesson, number, tell))
            if every or number == epochs:
                rows.append(_errors(lesson, number, judged, held))
    return tuple(rows)


def _errors(lesson: Lesson, number: int, judged: Fed, held: Fed) -> Errors:
    settings = lesson.settings
    seen, unseen = (
        evaluate_fed(lesson.taught, feed, settings.loss, batch=settings.evaluation_batch) for feed in (judged, held)
    )
    return Errors(
        epoch=number,
        train_wrong=int((seen.predicted != judged.labels).sum()),
        judged=len(judged),
        train_loss=seen.loss,
        validation_loss=unseen.loss,
        wrong=np.packbits((unseen.predicted != held.labels).numpy()).tobytes(),
    )


def _evenly(feed: Fed) -> Fed:
    """At most so many samples of a feed as are judged."""
    if len(feed) <= MOST_JUDGED:
        return feed
    rows = torch.arange(MOST_JUDGED) * len(feed) // MOST_JUDGED
    return Feed(next(feed.chosen([rows])), feed.labels[rows])


def _teller(lesson: Lesson, number: int, tell: Callable[[float], None]) -> Callable[[int, float], None]:
    def after_step(step: int, _loss: float) -> None:
        tell(((number - 1) * lesson.steps + step) / lesson.all_steps)

    return after_step
