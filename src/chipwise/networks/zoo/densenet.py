"""DenseNet-121, with torchvision's names of parameters.

G. Huang, Z. Liu, L. van der Maaten, K. Q. Weinberger: Densely Connected Convolutional Networks, arXiv:1608.06993.

>>> sum(isinstance(part, nn.Conv2d | nn.Linear) for part in densenet121(width=0.25).modules())
121
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from chipwise.networks.zoo.blocks import PooledTo, initialised, scaled

_BOTTLENECK = 4  # inner channels of a layer, in multiples of what it adds


class Layer(nn.Module):
    """Batch-norm, relu and convolution, 1x1 then 3x3; what they give is put behind what they read."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, _BOTTLENECK * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(_BOTTLENECK * growth)
        self.conv2 = nn.Conv2d(_BOTTLENECK * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] to [N, inputs + growth, H, W]."""
        inner = self.conv1(functional.relu(self.norm1(x)))
        return torch.cat((x, self.conv2(functional.relu(self.norm2(inner)))), 1)


def densenet121(num_classes: int = 1000, width: float = 1.0) -> nn.Module:
    """DenseNet-BC with 121 layers; takes [N, 3, H, W], gives scores [N, K]; `width` is a factor on the growth of 32."""
    return _densenet((6, 12, 24, 16), num_classes, width)


def _densenet(depths: tuple[int, ...], num_classes: int, width: float) -> nn.Module:
    growth = scaled(32, width)
    maps = 2 * growth
    features: dict[str, nn.Module] = {
        "conv0": nn.Conv2d(3, maps, 7, 2, 3, bias=False),
        "norm0": nn.BatchNorm2d(maps),
        "relu0": nn.ReLU(),
        "pool0": nn.MaxPool2d(3, 2, 1),
    }
    for index, depth in enumerate(depths, 1):
        if index > 1:
            features[f"transition{index - 1}"] = _transition(maps)
            maps //= 2
        layers = {f"denselayer{place + 1}": Layer(maps + place * growth, growth) for place in range(depth)}
        features[f"denseblock{index}"] = nn.Sequential(OrderedDict(layers))
        maps += depth * growth
    features["norm5"] = nn.BatchNorm2d(maps)
    parts = {
        "features": nn.Sequential(OrderedDict(features)),
        "relu": nn.ReLU(),
        "pool": PooledTo(1),
        "flatten": nn.Flatten(),
        "classifier": nn.Linear(maps, num_classes),
    }
    return initialised(nn.Sequential(OrderedDict(parts)))


def _transition(maps: int) -> nn.Module:
    """Half the channels, half the height, half the width."""
    parts = {
        "norm": nn.BatchNorm2d(maps),
        "relu": nn.ReLU(),
        "conv": nn.Conv2d(maps, maps // 2, 1, bias=False),
        "pool": nn.AvgPool2d(2),
    }
    return nn.Sequential(OrderedDict(parts))
