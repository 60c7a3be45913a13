"""Tiny networks that processes build by name."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Mean(nn.Module):
    """Over the sequence."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


class Dice(nn.Module):
    """Random in training, and no layer of torch's that could be turned off."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand_like(x)


class Branch(nn.Module):
    """No chain of layers."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(6, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x + self.body(x))


class Burst(nn.Module):
    """In the third step of training the gradient overflows, in the first process only."""

    def __init__(self) -> None:
        super().__init__()
        self.step = 0

    def forward(self, x: Tensor) -> Tensor:
        self.step += self.training
        if x.requires_grad and self.step == 3 and not (dist.is_initialized() and dist.get_rank()):
            x.register_hook(lambda gradient: gradient * float("inf"))
        return x * 1


def bursting() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), Burst(), nn.Flatten(), nn.Linear(144, 3))


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 12), nn.Tanh(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3)
    )


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3)
    )


def pictures() -> nn.Module:
    """Strides, uneven sizes, dilation, two kinds of pooling, a batch-norm, groups: all that regions must get right."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.Conv2d(4, 4, (3, 2), padding=(2, 1), dilation=(2, 1), groups=2)),
        nn.Tanh(),
        nn.AvgPool2d(2, 1, 1),
        nn.Conv2d(4, 2, 3, stride=(3, 2), bias=False),
        nn.Flatten(),
        nn.Linear(12, 3),
    )


class Residual(nn.Module):
    """Two convolutions that no Sequential holds."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(torch.tanh(self.first(x)))


def channels(*, norms: bool = False) -> nn.Module:
    """A pair with pooling and groups between, convolutions that stand alone, groups, and one that is left whole."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8) if norms else nn.Identity(),
        nn.ReLU(),
        nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.BatchNorm2d(8) if norms else nn.Identity(), nn.MaxPool2d(2)),
        nn.Conv2d(8, 4, 3, padding=1),
        nn.BatchNorm2d(4) if norms else nn.Identity(),
        Residual(4),
        nn.Conv2d(4, 8, 2, groups=4),
        nn.LocalResponseNorm(3),
        nn.Conv2d(8, 3, 2),
        nn.Flatten(),
        nn.Linear(6, 8),
        nn.ReLU(),
        nn.Linear(8, 3),
    )


def normed_channels() -> nn.Module:
    """The same with batch-norms, in the pair and behind it."""
    return channels(norms=True)


def transformer() -> nn.Module:
    def layer() -> nn.Module:
        return nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    return nn.Sequential(nn.Linear(5, 8), layer(), layer(), Mean(), nn.Linear(8, 3))


def deep() -> nn.Module:
    """Eight pairs of layers, for eight stages and eight parts."""
    layers: list[nn.Module] = []
    for _ in range(8):
        layers += [nn.Linear(16, 16), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(16, 3))


def dice() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 8), Dice(), nn.Linear(8, 3))


def tied() -> nn.Module:
    module = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 3))
    module[2].weight = module[0].weight
    return module


def mlp_twelve() -> nn.Module:
    module = mlp()
    module.example_input = torch.zeros(1, 12)
    return module


def normed() -> nn.Module:
    """A batch-norm in front of a pair of Linear layers, for 8x8 pictures of three classes.

    Without a bias in front of it, whose gradient is all rounding, of which Adam makes steps.
    """
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(216, 16),
        nn.ReLU(),
        nn.Linear(16, 3),
    )


def paired() -> nn.Module:
    """Two convolutions that are cut as a pair, a batch-norm with them; for the same pictures."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 6, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(96, 3),
    )


def plain() -> nn.Module:
    """The same without its batch-norm, which pipelines do not take."""
    return nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(216, 16), nn.ReLU(), nn.Linear(16, 3))


def dropped() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 16), nn.Dropout(0.3), nn.Linear(16, 3)
    )


def dropped_channels() -> nn.Module:
    """Dropout between two convolutions, which is drawn for all channels alike, so that they are no pair; and behind."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.Dropout2d(0.3),
        nn.Conv2d(8, 4, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(64, 3),
    )


SHAPES = {
    "mlp": (12,),
    "cnn": (1, 6, 6),
    "transformer": (4, 5),
    "deep": (16,),
    "dice": (12,),
    "tied": (4,),
    "pictures": (1, 13, 11),
    "channels": (1, 10, 8),
    "normed_channels": (1, 10, 8),
}
