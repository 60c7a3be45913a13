"""LeNet-5: as published in 1998, and the two variants that are meant by the name today.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-Based Learning Applied to Document Recognition,
Proc. IEEE 86(11), 1998.

>>> sum(parameter.numel() for parameter in lenet5().parameters())
60000
"""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from chipwise.networks.zoo.blocks import scaled

# Stylised 7x12 digits, the targets of the output units (drawn after figure 3 of the paper).
_DIGITS = """
..###.. ..##... .#####. .#####. #....## ####### ..####. ####### .#####. .#####.
.#...#. .###... ##...## ##...## #....## ##..... .##.... #....## ##...## ##...##
##...## ####... .....## .....## ##...## ##..... ##..... ....##. ##...## ##...##
##...## ..##... .....## .....## ##...## ##..... ##..... ....##. ##...## ##...##
##...## ..##... ....##. ...###. ##...## ######. ######. ...##.. .#####. ##..###
##...## ..##... ...##.. ..###.. .###### .....## ##...## ...##.. .#####. .####.#
##...## ..##... ..##... ....##. .....## .....## ##...## ..##... ##...## .....##
##...## ..##... .##.... .....## .....## .....## ##...## ..##... ##...## .....##
##...## ..##... ##..... .....## .....## .....## ##...## ..##... ##...## .....##
##...## ..##... ##..... .....## .....## .....## ##...## .##.... ##...## .....##
.#...#. ..##... ##..... ##...## .....## ##...## ##...## .##.... ##...## ....##.
..###.. ######. ####### .#####. .....## .#####. .#####. .##.... .#####. .###...
"""

# Table I of the paper: the maps of S2 that each of the 16 maps of C3 reads; 60 connections.
_CONNECTIONS = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)

# Cross-entropy on raw squared distances over 84 values saturates at once; this brings scores to the usual range.
_SHARPNESS = 0.1


class ScaledTanh(nn.Module):
    """1.7159 tanh(2x/3): maps +-1 to +-1, where its second derivative is largest (appendix A of the paper)."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply it element by element."""
        return 1.7159 * torch.tanh(x * (2 / 3))


class Subsample(nn.Module):
    """S2 and S4: the mean of each 2x2 patch, times a trainable coefficient, plus a trainable bias, one pair a map."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(maps, 1, 1))
        self.bias = nn.Parameter(torch.zeros(maps, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Halve height and width of [N, C, H, W]."""
        return functional.avg_pool2d(x, 2) * self.weight + self.bias


class PartialConvolution(nn.Module):
    """C3: 16 maps, each of which reads 3, 4 or all 6 of the maps of S2 (Table I).

    Only the 60 kernels that exist are parameters (1,516 values with the biases, as published). They are laid out as one
    dense convolution, zeros where there is no connection: that is 18 times as fast as grouped convolutions, and
    runtimes do it once, when they load the graph.
    """

    def __init__(self) -> None:
        super().__init__()
        inputs = [len(maps) for maps in _CONNECTIONS for _ in maps]
        self.weight = nn.Parameter(torch.cat([_initialised((1, 5, 5), fan_in=25 * count) for count in inputs]))
        self.bias = nn.Parameter(torch.zeros(len(_CONNECTIONS)))
        # Which kernel stands at [map of C3, map of S2]; the 61st is all zeros. No part of the trained state.
        places = iter(range(len(inputs)))
        table = [[next(places) if source in maps else len(inputs) for source in range(6)] for maps in _CONNECTIONS]
        self.register_buffer("table", torch.tensor(table).flatten(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 6, 14, 14] to [N, 16, 10, 10]."""
        kernels = functional.pad(self.weight, (0, 0, 0, 0, 0, 1))
        dense = kernels.index_select(0, self.get_buffer("table")).view(len(_CONNECTIONS), 6, 5, 5)
        return functional.conv2d(x, dense, self.bias)


class RadialBasis(nn.Module):
    """Output units: minus the squared Euclidean distance between the input and each class's fixed +-1 code.

    Computed as 2xc - cc - xx, which is one matrix product. The codes are the paper's bitmaps for up to 10 classes,
    and random ones (seeded) beyond. Scores are scaled by a constant, so that softmax over them trains well.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("codes", _codes(classes))

    def forward(self, x: Tensor) -> Tensor:
        """[N, 84] to scores [N, K], all negative, highest for the nearest code."""
        codes = self.get_buffer("codes")
        squares = (x * x).sum(1, keepdim=True)
        return (2.0 * functional.linear(x, codes) - squares - float(codes.shape[1])) * _SHARPNESS


def lenet5(num_classes: int = 10) -> nn.Module:
    """LeNet-5 as published; takes [N, 1, 32, 32], gives minus (scaled) squared distances [N, K].

    It is trained with cross-entropy over its scores, which is the paper's criterion (equation 9) without its constant
    rubbish class. 60,000 trainable values, as the paper says.
    """
    squash = ScaledTanh
    module = nn.Sequential(
        OrderedDict(
            c1=nn.Conv2d(1, 6, 5),
            t1=squash(),
            s2=Subsample(6),
            t2=squash(),
            c3=PartialConvolution(),
            t3=squash(),
            s4=Subsample(16),
            t4=squash(),
            c5=nn.Conv2d(16, 120, 5),
            t5=squash(),
            flatten=nn.Flatten(),
            f6=nn.Linear(120, 84),
            t6=squash(),
            output=RadialBasis(num_classes),
        )
    )
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.zeros_(layer.bias) if layer.bias is not None else None
            layer.weight = nn.Parameter(_initialised(tuple(layer.weight.shape), fan_in=layer.weight[0].numel()))
    return module


def lenet5_keras(num_classes: int = 10) -> nn.Module:
    """The LeNet-5 of Keras tutorials, without its last softmax; takes [N, 1, 32, 32], gives scores [N, K]."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 3),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 3),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(576, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, num_classes),
    )


def lenet5_caffe(num_classes: int = 10, width: float = 1.0) -> nn.Module:
    """Caffe's LeNet, the LeNet-5 of the compression papers; takes [N, 1, 28, 28], gives scores [N, K]."""
    first, second, hidden = (scaled(units, width, 1) for units in (20, 50, 500))
    return nn.Sequential(
        nn.Conv2d(1, first, 5),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, 5),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(second * 4 * 4, hidden),
        nn.ReLU(),
        nn.Linear(hidden, num_classes),
    )


def _initialised(shape: tuple[int, ...], fan_in: int) -> Tensor:
    """Appendix A: a standard deviation of 1/sqrt(fan-in) keeps the squashing functions near their linear range."""
    return (torch.rand(shape) * 2 - 1) * math.sqrt(3 / fan_in)


def _codes(classes: int) -> Tensor:
    """Codes of +-1, shape [classes, 84]."""
    lines = [line.split() for line in _DIGITS.split("\n") if line]
    drawn = [[1.0 if dot == "#" else -1.0 for line in lines for dot in line[digit]] for digit in range(10)]
    codes = torch.tensor(drawn[:classes])
    if classes > len(drawn):
        more = torch.randint(0, 2, (classes - len(drawn), 84), generator=torch.Generator().manual_seed(0))
        codes = torch.cat((codes, more * 2.0 - 1.0))
    return codes
