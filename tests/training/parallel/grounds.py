"""What the launches of a test share: a network, its batches, and what one process learns of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from chipwise.core.proof import ProofLeg
from chipwise.training.parallel import launch as launching
from chipwise.training.parallel.answers import leg_of
from chipwise.training.parallel.job import DATA, INITIAL, Job, Leg
from chipwise.training.parallel.likeness import made_repeatable
from chipwise.training.parallel.reference import train_alone
from chipwise.training.seeds import seeded
from training.parallel import nets

TOLERANCE = 1e-12
BATCH, STEPS = 16, 3


@dataclass(frozen=True)
class Ground:
    """What all launches share: a network, its batches, and what one process learns of them."""

    job: Job
    losses: list[float]

    def run(self, legs: list[Leg], processes: int) -> list[ProofLeg]:
        job = Job(**{**{name: getattr(self.job, name) for name in self.job.__slots__}, "legs": tuple(legs)})
        answers = launching.launch(job, processes, cores=2, timeout_s=500)
        return [leg_of(leg, "", self.losses, ranks) for leg, ranks in zip(legs, answers, strict=True)]


def ground(folder: Path, name: str, steps: int = STEPS) -> Ground:
    with seeded(0):
        module = made_repeatable(getattr(nets, name)())[0]
        inputs = torch.randn(steps, BATCH, *nets.SHAPES[name], dtype=torch.float64)
        labels = torch.randint(0, 3, (steps, BATCH))
    save_file(module.state_dict(), folder / INITIAL)
    save_file({"inputs": inputs, "labels": labels}, folder / DATA)
    job = Job(f"training.parallel.nets:{name}", {}, str(folder), (), timeout_s=200.0)
    return Ground(job, train_alone(module, job, [1] * steps))


def check_holds(leg: ProofLeg) -> None:
    assert leg.largest < TOLERANCE, (leg.mesh, leg.steps)
    assert not leg.missing
    assert len(leg.ranks) == leg.processes
    assert leg.steps[0].alone != leg.steps[-1].alone  # it learned something
