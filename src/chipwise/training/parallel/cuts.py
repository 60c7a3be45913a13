"""What a mesh cuts into pieces, a batch and a network, and whether they can be cut so: known before anything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chipwise.core.errors import InputError, NetworkError
from chipwise.training.parallel.channels import check_channels
from chipwise.training.parallel.pipeline import check_schedule, cut_chain, stages_of
from chipwise.training.parallel.spatial import AXES, check_regions
from chipwise.training.parallel.tensor_parallel import check_pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from chipwise.training.parallel.mesh import Mesh


def pieces_of(mesh: Mesh, microbatches: int) -> int:
    """Pieces that a batch is cut into: shares, and microbatches of each where there is a pipeline."""
    return mesh.shares * (microbatches if mesh.has("pp") else 1)


def check_cuts(
    module: nn.Module, mesh: Mesh, batch: int, size: Sequence[int], *, schedule: str = "1f1b", microbatches: int = 1
) -> None:
    """Refuse a mesh that has nothing to cut, or cannot cut it.

    Args:
        module: the network.
        mesh: how processes are laid out.
        batch: samples a step.
        size: of one sample's input.
        schedule: of a pipeline.
        microbatches: of a pipeline's share of a batch.

    Raises:
        InputError: the batch cannot be cut so, or the schedule does not fit.
        NetworkError: a strategy has nothing to cut in this network.
    """
    pieces = pieces_of(mesh, microbatches)
    if batch % pieces:
        raise InputError(
            f"a batch of {batch} cannot be cut into {pieces} equal pieces for {mesh}", hint=f"a multiple of {pieces}"
        )
    if mesh.has(*AXES):
        check_regions(module, size, {name: count for name, count in mesh.sizes if name in AXES})
    if mesh.has("oc"):
        check_channels(module, mesh.size("oc"))
    if mesh.has("tp"):
        check_pairs(module, mesh.size("tp"))
    if mesh.has("pp"):
        check_schedule(schedule, mesh.size("pp"), microbatches)
        cut_chain(module, stages_of(schedule, mesh.size("pp")))
    _check_untied(module, mesh)


def _check_untied(module: nn.Module, mesh: Mesh) -> None:
    """Refuse to cut a network whose layers share a weight, which would be cut twice."""
    names = [name for name, _ in module.named_parameters(remove_duplicate=False)]
    tied = sorted(set(names) - {name for name, _ in module.named_parameters()})
    if tied and mesh.has("zero2", "fsdp", "oc", "tp", "pp"):
        raise NetworkError(
            f"{', '.join(tied)} is the weight of another layer, too, and {mesh} cuts layers apart",
            hint="dp and zero1 take such networks",
        )
