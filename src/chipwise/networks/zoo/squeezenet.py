"""SqueezeNet 1.0 and 1.1, with torchvision's names of parameters.

F. N. Iandola et al.: SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and < 0.5MB model size,
arXiv:1602.07360; 1.1 is the authors' later release.

>>> sum(parameter.numel() for parameter in squeezenet1_1(num_classes=10, width=0.5).parameters())
184362
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from chipwise.networks.zoo.blocks import PooledTo, initialised, scaled

# Squeezed channels of the eight fire modules; each expands them to 4 times as many, once by 1x1 and once by 3x3.
_SQUEEZED = (16, 16, 32, 32, 48, 48, 64, 64)
_EXPANSION = 4


class Fire(nn.Module):
    """Few channels by 1x1, then many by 1x1 beside 3x3."""

    def __init__(self, inputs: int, squeezed: int) -> None:
        super().__init__()
        maps = _EXPANSION * squeezed
        self.squeeze = nn.Conv2d(inputs, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, maps, 1)
        self.expand3x3 = nn.Conv2d(squeezed, maps, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] to [N, 8 * squeezed, H, W]."""
        x = functional.relu(self.squeeze(x))
        return torch.cat((functional.relu(self.expand1x1(x)), functional.relu(self.expand3x3(x))), 1)


def squeezenet1_0(num_classes: int = 1000, width: float = 1.0) -> nn.Module:
    """Version 1.0; takes [N, 3, H, W], gives scores [N, K]."""
    first = scaled(96, width)
    return _squeezenet(nn.Conv2d(3, first, 7, 2), (0, 3, 7), num_classes, width)


def squeezenet1_1(num_classes: int = 1000, width: float = 1.0) -> nn.Module:
    """Version 1.1: a smaller first window and earlier pooling; takes [N, 3, H, W], gives scores [N, K]."""
    first = scaled(64, width)
    return _squeezenet(nn.Conv2d(3, first, 3, 2), (0, 2, 4), num_classes, width)


def _squeezenet(first: nn.Conv2d, pools: tuple[int, ...], num_classes: int, width: float) -> nn.Module:
    """Pooling stands before the fire modules of the places in `pools`."""
    features: list[nn.Module] = [first, nn.ReLU()]
    inputs = first.out_channels
    for place, maps in enumerate(_SQUEEZED):
        if place in pools:
            features.append(nn.MaxPool2d(3, 2, ceil_mode=True))
        squeezed = scaled(maps, width)
        features.append(Fire(inputs, squeezed))
        inputs = 2 * _EXPANSION * squeezed
    classifier = nn.Sequential(nn.Dropout(), nn.Conv2d(inputs, num_classes, 1), nn.ReLU(), PooledTo(1))
    parts = {"features": nn.Sequential(*features), "classifier": classifier, "flatten": nn.Flatten()}
    return initialised(nn.Sequential(OrderedDict(parts)))
