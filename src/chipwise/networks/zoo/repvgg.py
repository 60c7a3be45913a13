"""RepVGG: three branches in training that can be written as one 3x3 convolution.

Names of parameters are the authors' (github.com/DingXiaoH/RepVGG).

X. Ding et al.: RepVGG: Making VGG-style ConvNets Great Again, arXiv:2101.03697.

>>> sum(parameter.numel() for parameter in repvgg_a0(deploy=1).parameters())
8309384
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional

from chipwise.networks.zoo.blocks import PooledTo, initialised, scaled

_A, _B = (2, 4, 14, 1), (4, 6, 16, 1)  # blocks in each stage


class Branched(nn.Module):
    """A block in training: 3x3 and 1x1 with batch-norm each, and the batch-normed input where it fits."""

    def __init__(self, inputs: int, maps: int, stride: int) -> None:
        super().__init__()
        self.rbr_identity = nn.BatchNorm2d(inputs) if (inputs, stride) == (maps, 1) else None
        self.rbr_dense = _branch(inputs, maps, 3, stride)
        self.rbr_1x1 = _branch(inputs, maps, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] to [N, maps, H / stride, W / stride]."""
        made = self.rbr_dense(x) + self.rbr_1x1(x)
        return functional.relu(made if self.rbr_identity is None else made + self.rbr_identity(x))


class Collapsed(nn.Module):
    """A block in use: one 3x3 convolution that does what the three branches did."""

    def __init__(self, inputs: int, maps: int, stride: int) -> None:
        super().__init__()
        self.rbr_reparam = nn.Conv2d(inputs, maps, 3, stride, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] to [N, maps, H / stride, W / stride]."""
        return functional.relu(self.rbr_reparam(x))


def repvgg_a0(num_classes: int = 1000, width: float = 1.0, deploy: int = 0) -> nn.Module:
    """RepVGG-A0; takes [N, 3, H, W], gives scores [N, K]; `deploy` 1 for the form with one branch."""
    return _repvgg(_A, (0.75, 2.5), num_classes, width, deploy)


def repvgg_a1(num_classes: int = 1000, width: float = 1.0, deploy: int = 0) -> nn.Module:
    """RepVGG-A1; takes [N, 3, H, W], gives scores [N, K]; `deploy` 1 for the form with one branch."""
    return _repvgg(_A, (1.0, 2.5), num_classes, width, deploy)


def repvgg_b0(num_classes: int = 1000, width: float = 1.0, deploy: int = 0) -> nn.Module:
    """RepVGG-B0; takes [N, 3, H, W], gives scores [N, K]; `deploy` 1 for the form with one branch."""
    return _repvgg(_B, (1.0, 2.5), num_classes, width, deploy)


def _repvgg(
    depths: tuple[int, ...], factors: tuple[float, float], num_classes: int, width: float, deploy: int
) -> nn.Module:
    """`factors` are the paper's a and b: on the channels of stages 1 to 3, and of stage 4."""
    early, late = factors
    block = Collapsed if deploy else Branched
    inputs = scaled(min(64, int(64 * early)), width)
    parts: dict[str, nn.Module] = {"stage0": block(3, inputs, 2)}
    for stage, depth in enumerate(depths, 1):
        maps = scaled(int((32 << stage) * (late if stage == len(depths) else early)), width)
        blocks = [block(maps if place else inputs, maps, 1 if place else 2) for place in range(depth)]
        parts[f"stage{stage}"] = nn.Sequential(*blocks)
        inputs = maps
    parts |= {"gap": PooledTo(1), "flatten": nn.Flatten(), "linear": nn.Linear(inputs, num_classes)}
    return initialised(nn.Sequential(OrderedDict(parts)))


def _branch(inputs: int, maps: int, kernel: int, stride: int) -> nn.Module:
    convolution = nn.Conv2d(inputs, maps, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(OrderedDict(conv=convolution, bn=nn.BatchNorm2d(maps)))
