"""A network in the manner of VGG for pictures of 32x32: pairs of 3x3 convolutions with batch-norms, then one layer.

>>> import torch
>>> small_vgg()(torch.zeros(2, 3, 32, 32)).shape
torch.Size([2, 10])
"""

from __future__ import annotations

from torch import nn

_STAGES = (64, 128, 256)


def small_vgg(num_classes: int = 10) -> nn.Module:
    """Takes [N, 3, 32, 32], gives scores [N, classes]; 1.15 million parameters."""
    layers: list[nn.Module] = []
    before = 3
    for width in _STAGES:
        for _ in range(2):
            layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, num_classes))
