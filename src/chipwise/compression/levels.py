"""Trained uniform quantization: each weight is a small whole number times its layer's step, and the step is learned.

S. Esser and others, "Learned step size quantization", ICLR 2020 (arXiv 1902.08153), symmetric and with a zero: rounding
passes gradients through, and the step gets the gradient of what it rounds.

>>> levels = Levels(torch.tensor([0.9, -0.5, 0.1]), bits=2)
>>> levels(torch.tensor([0.9, -0.5, 0.1])).unique().numel() <= 3
True
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from typing import Any

    from torch import Tensor


class Levels(nn.Module):
    """Rounds to -n..n times a step, n = 2^(bits-1) - 1."""

    def __init__(self, weight: Tensor, bits: int) -> None:
        super().__init__()
        self.highest = 2 ** (bits - 1) - 1
        # Its logarithm learns: what an optimizer adds to a parameter is then a share of the step, however small.
        self.log_step = nn.Parameter(_best_step(weight, self.highest).log())

    @property
    def step(self) -> Tensor:
        """What whole numbers are multiplied with, a scalar."""
        return self.log_step.exp()

    def forward(self, weight: Tensor) -> Tensor:
        """The rounded weight, of the same shape."""
        share = 1.0 / math.sqrt(max(int((weight != 0).sum()), 1) * self.highest)
        return _Rounded.apply(weight, self.step, self.highest, share)  # type: ignore[no-any-return,no-untyped-call]

    def symbols(self, weight: Tensor) -> Tensor:
        """The whole numbers, int64, of the same shape."""
        return (weight / self.step).round().clamp(-self.highest, self.highest).to(torch.int64)


class _Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, step: Tensor, highest: int, share: float) -> Tensor:
        ctx.save_for_backward(weight, step)
        ctx.highest, ctx.share = highest, share
        return (weight / step).round().clamp(-highest, highest) * step

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (gradient,) = gradients
        weight, step = ctx.saved_tensors
        scaled = weight / step
        inside = scaled.abs() <= ctx.highest
        rounded = scaled.round().clamp(-ctx.highest, ctx.highest)
        of_step = torch.where(inside, rounded - scaled, rounded)
        return gradient * inside, (gradient * of_step).sum() * ctx.share, None, None


def _best_step(weight: Tensor, highest: int) -> Tensor:
    """The step with the least squared error over the weights that are not zero, of a hundred that may be."""
    values = weight.detach()[weight.detach() != 0]
    if not len(values):
        return torch.tensor(1.0)
    largest = values.abs().max()
    steps = largest / highest * torch.linspace(0.2, 1.2, 100)
    # One step at a time: all at once would take a hundred times the memory of the layer.
    errors = [((values / step).round().clamp(-highest, highest) * step - values).square().sum() for step in steps]
    return steps[torch.stack(errors).argmin()].clone()
