"""The networks whose training `scaling.py` measures, which processes make by name: few weights, and many."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

BATCH, CLASSES = 64, 10
SHAPES: dict[str, tuple[int, ...]] = {"cnn": (3, 32, 32), "mlp": (784,)}


def cnn() -> nn.Module:
    """Few weights, much arithmetic: four convolutions."""
    widths = (3, 32, 64, 64, 128)
    layers: list[nn.Module] = []
    for given, made in pairwise(widths):
        layers += [nn.Conv2d(given, made, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, CLASSES))


def mlp() -> nn.Module:
    """Many weights, little arithmetic: 3.6 million of them."""
    layers = (nn.Linear(784, 1536), nn.ReLU(), nn.Linear(1536, 1536), nn.ReLU(), nn.Linear(1536, CLASSES))
    return nn.Sequential(*layers)


NETWORKS = {"cnn": cnn, "mlp": mlp}


def samples(network: str, count: int) -> tuple[Tensor, Tensor]:
    """Random inputs and labels."""
    return torch.randn(count, *SHAPES[network]), torch.randint(0, CLASSES, (count,))
