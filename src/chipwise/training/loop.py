"""One epoch of training steps. Everything random in it follows from the seed and the epoch's number.

>>> from chipwise.training.feed import Feed
>>> from chipwise.training.optimizer import build_optimizer
>>> from chipwise.training.settings import Settings
>>> module, settings = torch.nn.Linear(4, 2), Settings(epochs=1, batch_size=5, augment="none")
>>> feed = Feed(torch.zeros(10, 4), torch.zeros(10, dtype=torch.int64))
>>> run_epoch(Lesson(module, build_optimizer(module, settings), feed, settings), 1, lambda step, loss: None).loss < 2
True
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from chipwise.core.errors import GoalMissedError
from chipwise.training.augment import augmented
from chipwise.training.freeze import phase_at
from chipwise.training.objective import l1_penalty, loss_of
from chipwise.training.optimizer import rate_share, set_rate
from chipwise.training.seeds import seeded

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from chipwise.training.feed import Feed
    from chipwise.training.freeze import Frozen
    from chipwise.training.settings import Settings
    from chipwise.training.teacher import Teacher


# Of the loss of each auxiliary head, beside the network's own (Szegedy et al. 2014, section 5); the latter is reported.
_AUXILIARY_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Lesson:
    """What every epoch of a run uses.

    Attributes:
        module, optimizer: changed in place by each step.
        feed: the training split.
        settings: resolved: `epochs` is a number and `augment` a kind.
        layout, channels: of the pictures, for augmentation ("NCHW", "NHWC" or "flat").
        frozen: what is held in the epochs that `phase_at` says; None when nothing is.
        teacher: whose answers are learned besides the labels; None for labels alone.
        before_step: called with the number of each step, counted over all epochs from 0.
    """

    module: nn.Module
    optimizer: torch.optim.Optimizer
    feed: Feed
    settings: Settings
    layout: str = "NCHW"
    channels: int = 1
    frozen: Frozen | None = None
    teacher: Teacher | None = None
    before_step: Callable[[int], None] | None = None

    @property
    def batch(self) -> int:
        """Samples a step: the settings' batch size, or the whole split when it is smaller."""
        return min(self.settings.batch_size, len(self.feed))

    @property
    def steps(self) -> int:
        """Steps an epoch; the rest that fills no batch is left out, other samples each time."""
        return len(self.feed) // self.batch

    @property
    def all_steps(self) -> int:
        """Steps of the whole schedule."""
        return self.steps * (self.settings.epochs or 1)


@dataclass(frozen=True, slots=True)
class Trained:
    """Mean loss of an epoch's steps, the learning rate at its end, and the wall time of its steps."""

    loss: float
    learning_rate: float
    seconds: float


def run_epoch(lesson: Lesson, number: int, tell: Callable[[int, float], None]) -> Trained:
    """Train for one epoch.

    Args:
        lesson: what to train, and how.
        number: of the epoch, from 1.
        tell: called after each step with the steps done in this epoch and the mean loss so far.

    Raises:
        GoalMissedError: when the loss is not a number any more.
    """
    settings, total, rate = lesson.settings, 0.0, 0.0
    phase = phase_at(settings, number)
    lesson.module.train()
    if lesson.frozen is not None:
        lesson.frozen.hold() if phase.frozen else lesson.frozen.release()
    with seeded(settings.seed, "epoch", number):
        start = time.perf_counter()
        order = torch.randperm(len(lesson.feed))
        for step in range(lesson.steps):
            done = (number - phase.first) * lesson.steps + step
            rate = settings.learning_rate * rate_share(done, phase.epochs * lesson.steps, settings.schedule)
            set_rate(lesson.optimizer, rate)
            if lesson.before_step is not None:
                lesson.before_step((number - 1) * lesson.steps + step)
            loss = _step(lesson, order[step * lesson.batch : (step + 1) * lesson.batch])
            if not math.isfinite(loss):
                raise diverged(loss, f"in epoch {number}, step {step + 1} of {lesson.steps}", settings)
            total += loss
            tell(step + 1, total / (step + 1))
        seconds = time.perf_counter() - start
    lesson.optimizer.zero_grad(set_to_none=True)  # evaluation needs none
    return Trained(loss=total / lesson.steps, learning_rate=rate, seconds=seconds)


def _step(lesson: Lesson, chosen: Tensor) -> float:
    settings = lesson.settings
    lesson.optimizer.zero_grad(set_to_none=True)  # before new activations are made, so that these find the room
    inputs = lesson.feed.inputs.index_select(0, chosen)
    inputs = augmented(inputs, str(settings.augment), lesson.layout, lesson.channels)
    labels = lesson.feed.labels[chosen]
    parts = math.ceil(len(labels) / (settings.micro_batch or len(labels)))
    loss = sum(
        _learn(lesson, part, right, len(right) / len(labels))
        for part, right in zip(inputs.tensor_split(parts), labels.tensor_split(parts), strict=True)
    )
    lesson.optimizer.step()
    return loss


def _learn(lesson: Lesson, inputs: Tensor, labels: Tensor, share: float) -> float:
    """Add the gradient of a part of a batch, of which it is `share`, and give its share of the loss."""
    settings = lesson.settings
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=settings.precision == "bf16"):
        given = lesson.module(inputs)
    loss, *auxiliary = (
        loss_of(scores.float(), labels, settings.loss, label_smoothing=settings.label_smoothing)
        for scores in (given if isinstance(given, tuple) else (given,))
    )
    whole = sum((_AUXILIARY_SHARE * part for part in auxiliary), loss)
    if lesson.teacher is not None:
        scores = given[0] if isinstance(given, tuple) else given
        whole = lesson.teacher.loss(inputs, scores.float(), whole)
    if settings.l1:
        whole = whole + l1_penalty(lesson.module, settings.l1)
    (share * whole if share < 1 else whole).backward()  # type: ignore[no-untyped-call]
    return share * loss.item()


def diverged(loss: float, where: str, settings: Settings) -> GoalMissedError:
    """Build the error for a loss that is not a number any more."""
    lower = f"lower the learning rate (now {settings.learning_rate:g})"
    return GoalMissedError(
        f"training diverged: the loss became {loss} {where}",
        hint=lower if settings.precision == "fp32" else f"{lower}, or train in fp32",
    )
