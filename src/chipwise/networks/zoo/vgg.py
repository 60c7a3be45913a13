"""VGG: 3x3 convolutions in five stages, then three dense layers. Names of parameters are torchvision's.

K. Simonyan, A. Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition, arXiv:1409.1556.

>>> sum(isinstance(part, nn.Conv2d) for part in vgg16(width=0.125).modules())
13
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from chipwise.networks.zoo.blocks import PooledTo, initialised, scaled

_MAPS = (64, 128, 256, 512, 512)


def vgg11(num_classes: int = 1000, width: float = 1.0) -> nn.Module:
    """Configuration A; takes [N, 3, H, W] from 32x32 on, gives scores [N, K]."""
    return _vgg((1, 1, 2, 2, 2), num_classes, width)


def vgg13(num_classes: int = 1000, width: float = 1.0) -> nn.Module:
    """Configuration B; takes [N, 3, H, W] from 32x32 on, gives scores [N, K]."""
    return _vgg((2, 2, 2, 2, 2), num_classes, width)


def vgg16(num_classes: int = 1000, width: float = 1.0) -> nn.Module:
    """Configuration D; takes [N, 3, H, W] from 32x32 on, gives scores [N, K]."""
    return _vgg((2, 2, 3, 3, 3), num_classes, width)


def vgg19(num_classes: int = 1000, width: float = 1.0) -> nn.Module:
    """Configuration E; takes [N, 3, H, W] from 32x32 on, gives scores [N, K]."""
    return _vgg((2, 2, 4, 4, 4), num_classes, width)


def _vgg(depths: tuple[int, ...], num_classes: int, width: float) -> nn.Module:
    features: list[nn.Module] = []
    inputs = 3
    for depth, maps in zip(depths, _MAPS, strict=True):
        for _ in range(depth):
            features += [nn.Conv2d(inputs, scaled(maps, width), 3, padding=1), nn.ReLU()]
            inputs = scaled(maps, width)
        features.append(nn.MaxPool2d(2))
    hidden = scaled(4096, width)
    classifier = nn.Sequential(
        nn.Linear(inputs * 7 * 7, hidden),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(hidden, num_classes),
    )
    parts = {
        "features": nn.Sequential(*features),
        "avgpool": PooledTo(7),
        "flatten": nn.Flatten(),
        "classifier": classifier,
    }
    return initialised(nn.Sequential(OrderedDict(parts)))
