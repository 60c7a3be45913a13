"""Batch-norms that see the samples, or regions, of several processes: sums are added up, and so are their gradients.

torch's own `SyncBatchNorm` needs a GPU.

>>> type(joined(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)), ())[1]).__name__
'JoinedNorm'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch.distributed import ProcessGroup

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class JoinedNorm(_BatchNorm):
    """A batch-norm over the samples of all processes of some groups, which have as many each.

    Args:
        norm: whose parameters and statistics it takes over, under the same names.
        groups: sums are added up over each of them, one after another.
    """

    def __init__(self, norm: nn.Module, groups: Sequence[ProcessGroup]) -> None:
        assert isinstance(norm, NORMS)
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        self._parameters.update(norm._parameters)  # noqa: SLF001  (torch's own conversion does the same)
        self._buffers.update(norm._buffers)  # noqa: SLF001
        self.train(norm.training)
        self._groups = tuple(groups)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name)
        """[N, C, ...] of this process to the same shape."""
        if not self.training and self.track_running_stats:
            return super().forward(input)
        count = input.numel() // input.shape[1]
        for group in self._groups:
            count *= group.size()
        return normalized(self, input, count, self._groups)

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002
        """Take any number of dimensions: the norm in the place of which it stands has looked."""


def joined(module: nn.Module, groups: Sequence[ProcessGroup]) -> nn.Module:
    """Put a `JoinedNorm` in the place of every batch-norm, in place; the module itself where it is one."""
    if isinstance(module, NORMS):
        return JoinedNorm(module, groups)
    for name, child in module.named_children():
        made = joined(child, groups)
        if made is not child:
            module.add_module(name, made)
    return module


def normalized(layer: _BatchNorm, value: Tensor, count: int, groups: Sequence[ProcessGroup]) -> Tensor:
    """Batch-norm of a part of a batch; moves the running statistics as torch's own does.

    Args:
        layer: in training.
        value: [N, C, ...], this process's part; sums of 2-byte values are in float32, as torch's own are.
        count: numbers a channel, over all parts.
        groups: of the processes that have the other parts.
    """
    shape = (1, -1, *[1] * (value.ndim - 2))
    wide = value.float() if value.dtype in (torch.bfloat16, torch.float16) else value
    mean = _summed(wide, groups) / count
    apart = wide - mean.view(shape)
    variance = _summed(apart * apart, groups) / count
    if layer.track_running_stats:
        _remember(layer, mean.detach(), variance.detach() * count / (count - 1))
    normal = apart * torch.rsqrt(variance + layer.eps).view(shape)
    if layer.affine:
        normal = normal * layer.weight.view(shape)
    normal = normal if layer.bias is None else normal + layer.bias.view(shape)
    return normal.to(value.dtype)


def total(value: Tensor, group: ProcessGroup) -> Tensor:
    """The sum over processes, on all of them; so is its gradient."""
    return _Total.apply(value, group)  # type: ignore[no-any-return,no-untyped-call]


class _Total(torch.autograd.Function):
    """`total` with its gradient."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, group: Any) -> Tensor:
        """Add up."""
        ctx.group = group
        summed = value.clone()
        dist.all_reduce(summed, group=group)
        return summed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Add up what every process makes of the sum."""
        summed = gradients[0].clone()
        dist.all_reduce(summed, group=ctx.group)
        return summed, None


def _summed(value: Tensor, groups: Sequence[ProcessGroup]) -> Tensor:
    """[N, C, ...] of all processes to [C]."""
    summed = value.sum([0, *range(2, value.ndim)])
    for group in groups:
        summed = total(summed, group)
    return summed


def _remember(layer: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Move running statistics as torch's own batch-norm does."""
    assert layer.running_mean is not None
    assert layer.running_var is not None
    assert layer.num_batches_tracked is not None
    layer.num_batches_tracked.add_(1)
    share = 1.0 / float(layer.num_batches_tracked) if layer.momentum is None else layer.momentum
    layer.running_mean.lerp_(mean, share)
    layer.running_var.lerp_(variance, share)
