"""Copies of the network that average their gradients: DistributedDataParallel; ZeRO-1 for the optimizer's state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn, optim
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.nn.parallel import DistributedDataParallel

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh


def copied(module: nn.Module, grid: DeviceMesh | None = None) -> nn.Module:
    """Wrap a network whose gradients are averaged over a dimension of the mesh, or over all processes."""
    return DistributedDataParallel(module, process_group=None if grid is None else grid.get_group())


def copies_wrong(module: nn.Module, copies: int) -> list[str]:
    """What is not as `copied` makes it."""
    if not isinstance(module, DistributedDataParallel):
        return [f"dp: the network is a {type(module).__name__}, not DistributedDataParallel"]
    found = module.process_group.size()
    return [] if found == copies else [f"dp: {found} processes average gradients, not {copies}"]


def zero_optimizer(module: nn.Module, grid: DeviceMesh, **settings: Any) -> optim.Optimizer:
    """SGD whose state is spread over a dimension of the mesh, whole parameters each (ZeRO-1, arXiv 1910.02054)."""
    return ZeroRedundancyOptimizer(
        module.parameters(), optimizer_class=optim.SGD, process_group=grid.get_group(), **settings
    )


def gathered(optimizer: optim.Optimizer, grid: DeviceMesh) -> dict[str, Any]:
    """The whole state of a `zero_optimizer`, brought together on every process, in the form of plain SGD's."""
    assert isinstance(optimizer, ZeroRedundancyOptimizer)
    kept: dict[str, Any] = {}
    for rank in range(grid.size()):
        optimizer.consolidate_state_dict(to=rank)  # which makes all others forget theirs
        if rank == grid.get_local_rank():
            kept = optimizer.state_dict()
    return kept
