"""The processes of a mesh as torch's DeviceMesh, and what of a batch each has.

>>> from chipwise.training.parallel.mesh import parse_mesh
>>> dimensions(parse_mesh("dp2,tp2"))
[('dp', 2), ('whole', 1), ('tp', 2)]
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from torch.distributed.device_mesh import init_device_mesh

from chipwise.training.parallel.mesh import SHARING

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

    from chipwise.training.parallel.mesh import Mesh

# DistributedDataParallel does not take DTensors, which cut layers have; FSDP2 over copies with one part does.
WHOLE = "whole"


def dimensions(mesh: Mesh) -> list[tuple[str, int]]:
    """Names and sizes of torch's mesh, outermost first."""
    made: list[tuple[str, int]] = []
    for name, size in mesh.sizes:
        made.append((name, size))
        if name == "dp" and mesh.has("oc", "tp") and not mesh.has("zero2", "fsdp"):
            made.append((WHOLE, 1))
    return made


def make_grid(mesh: Mesh) -> DeviceMesh:
    """Lay out all processes; the default process group must be there."""
    names, sizes = zip(*dimensions(mesh), strict=True)
    return init_device_mesh("cpu", sizes, mesh_dim_names=names)


def let_go() -> None:
    """Free wrapped modules that nobody uses any more, while the process groups are still there; call before they end.

    DistributedDataParallel lies in reference cycles. Where it is freed once the groups were destroyed, it takes gloo's
    last reference along, whose end waits for its threads with the interpreter's lock held, and these may want that
    lock: the process hangs as it exits (torch 2.13).
    """
    gc.collect()


def place_of(mesh: Mesh, grid: DeviceMesh | None) -> str:
    """Index of this process along each dimension, as "dp0,tp1"."""
    return ",".join(f"{name}{_index(grid, name)}" for name, _ in mesh.sizes)


def share_of(mesh: Mesh, grid: DeviceMesh | None) -> int:
    """Which part of a batch this process has, from 0."""
    share = 0
    for name, size in mesh.sizes:
        if name in SHARING:
            share = share * size + _index(grid, name)
    return share


def _index(grid: DeviceMesh | None, name: str) -> int:
    return 0 if grid is None else grid.get_local_rank(name)
