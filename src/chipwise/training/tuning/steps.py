"""Ways of computing a training step, side by side: each a call that does the next step on the user's own data.

All ways share the module of their layout: what is timed is how steps are computed, not what they learn, and so the rate
is so low that nothing moves far.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from chipwise.core.errors import ChipwiseError, first_line
from chipwise.core.tuning import TUNED
from chipwise.training.average import average_of
from chipwise.training.compiled import compiled
from chipwise.training.feed import Feed, as_fed, feed_of, layout_of, sent_to
from chipwise.training.loop import Batch, Lesson, batch_of, learn_batch
from chipwise.training.optimizer import build_optimizer, set_rate
from chipwise.training.place import CPU, finished
from chipwise.training.precision import scaler_of
from chipwise.training.watch import watch_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn

    from chipwise.core.network import Network
    from chipwise.core.tuning import Changes
    from chipwise.datasets.dataset import Dataset, Splits
    from chipwise.training.feed import Fed
    from chipwise.training.settings import Settings

    Call = Callable[[], object]

GENTLE = 1e-3  # of the learning rate
_FEWEST = 2  # samples: a batch-norm over one value cannot be trained


@dataclass(slots=True)
class Stand:
    """Where ways of training are tried.

    Attributes:
        module: with the weights to begin with; every way works on a copy.
        network: its preprocessing.
        splits: of the data, or of as much of it as is in memory.
        files: the whole training split, where its pictures stay in their files; None where it is in memory.
        device: that trains; copies of the module are made there.
        feeds: training samples as tensors in main memory, made so far; by layout, True for NHWC.
        sent: the same as the device gets them; by layout and way.
        modules: copies that steps are timed on, and the same compiled, made so far; by layout.
    """

    module: nn.Module
    network: Network
    splits: Splits
    files: Dataset | None = None
    device: torch.device = CPU
    feeds: dict[bool, Feed] = field(default_factory=dict)
    sent: dict[tuple[bool, str], Fed] = field(default_factory=dict)
    modules: dict[bool, tuple[nn.Module, Callable[[Tensor], Any] | None]] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        """Of the whole training split."""
        return len(self.splits.train if self.files is None else self.files)

    @property
    def pictured(self) -> bool:
        """Whether inputs have a layout to choose."""
        return self.feed(channels_last=False).inputs.ndim == 4

    def feed(self, *, channels_last: bool) -> Feed:
        """The training split in that layout, in main memory."""
        if False not in self.feeds:
            self.feeds[False] = feed_of(self.splits.train, self.network, what="training")
        if channels_last not in self.feeds:
            plain = self.feeds[False]
            self.feeds[True] = replace(plain, inputs=plain.inputs.contiguous(memory_format=torch.channels_last))
        return self.feeds[channels_last]

    def feed_for(self, settings: Settings) -> Fed:
        """The training split as these settings bring it to the device."""
        host = self.feed(channels_last=settings.channels_last)
        if self.device == CPU:
            return host
        key = settings.channels_last, settings.feeding
        if key not in self.sent:
            self.sent[key] = sent_to(self.device, host, settings.feeding)
        return self.sent[key]

    def fresh(self, settings: Settings, feed: Fed | None = None) -> Lesson:
        """A lesson that begins with the initial weights, run as it is; on other samples than all where `feed` says."""
        return self._lesson(copy.deepcopy(self.module), settings, feed)

    def timed(self, settings: Settings) -> Lesson:
        """A lesson to time: its weights are anybody's.

        Raises:
            MachineError: it shall be compiled, and there is no compiler.
        """
        module, quick = self.modules.get(settings.channels_last, (None, None))
        module = copy.deepcopy(self.module) if module is None else module
        lesson = self._lesson(module, settings, None)
        quick = compiled(lesson.module, self.device) if settings.compiled and quick is None else quick
        self.modules[settings.channels_last] = (lesson.module, quick)
        return replace(lesson, compiled=quick if settings.compiled else None)

    def _lesson(self, module: nn.Module, settings: Settings, feed: Fed | None) -> Lesson:
        as_fed(module.to(self.device), channels_last=settings.channels_last)
        module.train()
        average = None if settings.ema is None else average_of(module, settings.ema)
        layout, channels = layout_of(self.network)
        given = self.feed_for(settings) if feed is None else feed
        optimizer, scaler = build_optimizer(module, settings), scaler_of(settings.precision, self.device)
        watch = watch_of(optimizer, settings, self.device)
        return Lesson(module, optimizer, given, settings, layout, channels, average=average, scaler=scaler, watch=watch)


def step_of(lesson: Lesson) -> Call:
    """A call that does the next training step, with as many threads as the settings say."""
    chosen = _batches(lesson)
    set_rate(lesson.optimizer, GENTLE * lesson.settings.learning_rate)

    def step() -> None:
        use_threads(lesson.settings)
        learn_batch(lesson, next(chosen), "while steps were timed")()
        finished(lesson.device)

    return step


def timed_step(stand: Stand, settings: Settings) -> Call:
    """`step_of` a lesson to time; raises what that raises."""
    return step_of(stand.timed(settings))


def input_of(lesson: Lesson) -> Call:
    """A call that makes the next batch and does nothing with it."""
    chosen = _batches(lesson)

    def make() -> object:
        use_threads(lesson.settings)
        made = next(chosen)
        finished(lesson.device)
        return made

    return make


def update_of(lesson: Lesson) -> Call:
    """A call of the optimizer alone, with gradients that stay as they are; its weights change by nothing."""
    learn_batch(lesson, next(_batches(lesson)), "while steps were timed")()
    kept = [None if value.grad is None else value.grad.clone() for value in lesson.module.parameters()]
    set_rate(lesson.optimizer, 0.0)

    def update() -> None:
        use_threads(lesson.settings)
        for value, gradient in zip(lesson.module.parameters(), kept, strict=True):
            value.grad = gradient
        lesson.optimizer.step()
        finished(lesson.device)

    return update


def smallest(settings: Settings) -> Settings:
    """The same with hardly a sample in a step: what is left is the cost of starting operators, and of the optimizer."""
    return replace(settings, batch_size=_FEWEST, micro_batch=None, compiled=False)


def begun(make: Callable[[], Call]) -> tuple[Call | None, float, str]:
    """Prepare a call and make it once.

    Returns:
        the call, None where it fails; seconds of the first call, in which things may be compiled; and the reason.
    """
    start = time.perf_counter()
    try:
        call = make()
        call()
    except (ChipwiseError, RuntimeError, MemoryError) as error:  # what torch raises without a kernel, or without memory
        return None, time.perf_counter() - start, first_line(error)
    return call, time.perf_counter() - start, ""


def changes(settings: Settings, plain: Settings) -> Changes:
    """What of the settings that are tuned differs from those of the plain loop."""
    return {name: getattr(settings, name) for name in TUNED if getattr(settings, name) != getattr(plain, name)}


def _batches(lesson: Lesson) -> Iterator[Batch]:
    """One batch after another, of samples from all over the data, round and round in one order."""
    order = torch.randperm(len(lesson.feed), generator=torch.Generator().manual_seed(lesson.settings.seed))
    rows = torch.split(order, lesson.batch)[: lesson.steps]
    while True:
        for chosen, inputs in zip(rows, lesson.feed.chosen(rows), strict=True):
            yield batch_of(lesson, inputs, lesson.feed.labels[chosen].to(lesson.device))


def use_threads(settings: Settings) -> None:
    """Set torch's threads as the settings say; nothing happens where they are so."""
    if settings.threads is not None and torch.get_num_threads() != settings.threads:
        torch.set_num_threads(settings.threads)
