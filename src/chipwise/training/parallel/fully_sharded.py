"""Fully sharded data parallelism, FSDP2: each process holds a part of every weight, gradient and momentum.

ZeRO-3 of arXiv 1910.02054 with `reshard`, ZeRO-2 without; over a mesh of two dimensions copies of it (HSDP).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, Replicate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch.distributed.device_mesh import DeviceMesh


def sharded(module: nn.Module, grid: DeviceMesh, *, reshard: bool) -> nn.Module:
    """Cut all parameters, in place: each child that has some is gathered and cut again on its own.

    Args:
        module: the network, or a stage of it; what tensor parallelism cut is cut once more.
        grid: one dimension, or two: copies, and parts.
        reshard: give up the whole weights between forward and backward.
    """
    for unit in units_of(module):
        fully_shard(unit, mesh=grid, reshard_after_forward=reshard)
    fully_shard(module, mesh=grid, reshard_after_forward=reshard)
    return module


def shards_wrong(module: nn.Module, names: tuple[str, ...]) -> list[str]:
    """What is not as `sharded` makes it.

    Args:
        module: the network, or a stage of it.
        names: of the mesh's dimensions: parts last, copies before.
    """
    if not isinstance(module, FSDPModule):
        return [f"fsdp: the network is a {type(module).__name__}, and fully_shard was never called"]
    return [wrong for name, value in module.named_parameters() for wrong in _wrong(name, value, names)]


def units_of(module: nn.Module) -> Iterator[nn.Module]:
    """Children with parameters; of containers that are never called, what they contain."""
    for child in module.children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield from units_of(child)
        elif any(True for _ in child.parameters()):
            yield child


def _wrong(name: str, value: nn.Parameter, names: tuple[str, ...]) -> list[str]:
    if not isinstance(value, DTensor):
        return [f"fsdp: {name} is whole on every process"]
    lies = dict(zip(value.device_mesh.mesh_dim_names or (), value.placements, strict=True))
    *copies, parts = names
    found = [f"fsdp: {name} has no dimension {each}" for each in names if each not in lies]
    if parts in lies and not hasattr(lies[parts], "dim"):
        found.append(f"fsdp: {name} is {lies[parts]} over {parts}")
    found += [f"fsdp: {name} is {lies[each]} over {each}" for each in copies if lies.get(each) != Replicate()]
    return found
