"""Two plain networks of any number of parameters, for what depends on size alone: `crossover` trains them.

>>> width = width_for("mlp", 1_000_000)
>>> sum(value.numel() for value in mlp(width).parameters()) == parameters_of("mlp", width)
True
"""

from __future__ import annotations

import math
from itertools import pairwise

from torch import nn

from chipwise.core.network import Network, Source, TensorSpec
from chipwise.networks.source_digest import source_digest

CLASSES = 10
_FLAT = 784
_CHANNELS, _SIDE = 3, 32
_GROWTH = (1, 2, 4, 4)  # channels of the four convolutions, times the width
_LAST: int = (_SIDE // 2 ** len(_GROWTH)) ** 2  # positions that are left
INPUTS: dict[str, tuple[int, ...]] = {"mlp": (_FLAT,), "cnn": (_CHANNELS, _SIDE, _SIDE)}


def mlp(width: int) -> nn.Module:
    """784-width-width-10 with relu; takes [N, 784], gives scores [N, 10]."""
    layers = (nn.Linear(_FLAT, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, CLASSES))
    return nn.Sequential(*layers)


def cnn(width: int) -> nn.Module:
    """Four convolutions of 3 x 3 with relu, each halved by pooling; takes [N, 3, 32, 32], gives scores [N, 10]."""
    layers: list[nn.Module] = []
    for given, made in pairwise((_CHANNELS, *(width * growth for growth in _GROWTH))):
        layers += [nn.Conv2d(given, made, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(width * _GROWTH[-1] * _LAST, CLASSES))


def parameters_of(net: str, width: int) -> int:
    """Trainable values of `mlp` or `cnn` of a width."""
    if net == "mlp":
        return (_FLAT + 1) * width + (width + 1) * width + (width + 1) * CLASSES
    steps = pairwise((_CHANNELS, *(width * growth for growth in _GROWTH)))
    convolutions = sum((9 * given + 1) * made for given, made in steps)
    return convolutions + (width * _GROWTH[-1] * _LAST + 1) * CLASSES


def width_for(net: str, parameters: float) -> int:
    """The width, at least 1, whose number of parameters is nearest to that, as a ratio."""
    low, high = 1, 2
    while parameters_of(net, high) < parameters:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if parameters_of(net, middle) < parameters else (low, middle)
    return min((low, high), key=lambda width: abs(math.log(parameters_of(net, width) / parameters)))


def sized(net: str, width: int) -> Network:
    """The network of that width, with fresh weights."""
    source = Source(f"{__name__}:{net}", {"width": width})
    inputs = (TensorSpec("input", ("batch", *INPUTS[net])),)
    return Network(f"{net} of width {width}", inputs, source=source, digest=source_digest(source), origin=net)
