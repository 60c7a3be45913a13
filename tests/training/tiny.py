"""A training run that takes a fraction of a second, for tests; run as a script it is killed on the way.

    python tests/training/tiny.py FOLDER WHEN [PRECISION CLIP_NORM DISK]

WHEN is a number (SIGKILL before that training step) or "write-N" (SIGKILL inside the N-th checkpoint write).
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from chipwise.core.network import Network, Source, TensorSpec
from chipwise.core.report import Training
from chipwise.core.task import Preprocess, Task
from chipwise.datasets.dataset import Dataset, make
from chipwise.training import train as trainer
from chipwise.training import weights_on_disk as on_disk
from chipwise.training.seeds import seeded
from chipwise.training.settings import Settings

SETTINGS = Settings(epochs=6, batch_size=16, learning_rate=0.01, threads=1, seed=5, augment="affine")
NETWORK = Network(
    "tiny",
    (TensorSpec("input", ("batch", 1, 8, 8)),),
    task=Task(preprocess=Preprocess(8, 8)),
    source=Source("tests.tiny:Tiny"),
    digest="d" * 64,
)


class Tiny(nn.Module):
    """Convolution, batch-norm, dropout: everything that a checkpoint must carry. `before` is called at each step."""

    def __init__(self, before: Callable[[int], None] | None = None) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(216, 3)
        )
        self.before = before
        self.steps = 0

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.steps += 1
            if self.before is not None:
                self.before(self.steps)
        return self.layers(x)


def tiny(before: Callable[[int], None] | None = None) -> Tiny:
    """A module with the same initial weights each time."""
    with seeded(1):
        return Tiny(before)


def pictures(count: int = 240) -> Dataset:
    """Noisy 8x8 pictures of three classes: a bright row, column or corner."""
    random = np.random.default_rng(0)
    labels = np.arange(count) % 3
    images = random.integers(0, 120, (count, 8, 8), dtype=np.uint8)
    images[labels == 0, 2] += 100
    images[labels == 1, :, 5] += 100
    images[labels == 2, :3, :3] += 100
    return make("tiny pictures", images, labels, ("row", "column", "corner"))


def run(folder: Path, module: Tiny | None = None, settings: Settings = SETTINGS, *, fresh: bool = False) -> Training:
    """Train the tiny network."""
    return trainer.train(module or tiny(), NETWORK, pictures(), settings, folder, fresh=fresh)


def kill() -> None:
    """End this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def main(folder: str, when: str, precision: str = "fp32", clip_norm: str = "", disk: str = "") -> None:
    """Train until killed."""
    trainer._CHECKPOINT_SHARE = 1e9  # after every epoch, however short
    settings = dataclasses.replace(SETTINGS, precision=precision, clip_norm=float(clip_norm) if clip_norm else None)
    settings = dataclasses.replace(settings, state_on_disk=bool(disk), weights_on_disk=disk == "weights")
    if settings.weights_on_disk:
        on_disk.LARGE_WEIGHT = 200  # bytes
    if not when.startswith("write-"):
        run(Path(folder), tiny(lambda step: kill() if step == int(when) else None), settings)
    writes = 0
    whole = trainer.checkpoints.write_safetensors

    def torn(tensors: dict[str, Tensor], part: Path, header: dict[str, str]) -> None:
        nonlocal writes
        writes += 1
        whole(tensors, part, header)
        if writes == int(when.removeprefix("write-")):
            os.truncate(part, part.stat().st_size // 2)
            kill()

    trainer.checkpoints.write_safetensors = torn
    run(Path(folder), settings=settings)


if __name__ == "__main__":
    main(*sys.argv[1:])
