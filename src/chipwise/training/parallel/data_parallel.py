"""Copies of the network that average their gradients: DistributedDataParallel; ZeRO-1 for the optimizer's state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn, optim
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.nn.parallel import DistributedDataParallel

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh


def copied(module: nn.Module, grid: DeviceMesh | None = None) -> nn.Module:
    """Wrap a network whose gradients are averaged over a dimension of the mesh, or over all processes.

    Gradients are views of the buckets in which they are averaged: else they would be there twice.
    """
    group = None if grid is None else grid.get_group()
    return DistributedDataParallel(module, process_group=group, gradient_as_bucket_view=True)


def copies_wrong(module: nn.Module, copies: int) -> list[str]:
    """What is not as `copied` makes it."""
    if not isinstance(module, DistributedDataParallel):
        return [f"dp: the network is a {type(module).__name__}, not DistributedDataParallel"]
    found = module.process_group.size()
    return [] if found == copies else [f"dp: {found} processes average gradients, not {copies}"]


def zero_optimizer(parameters: Any, grid: DeviceMesh, kind: type[optim.Optimizer], **settings: Any) -> optim.Optimizer:
    """An optimizer whose state is spread over a dimension, whole parameters each (ZeRO-1, arXiv 1910.02054).

    Args:
        parameters: or groups of them.
        grid: the dimension.
        kind: of torch's optimizers.
        settings: of that.
    """
    return ZeroRedundancyOptimizer(parameters, optimizer_class=kind, process_group=grid.get_group(), **settings)
