"""Which settings of training a mesh takes, and which networks; the rest is refused before anything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chipwise.core.errors import InputError
from chipwise.training.parallel.cuts import check_cuts
from chipwise.training.parallel.likeness import drops, normalizes_batches
from chipwise.training.parallel.spatial import AXES
from chipwise.training.precision import HALF
from chipwise.training.settings import AUTO

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from chipwise.training.parallel.mesh import Mesh
    from chipwise.training.settings import Settings
    from chipwise.training.train import Run

_LESS = "leave it out, or train in one process"
_COPIES = ("dp", "zero1")


def microbatches_of(mesh: Mesh) -> int:
    """Pieces of a share that go through a pipeline one after another: two a stage; 1 without a pipeline."""
    return 2 * mesh.size("pp") if mesh.has("pp") else 1


def check_takes(run: Run, mesh: Mesh, samples: int, size: Sequence[int]) -> None:
    """Refuse what a mesh cannot do as one process does.

    Args:
        run: network and settings.
        mesh: how processes are laid out.
        samples: of the training split.
        size: of one sample's input.

    Raises:
        InputError: a setting, or a batch that cannot be cut. NetworkError: there is nothing to cut.
    """
    if run.teacher is not None:
        raise InputError(f"{mesh} trains without a teacher", hint=_LESS)
    check_network(run.module, run.settings, mesh, samples, size)


def check_network(module: nn.Module, settings: Settings, mesh: Mesh, samples: int, size: Sequence[int]) -> None:
    """The same of a network and settings alone.

    Raises:
        InputError, NetworkError: as `check_takes`.
    """
    check_cuts(module, mesh, min(settings.batch_size, samples), size, microbatches=microbatches_of(mesh))
    _check_settings(settings, mesh)
    if drops(module) and mesh.has("tp", *AXES):
        raise InputError(
            f"the network has dropout, and with {mesh} the parts of a sample would be dropped alike",
            hint="--dropout 0, or dp or fsdp, where each sample has masks of its own",
        )
    if normalizes_batches(module) and (mesh.has("pp") or (mesh.has(*AXES) and mesh.shares > 1)):
        raise InputError(
            f"the network has batch-norms, which with {mesh} would see parts of a batch", hint="dp or fsdp add them up"
        )


def _check_settings(settings: Settings, mesh: Mesh) -> None:
    """Refuse settings by name."""
    never = {
        "freeze": settings.freeze,
        "ema": settings.ema,
        "micro_batch": settings.micro_batch,
        "recompute": settings.recompute,
        "swapped": settings.swapped,
        "state_on_disk": settings.state_on_disk or None,
        "weights_on_disk": settings.weights_on_disk or None,
        "compiled": settings.compiled or None,
        "teacher_share": settings.teacher_share,
        "device": settings.device if settings.device not in (AUTO, "cpu") else None,
    }
    copies = {"l1": settings.l1 or None, "precision": settings.precision if settings.precision in HALF else None}
    simple = all(name in _COPIES for name, _ in mesh.sizes)
    refused = {name: value for name, value in never.items() if value is not None}
    refused |= {} if simple else {name: value for name, value in copies.items() if value is not None}
    if settings.clip_norm is not None and mesh.has("pp", "oc", "tp"):
        refused["clip_norm"] = settings.clip_norm
    if refused:
        name, value = next(iter(refused.items()))
        raise InputError(f"{name}={value} cannot be had with {mesh}", hint=_LESS)
    if mesh.has("zero1") and settings.optimizer == "sgd" and settings.momentum == 0:
        raise InputError(f"{mesh} spreads momentum, and momentum is 0", hint="zero2 or fsdp, or some momentum")
