"""ResNet for CIFAR's 32x32 pictures; names of parameters are those of akamaster/pytorch_resnet_cifar10.

K. He, X. Zhang, S. Ren, J. Sun: Deep Residual Learning for Image Recognition, arXiv:1512.03385, section 4.2.

>>> sum(parameter.numel() for parameter in resnet20().parameters())
269722
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional

from chipwise.networks.zoo.blocks import PooledTo, initialised, scaled
from chipwise.networks.zoo.resnet import Block


class Halved(nn.Module):
    """The paper's shortcut A, without parameters: every other row and column, and zeros for the new channels."""

    def __init__(self, more: int) -> None:
        super().__init__()
        self.edges = (more // 2, more - more // 2)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to [N, C + more, H / 2, W / 2], half of the new channels before the old ones."""
        return functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, *self.edges))


def resnet20(num_classes: int = 10, width: float = 1.0) -> nn.Module:
    """20 layers; takes [N, 3, H, W], gives scores [N, K]."""
    return _resnet(3, num_classes, width)


def resnet32(num_classes: int = 10, width: float = 1.0) -> nn.Module:
    """32 layers; takes [N, 3, H, W], gives scores [N, K]."""
    return _resnet(5, num_classes, width)


def resnet44(num_classes: int = 10, width: float = 1.0) -> nn.Module:
    """44 layers; takes [N, 3, H, W], gives scores [N, K]."""
    return _resnet(7, num_classes, width)


def resnet56(num_classes: int = 10, width: float = 1.0) -> nn.Module:
    """56 layers; takes [N, 3, H, W], gives scores [N, K]."""
    return _resnet(9, num_classes, width)


def resnet110(num_classes: int = 10, width: float = 1.0) -> nn.Module:
    """110 layers; takes [N, 3, H, W], gives scores [N, K]."""
    return _resnet(18, num_classes, width)


def _resnet(depth: int, num_classes: int, width: float) -> nn.Module:
    inputs = scaled(16, width, step=4)
    parts: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(3, inputs, 3, padding=1, bias=False),
        "bn1": nn.BatchNorm2d(inputs),
        "relu": nn.ReLU(),
    }
    for stage in range(3):
        maps = scaled(16 << stage, width, step=4)
        first = Block(inputs, maps, 2, False, Halved(maps - inputs)) if stage else Block(inputs, maps, 1, False, None)
        parts[f"layer{stage + 1}"] = nn.Sequential(
            first, *(Block(maps, maps, 1, False, None) for _ in range(depth - 1))
        )
        inputs = maps
    parts |= {"avgpool": PooledTo(1), "flatten": nn.Flatten(), "linear": nn.Linear(inputs, num_classes)}
    return initialised(nn.Sequential(OrderedDict(parts)))
