"""Backbones of detectors and segmenters: classifiers without their heads, whose inner maps are read.

>>> import torch
>>> [tuple(map.shape[1:]) for map in MobileNetV2Encoder((14,))(torch.zeros(1, 3, 64, 64))]
[(576, 4, 4), (1280, 2, 2)]
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from chipwise.networks.zoo.blocks import scaled
from chipwise.networks.zoo.mobilenet import mobilenet_v1, mobilenet_v2
from chipwise.networks.zoo.resnet import resnet50


class MobileNetV1Encoder(nn.Module):
    """MobileNet v1's maps after the 11th and the 13th separable convolution, strides 16 and 32."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.features = mobilenet_v1(width=width).get_submodule("features")
        self.channels = (scaled(512, width), scaled(1024, width))

    def forward(self, x: Tensor) -> list[Tensor]:
        """[N, 3, H, W] to [N, 512, H / 16, W / 16] and [N, 1024, H / 32, W / 32], for a width of 1."""
        maps = []
        for place, block in enumerate(self.features.children()):
            x = block(x)
            if place in (11, 13):
                maps.append(x)
        return maps


class MobileNetV2Encoder(nn.Module):
    """MobileNet v2's widened maps within some of its blocks, before they are halved, and its last map.

    Args:
        expanded: places of the blocks that are read after their first 1x1 convolution; each must halve its picture.
        last: place of the last block; 18 for the 1280 channels before the pooling.
        width: of the network.
    """

    def __init__(self, expanded: tuple[int, ...], last: int = 18, width: float = 1.0) -> None:
        super().__init__()
        blocks = list(mobilenet_v2(width=width).get_submodule("features").children())
        self.features = nn.Sequential(*blocks[: last + 1])
        self.expanded = expanded
        read = [blocks[place].get_submodule("conv.0.0") for place in expanded]
        self.channels = (*(_filters(part) for part in read), _filters(blocks[last]))

    def forward(self, x: Tensor) -> list[Tensor]:
        """[N, 3, H, W] to one map a block in `expanded`, and the last."""
        maps = []
        for place, block in enumerate(self.features.children()):
            if place in self.expanded:
                widen, *others = block.get_submodule("conv").children()
                x = widen(x)
                maps.append(x)
                for part in others:
                    x = part(x)
            else:
                x = block(x)
        return [*maps, x]


def resnet50_stages(last: int, width: float = 1.0) -> OrderedDict[str, nn.Module]:
    """ResNet-50's first layers by torchvision's names, up to `layer1`, ... or `layer4`."""
    layers = OrderedDict(resnet50(width=width).named_children())
    names = ["conv1", "bn1", "relu", "maxpool", *(f"layer{index}" for index in range(1, last + 1))]
    return OrderedDict((name, layers[name]) for name in names)


def unstride(stage: nn.Module, first: int, rest: int) -> None:
    """Let a ResNet stage keep the size of its picture; its 3x3 windows are dilated instead.

    Args:
        stage: bottlenecks, the first of which halves the picture.
        first: dilation of that one.
        rest: dilation of the others.
    """
    for place, block in enumerate(stage.children()):
        dilation = rest if place else first
        for name, part in block.named_modules():
            if isinstance(part, nn.Conv2d) and (name == "conv2" or name.startswith("downsample")):
                part.stride = (1, 1)
            if isinstance(part, nn.Conv2d) and name == "conv2":
                part.dilation = part.padding = (dilation, dilation)


def _filters(part: nn.Module) -> int:
    return [inner for inner in part.modules() if isinstance(inner, nn.Conv2d)][-1].out_channels


def enlarged(x: Tensor, like: Tensor, *, aligned: bool = False) -> Tensor:
    """[N, C, h, w] to the height and width of another map, bilinear; `aligned`: corners lie on corners."""
    size = [int(side) for side in like.shape[-2:]]
    return torch.nn.functional.interpolate(x, size=size, mode="bilinear", align_corners=aligned)
