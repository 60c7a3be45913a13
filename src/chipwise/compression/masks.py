"""Magnitude pruning: the smallest weights become zero and stay so through training.

S. Han, J. Pool, J. Tran, W. Dally, "Learning both weights and connections", NIPS 2015; the gradual schedule is M. Zhu
and S. Gupta's, "To prune, or not to prune", 2017 (arXiv 1710.01878); what makes magnitudes of layers comparable is
J. Lee and others', "Layer-adaptive sparsity for the magnitude-based pruning", ICLR 2021 (arXiv 2010.07611).

>>> share_at(0, 10), share_at(10, 10)
(0.0, 1.0)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn
from torch.nn.utils import parametrize

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from chipwise.training.trainable import Trainable

Scope = Literal["adaptive", "global", "layer"]


class Masked(nn.Module):
    """A weight times a mask of zeros and ones: what is zero gets no gradient."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", (weight.detach() != 0).to(weight.dtype))

    def forward(self, weight: Tensor) -> Tensor:
        """The weight with what is pruned set to zero."""
        return weight * self.get_buffer("mask")


@dataclass(frozen=True, slots=True)
class Masks:
    """The masks of a graph's weights.

    Attributes:
        of: by initializer.
        stored: the weights before the mask, by initializer.
    """

    of: dict[str, Masked]
    stored: dict[str, Tensor]

    def prune(self, zeros: float, scope: Scope = "adaptive") -> None:
        """Set masks so that the smallest weights are zero; what was zero stays so.

        Args:
            zeros: share of all weights, 0..1.
            scope: "global" puts one threshold on the magnitudes of all layers, "adaptive" one on squares over the sum
                of all squares of the layer that are as large or larger; with "layer" each loses the same share.
        """
        with torch.no_grad():
            sizes = {name: (self.stored[name] * mask.get_buffer("mask")).abs() for name, mask in self.of.items()}
            shares = dict.fromkeys(sizes, zeros)
            if scope != "layer":
                ranks = sizes if scope == "global" else {name: _adaptive(size) for name, size in sizes.items()}
                shares = _global_shares(ranks, zeros)
        self.prune_each(shares)

    def prune_each(self, zeros: Mapping[str, float]) -> None:
        """Set masks layer by layer.

        Args:
            zeros: share of each layer's weights, 0..1.
        """
        with torch.no_grad():
            for name, share in zeros.items():
                mask = self.of[name].get_buffer("mask")
                size = (self.stored[name] * mask).abs()
                gone = round(share * size.numel())
                if gone > int((mask == 0).sum()):
                    smallest = size.flatten().argsort(stable=True)[:gone]
                    mask[torch.unravel_index(smallest, mask.shape)] = 0.0

    def zeros(self) -> dict[str, float]:
        """Share of each layer's weights that is pruned."""
        return {name: float((mask.get_buffer("mask") == 0).double().mean()) for name, mask in self.of.items()}

    def density(self) -> float:
        """Share of weights that are not pruned."""
        kept = sum(int(mask.get_buffer("mask").sum()) for mask in self.of.values())
        return kept / sum(weight.numel() for weight in self.stored.values())


def masked(made: Trainable) -> Masks:
    """Put masks on all weights of a graph: what is zero stays zero, and `prune` makes more of them so."""
    of: dict[str, Masked] = {}
    stored: dict[str, Tensor] = {}
    inner = made.module.inner
    for name in made.weights:
        place = made.place(name)
        of[name] = Masked(getattr(inner, place))
        parametrize.register_parametrization(inner, place, of[name])
        stored[name] = inner.parametrizations[place].original  # type: ignore[union-attr,index]
    return Masks(of, stored)


def course(
    masks: Masks, density: float, scope: Scope = "adaptive", zeros: Mapping[str, float] | None = None
) -> Callable[[float], None]:
    """The way from the masks as they are to a density: a function that prunes up to a part of it, 0..1.

    Args:
        masks: are changed by it.
        density: at its end.
        scope: of the threshold.
        zeros: share of each layer's weights that is pruned in the end, in place of a threshold.
    """
    if zeros is None:
        before = 1.0 - masks.density()
        return lambda part: masks.prune(before + (1.0 - density - before) * part, scope)
    first = masks.zeros()
    return lambda part: masks.prune_each(
        {name: first[name] + (last - first[name]) * part for name, last in zeros.items()}
    )


def share_at(step: int, steps: int) -> float:
    """How much of the final share is pruned at a step: 1 - (1 - t)^3."""
    return 1.0 - (1.0 - min(step / max(steps, 1), 1.0)) ** 3


def _adaptive(size: Tensor) -> Tensor:
    """A layer's squares, each over the sum of those that are as large or larger: the largest of each layer is 1."""
    order = size.flatten().argsort(stable=True)
    squares = size.flatten()[order].double().square()
    behind = squares.flip(0).cumsum(0).flip(0)
    ranks = torch.empty_like(squares)
    ranks[order] = torch.where(squares > 0, squares / behind.clamp(min=torch.finfo(torch.float64).tiny), 0.0)
    return ranks.reshape(size.shape)


def _global_shares(sizes: Mapping[str, Tensor], zeros: float) -> dict[str, float]:
    """What share of each layer lies below the one threshold; a layer keeps at least one weight."""
    every = torch.cat([size.flatten() for size in sizes.values()])
    gone = round(zeros * len(every))
    if not gone:
        return dict.fromkeys(sizes, 0.0)
    threshold = every.kthvalue(gone).values
    return {name: min(int((size <= threshold).sum()), size.numel() - 1) / size.numel() for name, size in sizes.items()}
