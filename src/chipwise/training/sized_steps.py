"""Training steps of a network on random samples, for what depends on its size alone: what a step takes.

>>> module = torch.nn.Linear(4, 2)
>>> len(step_times(module, (4,), 2, step_settings(batch=8), budget_s=0.0))
5
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from chipwise.clock.interleave import interleave
from chipwise.core.events import Progress, silent
from chipwise.training.feed import Feed
from chipwise.training.loop import Lesson
from chipwise.training.optimizer import build_optimizer
from chipwise.training.precision import scaler_of
from chipwise.training.process import memory_kept, threads
from chipwise.training.settings import Settings
from chipwise.training.tuning.steps import step_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

OPTIMIZER = "adamw"
_BATCHES = 2  # of samples: a step's batch is cut out of them anew
_ROUNDS, _MOST_ROUNDS = 5, 30


def step_settings(batch: int, precision: str = "fp32", cores: int | None = None, seed: int = 0) -> Settings:
    """How these steps are trained: as `train` would, without variation of the samples.

    Args:
        batch: samples a step.
        precision: "fp32", or "bf16" for automatic mixed precision.
        cores: threads; None for torch's own choice.
        seed: of the samples and their order.
    """
    return Settings(
        optimizer=OPTIMIZER, batch_size=batch, epochs=1, augment="none", precision=precision, threads=cores, seed=seed
    )


def step_times(
    module: nn.Module,
    shape: tuple[int, ...],
    classes: int,
    settings: Settings,
    *,
    budget_s: float,
    progress: Progress = silent,
) -> NDArray[np.float64]:
    """Seconds of training steps: forward, backward, optimizer, and cutting the batch out of the data.

    Args:
        module: that is trained; its weights move a little.
        shape: of one sample.
        classes: that it tells apart.
        settings: as of `step_settings`.
        budget_s: wall time; five rounds are timed at least.
        progress: told how far it is.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    count = _BATCHES * settings.batch_size
    labels = torch.randint(classes, (count,), generator=generator)
    feed = Feed(torch.randn(count, *shape, generator=generator), labels)
    module.train()
    lesson = Lesson(module, build_optimizer(module, settings), feed, settings, scaler=scaler_of(settings.precision))
    with threads(settings.threads), memory_kept():
        samples = interleave(
            {"step": step_of(lesson)},
            budget_s=budget_s,
            min_rounds=_ROUNDS,
            max_rounds=_MOST_ROUNDS,
            progress=progress,
        )
    return samples["step"]
