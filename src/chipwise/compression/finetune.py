"""Epochs of training while a network is being made smaller: the training loop, with a teacher and a hand on each step.

>>> from chipwise.training.feed import Feed
>>> import torch
>>> feed = Feed(torch.randn(64, 4), torch.randint(0, 2, (64,)))
>>> settings = Settings(epochs=2, augment="none")
>>> len(finetune(torch.nn.Linear(4, 2), Lecture(feed, feed), settings).history)
2
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chipwise.core.events import Progress, silent
from chipwise.training.evaluate import evaluate
from chipwise.training.feed import as_fed
from chipwise.training.loop import Lesson, run_epoch
from chipwise.training.optimizer import build_optimizer
from chipwise.training.precision import scaler_of
from chipwise.training.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from chipwise.training.feed import Feed
    from chipwise.training.teacher import Teacher


@dataclass(frozen=True, slots=True)
class Lecture:
    """What is learned from.

    Attributes:
        train, validation: splits; the second chooses and is never learned from.
        layout, channels: of pictures, for augmentation.
        teacher: whose answers count besides the labels.
    """

    train: Feed
    validation: Feed
    layout: str = "NCHW"
    channels: int = 1
    teacher: Teacher | None = None


@dataclass(frozen=True, slots=True)
class Tuned:
    """How training went.

    Attributes:
        history: validation accuracy (0..1) after each epoch; kept: the one whose weights were kept, from 1.
        densities: share of the weights that were not pruned after each epoch; empty where masks did not change.
    """

    history: tuple[float, ...]
    kept: int
    densities: tuple[float, ...] = ()

    @property
    def accuracy(self) -> float:
        """Of the kept weights, on the validation split."""
        return self.history[self.kept - 1]


def finetune(
    module: nn.Module,
    lecture: Lecture,
    settings: Settings,
    *,
    before_step: Callable[[int], None] | None = None,
    settled_from: int = 1,
    progress: Progress = silent,
) -> Tuned:
    """Train a module in place; it ends with the last weights that did not do worse on validation than the best.

    Worse is by more than a standard error of the best accuracy (the rule of L. Breiman and others, "Classification and
    regression trees", 1984): the rate falls to nearly 0, and an early epoch that leads by an answer leads by luck.

    Args:
        module: gives scores [N, K].
        lecture: what it learns from.
        settings: with a number of epochs and a kind of augmentation.
        before_step: called with each step's number, from 0 over all epochs.
        settled_from: the first epoch, from 1, whose weights may be kept: before it, masks still change.
        progress: told after each epoch.

    Raises:
        GoalMissedError: the loss diverges.
    """
    lesson = Lesson(
        as_fed(module, channels_last=settings.channels_last),
        build_optimizer(module, settings),
        lecture.train,
        settings,
        lecture.layout,
        lecture.channels,
        teacher=lecture.teacher,
        before_step=before_step,
        scaler=scaler_of(settings.precision),
    )
    epochs, history = settings.epochs or 1, []
    best, kept = 0.0, 0
    weights: dict[str, Tensor] = {}
    for number in range(1, epochs + 1):
        run_epoch(lesson, number, _unheard)
        score = evaluate(module, lecture.validation.inputs, lecture.validation.labels)
        history.append(score.accuracy)
        progress.update("compress", number / epochs, f"epoch {number}/{epochs}, accuracy {score.accuracy:.2%}")
        if number < settled_from:
            continue
        best = max(best, score.accuracy)
        if score.accuracy >= best - math.sqrt(best * (1 - best) / len(lecture.validation)):
            kept, weights = number, copy.deepcopy(module.state_dict())
    assert kept, "the last epoch is settled"
    module.load_state_dict(weights)
    module.eval()
    return Tuned(tuple(history), kept)


def steps_of(lecture: Lecture, settings: Settings) -> int:
    """Steps of one epoch."""
    return len(lecture.train) // min(settings.batch_size, len(lecture.train))


def _unheard(_step: int, _loss: float) -> None:
    """What an epoch tells after each step."""
