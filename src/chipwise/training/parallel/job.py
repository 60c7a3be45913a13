"""What processes are told and what they answer, as JSON files: nothing of it is executed, nothing is pickled.

>>> from chipwise.codec.records import decode, encode
>>> job = Job("a.b:c", {}, "runs", (Leg("dp2", 0, 3),))
>>> decode(encode(job), Job, "job") == job
True
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chipwise.core.proof import Traffic

INITIAL, DATA = "initial.safetensors", "data.safetensors"


@dataclass(frozen=True, slots=True)
class Leg:
    """A stretch of training.

    Attributes:
        mesh: as "dp2,tp2".
        first, steps: which of the batches, from 0.
        load, save: folders of distributed checkpoints in the job's; empty for the initial weights, and for none.
        schedule, microbatches: of a pipeline.
        twist: "package.module:callable", a context manager that breaks something on purpose; only tests set it.
    """

    mesh: str
    first: int
    steps: int
    load: str = ""
    save: str = ""
    schedule: str = "1f1b"
    microbatches: int = 1
    twist: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """What all processes of a launch do.

    Attributes:
        factory, arguments: "package.module:callable" that makes the network, and JSON values for it.
        folder: where initial weights, batches, reference weights and checkpoints lie, and answers go.
        legs: one after another, all with as many processes.
        learning_rate, momentum: of SGD.
        running_statistics: whether those of batch-norm are compared, too.
        timeout_s: how long a process waits for another.
    """

    factory: str
    arguments: dict[str, Any]
    folder: str
    legs: tuple[Leg, ...]
    learning_rate: float = 0.1
    momentum: float = 0.9
    running_statistics: bool = True
    timeout_s: float = 300.0


@dataclass(frozen=True, slots=True)
class StepAnswer:
    """One step in one process: its loss (None where another pipeline stage has it), and the worst of its weights."""

    loss: float | None
    weights: float
    worst: str


@dataclass(frozen=True, slots=True)
class RankAnswer:
    """What one process says of a leg.

    Attributes:
        rank: from 0; place: its index along each dimension; share: which part of the batch it had.
        loaded: largest difference of a weight before the first step.
        steps: one each.
        whole_bytes: of all parameters of the network.
        names: parameters that it holds, or a part of; everything: all that the network has.
        traffic: of the first step.
        running, missing: what was found to run, and what was asked for and does not.
    """

    rank: int
    place: str
    share: int
    loaded: float
    steps: tuple[StepAnswer, ...]
    weight_bytes: int
    forward_bytes: int
    gradient_bytes: int
    optimizer_bytes: int
    whole_bytes: int
    names: tuple[str, ...]
    everything: tuple[str, ...]
    traffic: tuple[Traffic, ...]
    running: tuple[str, ...]
    missing: tuple[str, ...]


def answer_file(leg: int, rank: int) -> str:
    """Where a process puts its answer on a leg."""
    return f"leg{leg}-rank{rank}.json"


def reference_file(step: int) -> str:
    """Where the weights of the one process lie after so many steps."""
    return f"reference-{step}.safetensors"
