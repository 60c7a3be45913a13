"""ResNet for ImageNet, with torchvision's names of parameters and its stride in the 3x3 window ("v1.5").

K. He, X. Zhang, S. Ren, J. Sun: Deep Residual Learning for Image Recognition, arXiv:1512.03385.

>>> sum(parameter.numel() for parameter in resnet18(num_classes=10, width=0.25).parameters())
703386
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional

from chipwise.networks.zoo.blocks import PooledTo, initialised, scaled

_EXPANSION = 4  # of a bottleneck: its outputs over its inner channels


class Block(nn.Module):
    """Convolutions with batch-norm, added to their input: two of 3x3, or 1x1, 3x3, 1x1 where it is a bottleneck.

    Args:
        inputs: channels of what it reads.
        maps: inner channels.
        stride: of its 3x3 window.
        bottleneck: then it gives 4 times `maps` channels.
        shortcut: what the input passes through; None for the input itself.
    """

    def __init__(self, inputs: int, maps: int, stride: int, bottleneck: bool, shortcut: nn.Module | None) -> None:
        super().__init__()
        windows = ((maps, 1, 1), (maps, 3, stride), (_EXPANSION * maps, 1, 1))
        plan = windows if bottleneck else ((maps, 3, stride), (maps, 3, 1))
        for index, (outputs, kernel, step) in enumerate(plan, 1):
            self.add_module(f"conv{index}", nn.Conv2d(inputs, outputs, kernel, step, kernel // 2, bias=False))
            self.add_module(f"bn{index}", nn.BatchNorm2d(outputs))
            inputs = outputs
        self.depth = len(plan)
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] to [N, outputs, H / stride, W / stride]."""
        given = x if self.downsample is None else self.downsample(x)
        for index in range(1, self.depth + 1):
            x = self.get_submodule(f"bn{index}")(self.get_submodule(f"conv{index}")(x))
            x = functional.relu(x if index < self.depth else x + given)
        return x


def resnet18(num_classes: int = 1000, width: float = 1.0) -> nn.Module:
    """18 layers; takes [N, 3, H, W], gives scores [N, K]."""
    return _resnet((2, 2, 2, 2), False, num_classes, width)


def resnet34(num_classes: int = 1000, width: float = 1.0) -> nn.Module:
    """34 layers; takes [N, 3, H, W], gives scores [N, K]."""
    return _resnet((3, 4, 6, 3), False, num_classes, width)


def resnet50(num_classes: int = 1000, width: float = 1.0) -> nn.Module:
    """50 layers in bottlenecks; takes [N, 3, H, W], gives scores [N, K]."""
    return _resnet((3, 4, 6, 3), True, num_classes, width)


def resnet101(num_classes: int = 1000, width: float = 1.0) -> nn.Module:
    """101 layers in bottlenecks; takes [N, 3, H, W], gives scores [N, K]."""
    return _resnet((3, 4, 23, 3), True, num_classes, width)


def resnet152(num_classes: int = 1000, width: float = 1.0) -> nn.Module:
    """152 layers in bottlenecks; takes [N, 3, H, W], gives scores [N, K]."""
    return _resnet((3, 8, 36, 3), True, num_classes, width)


def _resnet(depths: tuple[int, ...], bottleneck: bool, num_classes: int, width: float) -> nn.Module:
    inputs = scaled(64, width)
    parts: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(3, inputs, 7, 2, 3, bias=False),
        "bn1": nn.BatchNorm2d(inputs),
        "relu": nn.ReLU(),
        "maxpool": nn.MaxPool2d(3, 2, 1),
    }
    for index, depth in enumerate(depths):
        maps, stride = scaled(64 << index, width), 1 if index == 0 else 2
        outputs = maps * (_EXPANSION if bottleneck else 1)
        blocks = []
        for place in range(depth):
            shortcut = _projection(inputs, outputs, stride) if place == 0 and (stride, inputs) != (1, outputs) else None
            blocks.append(Block(inputs, maps, stride if place == 0 else 1, bottleneck, shortcut))
            inputs = outputs
        parts[f"layer{index + 1}"] = nn.Sequential(*blocks)
    parts |= {"avgpool": PooledTo(1), "flatten": nn.Flatten(), "fc": nn.Linear(inputs, num_classes)}
    return initialised(nn.Sequential(OrderedDict(parts)))


def _projection(inputs: int, outputs: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
