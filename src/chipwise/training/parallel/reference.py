"""The same training in one process: plain torch, no strategy, its weights on disk after each step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import load_file, save_file
from torch import Tensor, nn, optim
from torch.nn import functional

from chipwise.training.parallel.job import DATA, reference_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.training.parallel.job import Job


def train_alone(module: nn.Module, job: Job, pieces: Sequence[int]) -> list[float]:
    """Train in this process, and leave the weights after each step in the job's folder.

    Args:
        module: with its initial weights; trained in place.
        job: its folder holds the batches.
        pieces: for each step, how many pieces its batch is taken in, one after another, their gradients averaged: 1,
            unless a batch-norm sees only its own piece in parallel, too.

    Returns:
        the mean loss of each step's batch, in nats.
    """
    folder = Path(job.folder)
    data = load_file(folder / DATA)
    optimizer = optim.SGD(module.parameters(), job.learning_rate, job.momentum, foreach=False)
    _keep(module, folder, 0)
    losses = []
    for step, count in enumerate(pieces):
        optimizer.zero_grad(set_to_none=True)
        losses.append(_learn(module, data["inputs"][step], data["labels"][step], count))
        optimizer.step()
        _keep(module, folder, step + 1)
    return losses


def _learn(module: nn.Module, inputs: Tensor, labels: Tensor, pieces: int) -> float:
    total = 0.0
    for given, wanted in zip(inputs.chunk(pieces), labels.chunk(pieces), strict=True):
        loss = functional.cross_entropy(module(given), wanted) / pieces
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    return total


def _keep(module: nn.Module, folder: Path, step: int) -> None:
    save_file({name: value.clone() for name, value in module.state_dict().items()}, folder / reference_file(step))
