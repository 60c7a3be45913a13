"""Darknet-19 and Darknet-53, and the units that Darknet's networks are made of.

J. Redmon, A. Farhadi: YOLO9000: Better, Faster, Stronger, 2016 (Darknet-19); YOLOv3: An Incremental Improvement, 2018
(Darknet-53). Shapes follow darknet19.cfg and darknet53.cfg of github.com/pjreddie/darknet. Convolutions are registered
in the order of the cfg, so that a .weights file can be read into `state_dict()` from front to back.

>>> sum(parameter.numel() for parameter in darknet19().parameters())
20842376
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

# Darknet adds .000001 where it normalises (src/blas.c, normalize_cpu); torch's own default is 1e-5.
EPSILON = 1e-6

# Of what a residual block adds at first. With Darknet's 1.0 the signal doubles in energy in each of 23 blocks before
# batch-norm has seen any data.
_BRANCH = 0.25

# Filters of the convolutions between two poolings of Darknet-19; 3x3 and 1x1 take turns.
_STAGES_19 = (
    *((32,), (64,), (128, 64, 128), (256, 128, 256)),
    *((512, 256, 512, 256, 512), (1024, 512, 1024, 512, 1024)),
)
# Filters and residual blocks of Darknet-53's stages, each of which halves the picture first.
_STAGES_53 = ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4))


def scaled(filters: int, width: float) -> int:
    """Filters of a narrower or wider network: a multiple of 8, at least 8."""
    return max(8, int(filters * width / 8 + 0.5) * 8)


class ConvUnit(nn.Module):
    """A [convolutional] section with batch_normalize=1: convolution, batch-norm, activation."""

    def __init__(
        self, given: int, made: int, size: int, stride: int = 1, activation: Literal["leaky", "mish"] = "leaky"
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(given, made, size, stride, size // 2, bias=False)
        self.norm = nn.BatchNorm2d(made, eps=EPSILON)
        self.activation = nn.Mish() if activation == "mish" else nn.LeakyReLU(0.1)
        nn.init.kaiming_normal_(self.conv.weight, a=0.1, nonlinearity="leaky_relu")

    def forward(self, x: Tensor) -> Tensor:
        """[N, given, H, W] to [N, made, H / stride, W / stride]."""
        result: Tensor = self.activation(self.norm(self.conv(x)))
        return result


class Residual(nn.Module):
    """1x1 and 3x3 convolution, then the input added: two [convolutional] sections and a [shortcut]."""

    def __init__(self, channels: int, inner: int, activation: Literal["leaky", "mish"] = "leaky") -> None:
        super().__init__()
        self.narrow = ConvUnit(channels, inner, 1, activation=activation)
        self.wide = ConvUnit(inner, channels, 3, activation=activation)
        nn.init.constant_(self.wide.norm.weight, _BRANCH)

    def forward(self, x: Tensor) -> Tensor:
        """Shape is kept."""
        result: Tensor = x + self.wide(self.narrow(x))
        return result


class SteadyMaxPool(nn.Module):
    """Darknet's [maxpool] of size 2 and stride 1: one column and row more on the right and below, so the shape is kept.

    What is added repeats the border, which changes no maximum, and unlike minus infinity has a range that a quantizer
    can use.
    """

    kernel_size = 2
    stride = 1

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W], kept."""
        return functional.max_pool2d(functional.pad(x, (0, 1, 0, 1), mode="replicate"), 2, 1)


class Reorg(nn.Module):
    """Darknet's [reorg] with stride 2, as its `reorg_cpu` really does it.

    The map [C, H, W] is read as if it were [C / 4, 2H, 2W]; the four pixels of each 2x2 square of that are taken apart,
    and what comes out is read as [4C, H / 2, W / 2]. Trained weights rely on just this order.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to [N, 4C, H / 2, W / 2]; C must be a multiple of 4, H and W even."""
        channels, height, width = x.shape[1:]
        squares = x.reshape(-1, channels // 4, height, 2, width, 2).permute(0, 3, 5, 1, 2, 4)
        return squares.reshape(-1, channels * 4, height // 2, width // 2)


def stages_19(width: float = 1.0) -> tuple[list[nn.Sequential], int]:
    """Darknet-19's convolutions, one block before each pooling and one after the last; and their last channels."""
    blocks, given = [], 3
    for filters in _STAGES_19:
        units = []
        for place, count in enumerate(filters):
            made = scaled(count, width)
            units.append(ConvUnit(given, made, 1 if place % 2 else 3))
            given = made
        blocks.append(nn.Sequential(*units))
    return blocks, given


def stages_53(width: float = 1.0) -> tuple[list[nn.Sequential], list[int]]:
    """Darknet-53's stem and five stages, at strides 1, 2, 4, 8, 16 and 32, and the channels of each."""
    channels = [scaled(32, width)]
    stages = [nn.Sequential(ConvUnit(3, channels[0], 3))]
    for filters, blocks in _STAGES_53:
        made, inner = scaled(filters, width), scaled(filters // 2, width)
        residuals = (Residual(made, inner) for _ in range(blocks))
        stages.append(nn.Sequential(ConvUnit(channels[-1], made, 3, 2), *residuals))
        channels.append(made)
    return stages, channels


def darknet19(num_classes: int = 1000, width: float = 1.0) -> nn.Module:
    """Darknet-19; takes [N, 3, 256, 256] (any multiple of 32 will do), gives scores [N, K] without the softmax."""
    stages, last = stages_19(width)
    layers: list[nn.Module] = []
    for stage in stages:
        layers += [stage, nn.MaxPool2d(2)]
    layers[-1] = _scores(last, num_classes)  # in the place of a sixth pooling
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def darknet53(num_classes: int = 1000, width: float = 1.0) -> nn.Module:
    """Darknet-53; takes [N, 3, 256, 256] (any multiple of 32 will do), gives scores [N, K] without the softmax."""
    stages, channels = stages_53(width)
    return nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), _scores(channels[-1], num_classes), nn.Flatten())


def _scores(channels: int, classes: int) -> nn.Conv2d:
    layer = nn.Conv2d(channels, classes, 1)
    nn.init.normal_(layer.weight, std=0.01)
    if layer.bias is not None:
        torch.nn.init.zeros_(layer.bias)
    return layer
