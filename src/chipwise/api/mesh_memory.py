"""Memory of each process of a mesh, said before it is started, and the mesh that fits and takes least time.

chipwise.training_memory("mlp-4096", "digits", mesh="auto:4", memory="700MB").chosen.mesh
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from chipwise.core.errors import InputError, MachineError, NetworkError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chipwise.api.transfer import Beginning
    from chipwise.core.training_memory import Savings, Way
    from chipwise.cost.training_memory import Around, Rows
    from chipwise.training.parallel.mesh import Mesh
    from chipwise.training.settings import Settings

AUTO = "auto"
_AUTO = re.compile(r"auto(?::(\d{1,4}))?", re.IGNORECASE)
_STARTER = "starter"


@dataclass(frozen=True, slots=True)
class Meshes:
    """What a mesh is predicted from.

    Attributes:
        start: the network, fitted to the data, and its module.
        settings: as they would be used.
        rows_at, around: of the network, and of one process.
        samples: of the training split.
        fed_bytes: of all samples as inputs, which the processes share, and each counts.
        bf16, returned: techniques that may be tried.
    """

    start: Beginning
    settings: Settings
    rows_at: Rows
    around: Around
    samples: int
    fed_bytes: int
    bf16: bool = False
    returned: bool = False


def most_processes(mesh: str | None, cores: int) -> int | None:
    """How many processes "auto:4" may take, all cores where it is "auto"; None where it is neither.

    Raises:
        InputError: no number of processes.
    """
    found = _AUTO.fullmatch((mesh or "").strip())
    if found is None:
        return None
    most = int(found[1]) if found[1] else cores
    if most < 1:
        raise InputError(f"{mesh!r} has {most} processes", hint="auto:4 for four of them at most")
    return most


def is_chosen(mesh: str | None) -> bool:
    """Whether the mesh is left to what fits."""
    return most_processes(mesh, 1) is not None


def way_on(meshes: Meshes, mesh: Mesh, savings: Savings) -> Way:
    """What each process of a mesh takes with these techniques; `micro_batch` of them is not looked at.

    Raises:
        InputError: regions of pictures.
    """
    from chipwise.cost.mesh_memory import mesh_time, mesh_way, rank_way, starter_memory
    from chipwise.training.parallel.launch import bare_bytes
    from chipwise.training.parallel.portions import portions_of

    portions = portions_of(meshes.start.module, mesh)
    share = meshes.around.batch // mesh.shares
    sharded = mesh.has("zero2", "fsdp")
    own = replace(savings, micro_batch=share, returned=savings.returned or sharded)
    around = replace(meshes.around, process_bytes=bare_bytes(), data_bytes=meshes.fed_bytes)
    ranks = rank_way(meshes.rows_at, around, own, portions)
    starter = starter_memory(meshes.rows_at, meshes.around, own, _STARTER)
    time = mesh_time(meshes.rows_at, around, own, portions, mesh.processes)
    return mesh_way(str(mesh), (*ranks, starter), replace(own, returned=savings.returned), time)


def ways_on(meshes: Meshes, mesh: Mesh, plain: Savings, limit: int | None) -> list[Way]:
    """The ways of training on a mesh that are tried, the plain one first.

    Args:
        meshes: what they are predicted from.
        mesh: one that the network takes.
        plain: techniques of the settings.
        limit: bytes of a process; evaluation is made smaller until it fits, if it can.
    """
    copies = all(name in ("dp", "zero1") for name, _ in mesh.sizes)
    precisions = dict.fromkeys((plain.precision, *(["bf16"] if meshes.bf16 and copies else [])))
    returns = dict.fromkeys((plain.returned, *([True] if meshes.returned else [])))
    found = []
    for returned in returns:
        for precision in precisions:
            savings = replace(plain, precision=precision, returned=returned)
            way = way_on(meshes, mesh, savings)
            while limit is not None and way.memory.high > limit and way.memory.moment.startswith("evaluation"):
                fewer = way.savings.evaluation_batch // 2
                if not fewer:
                    break
                savings = replace(savings, evaluation_batch=fewer)
                way = way_on(meshes, mesh, savings)
            found.append(way)
    return found


def candidates(meshes: Meshes, most: int, machines: int = 1) -> list[Mesh]:
    """The meshes of 2 to `most` processes that the network takes, in the order in which they are preferred.

    That is the order in which they say more and hold less: copies, ZeRO-1, -2 and -3, tensor parallelism, pipelines,
    and two or three of them at once.
    """
    from chipwise.api.meshes import factory_of
    from chipwise.devices.detect import detect
    from chipwise.training.parallel.mesh import check_processes
    from chipwise.training.parallel.takes import check_network

    cores = detect().cores * machines
    size = [side for side in meshes.start.network.inputs[0].shape[1:] if isinstance(side, int)]
    found = []
    for mesh in _meshes(most):
        if mesh.processes % machines:
            continue
        try:
            factory_of(meshes.start)
            check_processes(mesh, cores)
            check_network(meshes.start.module, meshes.settings, mesh, meshes.samples, size)
        except (InputError, NetworkError, MachineError):
            continue
        found.append(mesh)
    return found


def quickest(ways: list[Way], limit: int) -> Way | None:
    """The way that fits and takes least time, of equal ones the first; None where none fits."""
    fitting = [way for way in ways if way.memory.high <= limit]
    return min(fitting, key=lambda way: round(way.time_factor, 2), default=None)


def _meshes(most: int) -> Iterator[Mesh]:
    """Meshes of up to so many processes: one dimension, then two, then three."""
    from chipwise.training.parallel.mesh import parse_mesh

    sizes = [count for count in range(2, most + 1) if most % count == 0]
    for name in ("dp", "zero1", "zero2", "fsdp", "tp", "pp"):
        for count in sizes:
            yield parse_mesh(f"{name}={count}")
    for first, second in (("dp", "fsdp"), ("dp", "tp"), ("fsdp", "tp"), ("dp", "pp"), ("pp", "tp"), ("fsdp", "pp")):
        for count in sizes:
            if most % (2 * count) == 0 and most // count > 1:
                yield parse_mesh(f"{first}{most // count},{second}{count}")
    for outer in ("dp", "fsdp"):
        if most % 8 == 0:
            yield parse_mesh(f"{outer}{most // 4},pp2,tp2")
