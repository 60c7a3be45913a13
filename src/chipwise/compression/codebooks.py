"""Trained quantization by weight sharing: each layer has a few values, each weight names one, and the values learn.

S. Han, H. Mao, W. Dally, "Deep compression", ICLR 2016: k-means over a layer's weights from a linear, a density-based
or a random start, then the gradient of a value is the sum of the gradients of all weights that share it. Zero is always
one of the values: pruned weights stay pruned.

>>> found = cluster(torch.tensor([0.0, 1.0, 1.1, -2.0]), bits=2)
>>> found.values.tolist()[0], found.symbols.tolist()[0]
(0.0, 0)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import nn

from chipwise.core.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

Start = Literal["linear", "density", "random"]
_ROUNDS = 50


@dataclass(frozen=True, slots=True)
class Clusters:
    """Values of a layer, of which the first is zero, and for each weight the number of its value.

    Attributes:
        values: float32 [K]; symbols: int64, of the weight's shape.
    """

    values: Tensor
    symbols: Tensor


class Shared(nn.Module):
    """Gives each weight its value; the values learn, which weight has which does not change."""

    def __init__(self, clusters: Clusters) -> None:
        super().__init__()
        self.values = nn.Parameter(clusters.values[1:].clone())
        self.register_buffer("symbols", clusters.symbols)

    def forward(self, weight: Tensor) -> Tensor:
        """The shared weight; what is stored counts no more."""
        with_zero = torch.cat([self.values.new_zeros(1), self.values])
        return with_zero[self.get_buffer("symbols")] + 0.0 * weight


def cluster(weight: Tensor, bits: int, start: Start = "linear", seed: int = 0) -> Clusters:
    """Lloyd's k-means over the weights that are not zero, into 2^bits - 1 values and zero.

    Args:
        weight: of a layer, any shape.
        bits: 1 to 12.
        start: "linear" between the smallest and the largest weight, which keeps large ones apart; "density": at equal
            steps of the cumulative distribution; "random": weights drawn at random.
        seed: of the draw.

    Raises:
        InputError: no such start, or number of bits.
    """
    if start not in get_args(Start) or not 1 <= bits <= 12:
        raise InputError(f"clusters with {bits} bits from {start!r}", hint="1 to 12 bits; linear, density or random")
    live = weight.detach()[weight.detach() != 0].double().sort().values
    if not len(live):
        return Clusters(torch.zeros(2**bits), torch.zeros(weight.shape, dtype=torch.int64))
    values = _lloyd(live, _started(live, 2**bits - 1, start, seed))
    with_zero = torch.cat([torch.zeros(1), values.float()])
    # By the middles between values: all distances at once would take 255 times the memory of the layer.
    nearest = torch.searchsorted((values[1:] + values[:-1]) / 2, weight.detach().double().flatten()) + 1
    return Clusters(with_zero, torch.where(weight.detach() == 0, 0, nearest.reshape(weight.shape)))


def _started(live: Tensor, count: int, start: Start, seed: int) -> Tensor:
    if start == "linear":
        return torch.linspace(float(live[0]), float(live[-1]), count, dtype=torch.float64)
    if start == "density":
        return torch.quantile(live, (torch.arange(count, dtype=torch.float64) + 0.5) / count)
    drawn = torch.randint(len(live), (count,), generator=torch.Generator().manual_seed(seed))
    return live[drawn].sort().values


def _lloyd(live: Tensor, values: Tensor) -> Tensor:
    """Move each value to the mean of what is nearest to it, until nothing moves; sorted weights make it cheap."""
    sums = torch.cat([torch.zeros(1, dtype=torch.float64), live.cumsum(0)])
    for _ in range(_ROUNDS):
        ends = torch.searchsorted(live, (values[1:] + values[:-1]) / 2)
        bounds = torch.cat([ends.new_zeros(1), ends, ends.new_full((1,), len(live))])
        counts = bounds.diff()
        means = (sums[bounds[1:]] - sums[bounds[:-1]]) / counts.clamp(min=1)
        moved = torch.where(counts > 0, means, values)
        if torch.equal(moved, values):
            break
        values = moved
    return values
