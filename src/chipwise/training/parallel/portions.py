"""What each process of a mesh has of a network, in bytes, told from the network before anything is cut.

>>> from chipwise.training.parallel.mesh import parse_mesh
>>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
>>> [portion.weights for portion in portions_of(net, parse_mesh("fsdp2"))]
[116]
"""

from __future__ import annotations

import math
from itertools import chain as together
from typing import TYPE_CHECKING

from torch import nn

from chipwise.core.errors import InputError
from chipwise.cost.mesh_memory import Portion
from chipwise.training.parallel.fully_sharded import units_of
from chipwise.training.parallel.likeness import normalizes_batches
from chipwise.training.parallel.pipeline import cut_chain
from chipwise.training.parallel.spatial import AXES
from chipwise.training.parallel.takes import microbatches_of
from chipwise.training.parallel.tensor_parallel import linear_pairs, pairs_within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from torch import Tensor

    from chipwise.training.parallel.mesh import Mesh
    from chipwise.training.parallel.tensor_parallel import Pair

    Sized = Callable[[str, Tensor], int]


def portions_of(module: nn.Module, mesh: Mesh) -> tuple[Portion, ...]:
    """The kinds of processes that a mesh has: one, or one a stage of a pipeline.

    Args:
        module: the whole network; is not changed.
        mesh: one that the network takes.

    Raises:
        InputError: regions of pictures or channels, whose memory is not predicted.
    """
    if mesh.has(*AXES, "oc"):
        raise InputError(f"what {mesh} takes is not predicted", hint="dp, zero1, zero2, fsdp, tp and pp are")
    pairs = linear_pairs(module, mesh.size("tp")) if mesh.has("tp") else []
    whole = sum(value.nbytes for value in module.state_dict().values())
    if not mesh.has("pp"):
        place = f"each of {mesh.processes}"
        return (_portion(module, mesh, pairs, place, whole, modules=(), waiting=1),)
    stages = cut_chain(module, mesh.size("pp"))
    return tuple(
        _portion(
            stage,
            mesh,
            pairs_within(stage, pairs),
            f"stage {number + 1} of {len(stages)}",
            whole,
            modules=tuple(name for name, _ in stage.named_children()),
            waiting=min(microbatches_of(mesh), len(stages) - number),  # of 1f1b
        )
        for number, stage in enumerate(stages)
    )


def _portion(
    part: nn.Module,
    mesh: Mesh,
    pairs: list[Pair],
    place: str,
    whole: int,
    *,
    modules: tuple[str, ...],
    waiting: int,
) -> Portion:
    parts = mesh.size("zero2") * mesh.size("fsdp")
    gathers = mesh.has("zero2", "fsdp")
    sized = _cut_by(pairs, mesh.size("tp"))
    named = list(part.named_parameters())
    uncut = sum(sized(name, value) for name, value in named)
    trained = sum(_shard(name, value, sized, parts) for name, value in named)
    buffers = sum(value.nbytes for value in part.buffers())
    state = _largest_share([sized(name, value) for name, value in _in_order(named)], mesh.size("zero1"))
    return Portion(
        place,
        network=whole,
        weights=trained + buffers,
        trained=trained,
        state=state if mesh.has("zero1") else trained,
        largest=max((_shard(name, value, sized, parts) for name, value in named), default=0),
        shares=mesh.shares,
        microbatches=microbatches_of(mesh),
        waiting=waiting,
        modules=modules,
        pairs=tuple(pairs),
        cut=mesh.size("tp"),
        parts=_largest_unit(part, sized) if gathers else 0,
        whole=uncut if mesh.has("zero2") else 0,
        buckets=mesh.has("dp", "zero1") and not gathers and not mesh.has("tp"),
        fused=not gathers and not mesh.has("tp"),
        summed=mesh.shares > 1 and normalizes_batches(part),
        said=_said(mesh, uncut),
        passed=mesh.has("pp"),
    )


def _cut_by(pairs: Sequence[Pair], cut: int) -> Sized:
    """Bytes that a process has of a parameter once pairs of layers are cut."""
    divided = {f"{first}.{kind}" for first, _ in pairs for kind in ("weight", "bias")}
    divided |= {f"{second}.weight" for _, second in pairs}
    return lambda name, value: value.nbytes // cut if name in divided else value.nbytes


def _shard(name: str, value: Tensor, sized: Sized, parts: int) -> int:
    """Bytes of the first of so many parts along the first dimension, which FSDP2 cuts."""
    whole = sized(name, value)
    if parts == 1 or not value.ndim:
        return whole
    length = value.shape[0]
    return math.ceil(whole * math.ceil(length / parts) / length)


def _in_order(named: Iterable[tuple[str, Tensor]]) -> list[tuple[str, Tensor]]:
    """Parameters in the order in which ZeRO-1 gives them away: matrices, then vectors, the largest first."""
    return sorted(named, key=lambda pair: (pair[1].ndim < 2, -pair[1].numel()))


def _largest_share(sizes: Sequence[int], ranks: int) -> int:
    """What the fullest process has where each next one goes to the emptiest, as `ZeroRedundancyOptimizer` does."""
    filled = [0] * ranks
    for size in sizes:
        filled[filled.index(min(filled))] += size
    return max(filled)


def _largest_unit(part: nn.Module, sized: Sized) -> int:
    """Bytes of the largest part that FSDP2 gathers at once."""
    names = {id(value): name for name, value in part.named_parameters()}
    inner = [list(unit.parameters()) for unit in units_of(part)]
    within = {id(value) for value in together(*inner)}
    rest = [value for value in part.parameters() if id(value) not in within]
    return max(sum(sized(names[id(value)], value) for value in group) for group in (*inner, rest))


def _said(mesh: Mesh, uncut: int) -> float:
    """Bytes of weights and gradients that a process sends in a step, by rings."""
    if mesh.has("zero2", "fsdp"):
        parts = mesh.size("zero2") * mesh.size("fsdp")
        gathered = 2 if mesh.has("fsdp") else 1
        around = (2 + gathered) * (parts - 1) / parts * uncut  # gloo reduces to parts as it reduces to all
        return around + 2 * (mesh.size("dp") - 1) / mesh.size("dp") * uncut / parts
    copies = mesh.size("dp") * mesh.size("zero1")
    return (2 * (copies - 1) / copies + (1 if mesh.has("zero1") else 0)) * uncut
