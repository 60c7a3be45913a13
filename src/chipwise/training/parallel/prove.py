"""Prove parallel training: the same steps in one process and in several, compared weight by weight.

Then a checkpoint is written by many processes, read by other numbers of them, and training goes on, compared again.

    wanted = Wanted(parse_mesh("fsdp2,tp2"), cores=2)
    made = ("chipwise.networks.zoo.lenet:lenet5_caffe", {})
    proof = prove(module, made, ("lenet5-caffe", "random samples"), inputs, labels, wanted=wanted)
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import save_file

from chipwise.core.errors import InputError
from chipwise.core.events import Part, Progress, silent
from chipwise.core.proof import Proof
from chipwise.training.parallel.answers import leg_of
from chipwise.training.parallel.cuts import check_cuts, pieces_of
from chipwise.training.parallel.job import DATA, INITIAL, Job, Leg
from chipwise.training.parallel.launch import launch
from chipwise.training.parallel.leg import run_leg
from chipwise.training.parallel.likeness import classes_of, made_repeatable, normalizes_batches
from chipwise.training.parallel.mesh import Mesh, check_processes, parse_mesh, smaller
from chipwise.training.parallel.reference import train_alone
from chipwise.training.process import threads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from chipwise.core.proof import ProofLeg
    from chipwise.training.parallel.job import RankAnswer

_MIXING = (
    "batch-norms see a process's own samples, as without SyncBatchNorm, which needs a GPU; the one process takes the "
    "same pieces of a batch one after another, and running statistics are not compared"
)
_LEAST = 2  # samples of a microbatch where nothing else is said


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be proven.

    Attributes:
        mesh: how the processes are laid out.
        cores: of this machine.
        reshard: meshes that go on from each other's checkpoints; None for one process, then a smaller mesh.
        steps: of the first leg; resumed: of each other.
        learning_rate, momentum: of SGD.
        schedule: of a pipeline; microbatches: None for twice as many as it has processes.
        tolerance: largest difference of a loss or a weight.
        timeout_s: of each launch.
        twist: see `Leg`; only tests set it.
    """

    mesh: Mesh
    cores: int
    reshard: tuple[Mesh, ...] | None = None
    steps: int = 4
    resumed: int = 2
    learning_rate: float = 0.05
    momentum: float = 0.9
    schedule: str = "1f1b"
    microbatches: int | None = None
    tolerance: float = 1e-10
    timeout_s: float = 600.0
    twist: str = ""

    @property
    def meshes(self) -> tuple[Mesh, ...]:
        """Of all legs in order."""
        after = (Mesh(), smaller(self.mesh)) if self.reshard is None else self.reshard
        return (self.mesh, *after)

    @property
    def pieces(self) -> int:
        """Microbatches of a pipeline's share of a batch; 1 without a pipeline."""
        longest = max(mesh.size("pp") for mesh in self.meshes)
        usual = 2 * longest if longest > 1 else 1
        return usual if self.microbatches is None else self.microbatches

    @property
    def batches(self) -> int:
        """Steps of all legs."""
        return self.steps + self.resumed * (len(self.meshes) - 1)


def least_batch(wanted: Wanted) -> int:
    """Samples a step where nothing else is said: what all meshes divide."""
    largest = max(mesh.shares for mesh in wanted.meshes)
    return _LEAST * largest * wanted.pieces


def check_wanted(module: nn.Module, wanted: Wanted, batch: int, size: Sequence[int] = ()) -> None:
    """Refuse what cannot be done, before anything is started.

    Args:
        module: repeatable.
        wanted: settings.
        batch: samples a step.
        size: of one sample's input.

    Raises:
        InputError: the batch cannot be cut so, or the schedule does not fit. MachineError: too many processes.
        NetworkError: a strategy has nothing to cut in this network.
    """
    for mesh in wanted.meshes:
        check_processes(mesh, wanted.cores)
        if mesh.has("zero1") and not wanted.momentum:
            raise InputError(f"{mesh} spreads momentum, and momentum is 0", hint="zero2 or fsdp, or some momentum")
        check_cuts(module, mesh, batch, size, schedule=wanted.schedule, microbatches=wanted.pieces)


def prove(
    module: nn.Module,
    made: tuple[str, dict[str, object]],
    names: tuple[str, str],
    inputs: Tensor,
    labels: Tensor,
    *,
    wanted: Wanted,
    seed: int = 0,
    progress: Progress = silent,
) -> Proof:
    """Train in one process and in several, and compare.

    Args:
        module: with the weights to begin with; changed in place.
        made: the factory that makes it again, "package.module:callable", and its arguments.
        names: of the network and the data.
        inputs: float [steps, batch, ...], as many steps as `wanted.batches`.
        labels: int64 [steps, batch].
        wanted: what is to be proven.
        seed: that weights and data came from, for the record.
        progress: told which leg runs.

    Raises:
        NetworkError, InputError: see `check_wanted` and `classes_of`. MachineError: a process died.
    """
    module, notes = made_repeatable(module)
    inputs = inputs.double()
    classes_of(module, inputs[0, :_LEAST])
    check_wanted(module, wanted, inputs.shape[1], inputs.shape[2:])
    mixing = normalizes_batches(module) and any(pieces_of(mesh, wanted.pieces) > 1 for mesh in wanted.meshes)
    with tempfile.TemporaryDirectory(prefix="chipwise-prove-") as folder, threads(1):
        rates = (wanted.learning_rate, wanted.momentum)
        job = Job(*made, folder, _legs(wanted), *rates, not mixing, wanted.timeout_s / 2)
        save_file({"inputs": inputs, "labels": labels}, Path(folder) / DATA)
        legs = _trained(module, job, wanted, mixing=mixing, progress=progress)
    return Proof(
        *names,
        str(wanted.mesh),
        sum(value.numel() for value in module.parameters()),
        inputs.shape[1],
        *rates,
        seed,
        wanted.schedule if any(mesh.has("pp") for mesh in wanted.meshes) else "",
        wanted.pieces,
        wanted.tolerance,
        legs,
        (*notes, _MIXING) if mixing else notes,
        holds=all(leg.largest <= wanted.tolerance and not leg.missing for leg in legs),
    )


def _trained(module: nn.Module, job: Job, wanted: Wanted, *, mixing: bool, progress: Progress) -> tuple[ProofLeg, ...]:
    """Train alone, then all legs, each launched when the one before has written its checkpoint."""
    save_file({name: value.clone() for name, value in module.state_dict().items()}, Path(job.folder) / INITIAL)
    progress.update("proving", 0.0, "one process")
    losses = train_alone(module, job, _pieces(job, wanted, mixing=mixing))
    made, before = [], ""
    for number, leg in enumerate(job.legs):
        part = Part(progress, "proving", number / len(job.legs), (number + 1) / len(job.legs))
        made.append(leg_of(leg, before, losses, _run(replace(job, legs=(leg,)), wanted, part)))
        before = leg.mesh
    progress.update("proving", 1.0)
    return tuple(made)


def _legs(wanted: Wanted) -> tuple[Leg, ...]:
    """The first from the initial weights, each other from the checkpoint before."""
    made: list[Leg] = []
    first = 0
    for number, mesh in enumerate(wanted.meshes):
        steps = wanted.resumed if number else wanted.steps
        load = f"checkpoint-{number - 1}" if number else ""
        save = f"checkpoint-{number}" if number + 1 < len(wanted.meshes) else ""
        twist = wanted.twist if mesh.sizes else ""
        made.append(Leg(str(mesh), first, steps, load, save, wanted.schedule, wanted.pieces, twist))
        first += steps
    return tuple(made)


def _pieces(job: Job, wanted: Wanted, *, mixing: bool) -> list[int]:
    """For each step, in how many pieces the one process takes its batch."""
    legs = zip(job.legs, wanted.meshes, strict=True)
    return [pieces_of(mesh, wanted.pieces) if mixing else 1 for leg, mesh in legs for _ in range(leg.steps)]


def _run(job: Job, wanted: Wanted, progress: Progress) -> list[RankAnswer]:
    """One leg: several processes are launched, one is this."""
    mesh = parse_mesh(job.legs[0].mesh)
    if not mesh.sizes:
        return [run_leg(job, job.legs[0], 0)]
    return launch(job, mesh.processes, cores=wanted.cores, timeout_s=wanted.timeout_s, progress=progress)[0]
