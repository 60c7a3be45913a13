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
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from msgspec import UNSET, UnsetType
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from chipwise.training.augment import augmented, mixed
from chipwise.training.augmentations import mixup_alpha
from chipwise.training.divergence import broken_layer, diverged
from chipwise.training.freeze import phase_at
from chipwise.training.objective import l1_penalty, loss_of
from chipwise.training.optimizer import rate_share, set_rate
from chipwise.training.place import CPU, finished
from chipwise.training.precision import LEAST_SCALE, autocast, fp32_products, scaler_of, stepped, tell_scaling
from chipwise.training.seeds import seeded
from chipwise.training.watch import LAG
from chipwise.training.weights_on_disk import all_here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn
    from torch.amp import GradScaler
    from torch.optim.swa_utils import AveragedModel

    from chipwise.core.epoch import Scaling
    from chipwise.core.errors import GoalMissedError
    from chipwise.training.feed import Fed
    from chipwise.training.freeze import Frozen
    from chipwise.training.settings import Settings
    from chipwise.training.state_on_disk import StoredState
    from chipwise.training.teacher import Teacher
    from chipwise.training.watch import Watch
    from chipwise.training.weights_on_disk import StoredWeights

    Told = Callable[[], float]

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
        average: of the module's weights over the steps, brought up to date after each; None where nobody wants it.
        compiled: the module, compiled: what training steps run in its place; None for the module as it is.
        scaler: of the loss, as the settings' precision needs it.
        watch: looks at losses a step later; None where they are looked at in each.
        stored: the optimizer's state where that lies on disk; None where it is in memory.
        weights: of the module, where they lie on disk; None where all are in memory.
    """

    module: nn.Module
    optimizer: torch.optim.Optimizer
    feed: Fed
    settings: Settings
    layout: str = "NCHW"
    channels: int = 1
    frozen: Frozen | None = None
    teacher: Teacher | None = None
    before_step: Callable[[int], None] | None = None
    average: AveragedModel | None = None
    compiled: Callable[[Tensor], Any] | None = None
    scaler: GradScaler = field(default_factory=lambda: scaler_of("fp32"))
    watch: Watch | None = None
    stored: StoredState | None = None
    weights: StoredWeights | None = None

    @property
    def device(self) -> torch.device:
        """Where the module is, and what it learns goes; a stage of a pipeline may learn nothing."""
        first = next(self.module.parameters(), None)
        return CPU if first is None else first.device

    @property
    def taught(self) -> nn.Module:
        """What is validated and kept: the average where there is one."""
        return self.module if self.average is None else self.average.module

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
class Batch:
    """What a step learns: inputs [N, ...], labels [N], and if mixed, the others' and the share."""

    inputs: Tensor
    labels: Tensor
    others: Tensor
    share: float = 1.0

    def parts(self, most: int | None) -> Iterator[Batch]:
        """The same in parts of as many samples, or as nearly so as can be; None for all of it."""
        count = math.ceil(len(self.labels) / (most or len(self.labels)))
        pieces = (each.tensor_split(count) for each in (self.inputs, self.labels, self.others))
        return (Batch(inputs, labels, others, self.share) for inputs, labels, others in zip(*pieces, strict=True))

    def part(self, index: int, count: int) -> Batch:
        """One of so many parts of the same size."""
        inputs, labels, others = (each.chunk(count)[index] for each in (self.inputs, self.labels, self.others))
        return Batch(inputs, labels, others, self.share)


@dataclass(frozen=True, slots=True)
class Trained:
    """Mean loss of an epoch's steps, the learning rate at its end, the wall time of its steps, and what they waited.

    `wait_s` is the part of `seconds` until each batch was there, cut out of memory or come from the processes that read
    it, and varied: what a faster input would save. `scaling` is that of the loss, where it is scaled.
    """

    loss: float
    learning_rate: float
    seconds: float
    wait_s: float
    scaling: Scaling | UnsetType = UNSET


def learn_batch(lesson: Lesson, batch: Batch, where: str) -> Told:
    """Learn one batch, in parts where the settings say so; the module stays as it is where that would break it.

    Args:
        lesson: what learns.
        batch: what it learns.
        where: epoch and step, for errors.

    Returns:
        what gives the mean loss: at once, or, where the lesson has a watch, once the device has come so far; the error
        is then raised by it, and the module stays as it is until then.

    Raises:
        GoalMissedError: loss or, where it is clipped, the gradient is not finite; the error names the layer. A scaled
            gradient may overflow: the step is then left out.
    """
    lesson.optimizer.zero_grad(set_to_none=True)  # before new activations are made, so that these find the room
    learn = _learned_at_once if lesson.watch is None else _learned_watched
    with fp32_products(lesson.settings.precision, lesson.device):
        return learn(lesson, batch, where)


def run_epoch(
    lesson: Lesson,
    number: int,
    tell: Callable[[int, float], None],
    learn: Callable[[Lesson, Batch, str], Told] = learn_batch,
) -> Trained:
    """Train for one epoch.

    Args:
        lesson: what to train, and how.
        number: of the epoch, from 1.
        tell: called after each step with the steps done in this epoch and the mean loss so far.
        learn: takes a step with a batch of all samples, and gives what gives its mean loss.

    Raises:
        GoalMissedError: when the loss is not a number any more.
    """
    settings, rate, wait_s, skipped = lesson.settings, 0.0, 0.0, 0
    assert lesson.scaler.is_enabled() == (settings.precision == "fp16"), "a lesson has the scaler of its settings"
    phase = phase_at(settings, number)
    lesson.module.train()
    if lesson.frozen is not None:
        lesson.frozen.hold() if phase.frozen else lesson.frozen.release()
    means = _Means(tell)
    with seeded(settings.seed, "epoch", number, device=lesson.device):
        start = time.perf_counter()
        order = torch.randperm(len(lesson.feed))
        rows = torch.split(order, lesson.batch)[: lesson.steps]
        labels = torch.split(lesson.feed.labels[order].to(lesson.device), lesson.batch)
        inputs = lesson.feed.chosen(rows)
        for step in range(lesson.steps):
            done = (number - phase.first) * lesson.steps + step
            rate = settings.learning_rate * rate_share(done, phase.epochs * lesson.steps, settings.schedule)
            set_rate(lesson.optimizer, rate)
            if lesson.before_step is not None:
                lesson.before_step((number - 1) * lesson.steps + step)
            asked = time.perf_counter()
            batch = batch_of(lesson, next(inputs), labels[step])
            wait_s += time.perf_counter() - asked
            scale = lesson.scaler.get_scale()
            told = learn(lesson, batch, f"in epoch {number}, step {step + 1} of {lesson.steps}")
            skipped += lesson.scaler.get_scale() < scale
            means.add(told, later=0 if lesson.watch is None else LAG)
        means.add(later=0)
        finished(lesson.device)
        seconds = time.perf_counter() - start
    lesson.optimizer.zero_grad(set_to_none=True)  # evaluation needs none
    return Trained(means.total / lesson.steps, rate, seconds, wait_s, tell_scaling(lesson.scaler, skipped))


class _Means:
    """Adds losses up, some steps later than they were asked for.

    Args:
        tell: as of `run_epoch`.
    """

    def __init__(self, tell: Callable[[int, float], None]) -> None:
        self.total, self._count, self._tell = 0.0, 0, tell
        self._asked: deque[Told] = deque()

    def add(self, *told: Told, later: int) -> None:
        """Take what gives the loss of the next step, and have so many of the last ones left to look at."""
        self._asked.extend(told)
        while len(self._asked) > later:
            self.total += self._asked.popleft()()
            self._count += 1
            self._tell(self._count, self.total / self._count)


def batch_of(lesson: Lesson, given: Tensor, labels: Tensor) -> Batch:
    """The samples of a step, varied as the settings say; whole numbers, as pixels may be, are rounded again."""
    kinds = str(lesson.settings.augment)
    inputs = given if given.is_floating_point() else given.float()
    inputs = augmented(inputs, kinds, lesson.layout, lesson.channels)
    alpha, blend = mixup_alpha(kinds), None
    if alpha is not None:
        inputs, blend = mixed(inputs, alpha)
    if not given.is_floating_point():
        inputs = inputs.round().to(given.dtype)
    return Batch(inputs, labels, labels) if blend is None else Batch(inputs, labels, labels[blend.others], blend.share)


def _learned_at_once(lesson: Lesson, batch: Batch, where: str) -> Told:
    """Take a step whose numbers are looked at before anything is done with them."""
    parts = batch.parts(lesson.settings.micro_batch)
    loss = sum(_learn(lesson, part, len(part.labels) / len(batch.labels), where) for part in parts)
    lesson.scaler.unscale_(lesson.optimizer)
    if lesson.settings.clip_norm is not None:
        _clip(lesson, batch, lesson.settings.clip_norm, where)
    taken = stepped(lesson.scaler, lesson.optimizer)
    if not taken and lesson.scaler.get_scale() < LEAST_SCALE:
        raise _broken(lesson, batch, float(_norm(_learning(lesson))), where)
    if taken and lesson.average is not None:
        lesson.average.update_parameters(lesson.module)
    return lambda: loss


def _learned_watched(lesson: Lesson, batch: Batch, where: str) -> Told:
    """Take a step without waiting for the device; what is not finite is found when the loss is asked for."""
    assert lesson.watch is not None
    settings, numbers = lesson.settings, []
    parts = [*batch.parts(settings.micro_batch)]
    shares = [len(part.labels) / len(batch.labels) for part in parts]
    for part, share in zip(parts, shares, strict=True):
        loss, whole = _losses(lesson, part)
        (share * whole if share < 1 else whole).backward()  # type: ignore[no-untyped-call]
        numbers += [loss, whole]
    if settings.clip_norm is not None:
        learning = _learning(lesson)
        numbers.append(_norm(learning))
        clip_grads_with_norm_(learning, settings.clip_norm, numbers[-1])
    read, losses = lesson.watch.see(numbers), 2 * len(parts)
    lesson.optimizer.step()
    if lesson.average is not None:
        lesson.average.update_parameters(lesson.module)

    def told() -> float:
        found = read()
        for place, value in enumerate(found[:losses]):
            _check_finite(lesson, parts[place // 2], value, where)
        if not all(map(math.isfinite, found[losses:])):
            lesson.optimizer.zero_grad(set_to_none=True)  # of a later step
            _losses(lesson, batch)[1].backward()  # type: ignore[no-untyped-call]
            raise _broken(lesson, batch, found[-1], where)
        return sum(share * loss for share, loss in zip(shares, found[:losses:2], strict=True))

    return told


def _check_finite(lesson: Lesson, part: Batch, value: float, where: str) -> None:
    """Refuse a loss that is not finite, and name the layer.

    Raises:
        GoalMissedError: it is not.
    """
    if not math.isfinite(value):
        with all_here(lesson.weights):
            layer = broken_layer(lesson.module, lambda: _losses(replace(lesson, compiled=None), part))
        raise diverged(value, where, lesson.settings, layer)


def _learn(lesson: Lesson, part: Batch, share: float, where: str) -> float:
    """Add the gradient of a part of a batch, of which it is `share`, and give its share of the loss."""
    loss, whole = _losses(lesson, part)
    for value in (loss, whole):
        _check_finite(lesson, part, value.item(), where)
    lesson.scaler.scale(share * whole if share < 1 else whole).backward()  # type: ignore[no-untyped-call]
    return share * loss.item()


def _clip(lesson: Lesson, batch: Batch, most: float, where: str) -> None:
    """Make the gradient of all weights together no longer than that."""
    learning = _learning(lesson)
    norm = _norm(learning) if lesson.weights is None else lesson.weights.norm()
    if math.isfinite(norm):
        clip_grads_with_norm_(learning, most, norm)
        if lesson.weights is not None:
            lesson.weights.clip(most, norm)
    elif not lesson.scaler.is_enabled():  # else it overflowed, and nothing is learned of it
        raise _broken(lesson, batch, float(norm), where)


def _learning(lesson: Lesson) -> list[nn.Parameter]:
    return [value for value in lesson.module.parameters() if value.grad is not None]


def _norm(learning: list[nn.Parameter]) -> Tensor:
    return get_total_norm([value.grad for value in learning if value.grad is not None])


def _broken(lesson: Lesson, batch: Batch, norm: float, where: str) -> GoalMissedError:
    """The error for a gradient whose norm is not finite."""
    with all_here(lesson.weights):
        layer = broken_layer(lesson.module, lambda: _losses(replace(lesson, compiled=None), batch))
    return diverged(norm, where, lesson.settings, layer, what="norm of the gradient")


def losses_of(given: Any, batch: Batch, settings: Settings) -> tuple[Tensor, Tensor]:
    """The loss of the scores, which is reported, and with it those of auxiliary heads, where there are some.

    Args:
        given: what the module gives in training: scores [N, K], or several of them, its own first.
        batch: its labels, and how they are mixed; inputs are not looked at.
        settings: kind of the loss.
    """
    loss, *auxiliary = (
        _labels_loss(scores.float(), batch, settings) for scores in (given if isinstance(given, tuple) else (given,))
    )
    return loss, sum((_AUXILIARY_SHARE * part for part in auxiliary), loss)


def _losses(lesson: Lesson, batch: Batch) -> tuple[Tensor, Tensor]:
    """The loss of the scores alone, which is reported, and of all that is made small."""
    settings = lesson.settings
    with autocast(settings.precision, batch.inputs.device):
        given = (lesson.compiled or lesson.module)(batch.inputs)
    loss, whole = losses_of(given, batch, settings)
    if lesson.teacher is not None:
        scores = given[0] if isinstance(given, tuple) else given
        whole = lesson.teacher.loss(batch.inputs, scores.float(), whole)
    if settings.l1:
        whole = whole + l1_penalty(lesson.module, settings.l1)
    return loss, whole


def _labels_loss(scores: Tensor, batch: Batch, settings: Settings) -> Tensor:
    """The loss for labels; for mixed ones the mixture of both losses, which is that of the mixed targets."""

    def loss(labels: Tensor) -> Tensor:
        return loss_of(scores, labels, settings.loss, label_smoothing=settings.label_smoothing)

    if batch.share == 1:
        return loss(batch.labels)
    return batch.share * loss(batch.labels) + (1 - batch.share) * loss(batch.others)
