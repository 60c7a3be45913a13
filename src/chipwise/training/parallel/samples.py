"""Batches that both trainings see: random ones of a network's shape, or drawn from a data set."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import torch

from chipwise.core.errors import NetworkError
from chipwise.training.feed import feed_of
from chipwise.training.parallel.likeness import classes_of, made_repeatable
from chipwise.training.seeds import seeded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from chipwise.core.network import Network, TensorSpec
    from chipwise.datasets.dataset import Dataset


def random_samples(
    module: nn.Module, specs: Sequence[TensorSpec], shape: tuple[int, int], seed: int
) -> tuple[Tensor, Tensor]:
    """Normal inputs float64 [steps, batch, ...] and labels int64 [steps, batch] among the classes that a network gives.

    Args:
        module: becomes repeatable.
        specs: what it takes.
        shape: steps, and samples a step.
        seed: of both.

    Raises:
        NetworkError: it takes several inputs, or none of floats; or see `classes_of`.
    """
    if len(specs) != 1 or not specs[0].dtype.startswith("float"):
        taken = ", ".join(spec.form for spec in specs)
        raise NetworkError(f"random samples are for one input of floats, and the network takes {taken}")
    with seeded(seed, "samples"):
        inputs = torch.randn(*shape, *specs[0].concrete()[1:], dtype=torch.float64)
        classes = classes_of(made_repeatable(module)[0], inputs[0, :2])
        return inputs, torch.randint(0, classes, shape)


def drawn_samples(dataset: Dataset, network: Network, shape: tuple[int, int], seed: int) -> tuple[Tensor, Tensor]:
    """Samples of the training split in random order, again from the beginning where they are too few.

    Raises:
        DataError: the data do not fit the network.
    """
    (inputs, labels), order = drawn_order(dataset, network, shape, seed)
    return inputs[order].double(), labels[order]


def drawn_order(
    dataset: Dataset, network: Network, shape: tuple[int, int], seed: int
) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """All samples of the training split with their labels, and which of them each step takes, as `drawn_samples`.

    Args:
        dataset: with labels.
        network: that takes the samples.
        shape: steps, and samples a step.
        seed: of the order.

    Returns:
        inputs [n, ...] and labels int64 [n]; and numbers of samples, int64 [steps, batch].

    Raises:
        DataError: the data do not fit the network.
    """
    feed = feed_of(dataset.split().train, network, what="training")
    with seeded(seed, "samples"):
        order = torch.randperm(len(feed))
    return (feed.inputs, feed.labels), order[torch.arange(prod(shape)) % len(feed)].view(shape)
