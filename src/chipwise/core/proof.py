"""What `prove` answers: how far training in several processes is from training in one.

>>> ProofStep(1, 2.25, 2.5, 0.0).loss_difference
0.25
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProofStep:
    """One training step, in one process and in parallel.

    Attributes:
        step: from 1.
        alone: loss of the batch in one process, before the step, in nats; parallel: of the parallel run.
        weights: largest absolute difference of a weight after the step, over all processes.
        worst: the name of that weight.
        spread: largest difference of the loss between processes that should have the same.
    """

    step: int
    alone: float
    parallel: float
    weights: float
    worst: str = ""
    spread: float = 0.0

    @property
    def loss_difference(self) -> float:
        """Absolute difference of the losses; of processes that should agree, where that is more."""
        return max(abs(self.alone - self.parallel), self.spread)


@dataclass(frozen=True, slots=True)
class Traffic:
    """Calls of one collective.

    Attributes:
        kind: torch's name of it.
        calls: how many; sent_bytes: of the values that are reduced, gathered or sent, all calls together.
    """

    kind: str
    calls: int
    sent_bytes: int


@dataclass(frozen=True, slots=True)
class ProofRank:
    """What one process held after the last step.

    Attributes:
        rank: from 0; place: its index along each dimension, as "dp0,tp1".
        weight_bytes: parameters; forward_bytes: the same between forward and backward.
        gradient_bytes: of what it steps with; optimizer_bytes: momentum.
        traffic: what it says to others in one step, by kind of call.
    """

    rank: int
    place: str
    weight_bytes: int
    forward_bytes: int
    gradient_bytes: int
    optimizer_bytes: int
    traffic: tuple[Traffic, ...] = ()


@dataclass(frozen=True, slots=True)
class ProofLeg:
    """A stretch of training on one mesh.

    Attributes:
        mesh: as "dp2,tp2"; "1" for one process; processes: how many.
        loaded: the mesh whose checkpoint it began with; empty for the initial weights.
        loaded_difference: largest difference of a weight as loaded, before the first step.
        steps, ranks: one row each.
        running: what was found to run, in words, one line a strategy.
        missing: what was asked for and does not run; any of it breaks the proof.
    """

    mesh: str
    processes: int
    loaded: str
    loaded_difference: float
    steps: tuple[ProofStep, ...]
    ranks: tuple[ProofRank, ...]
    running: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def largest(self) -> float:
        """The largest difference of a loss or a weight; NaN where one is."""
        found = [self.loaded_difference]
        for step in self.steps:
            found += [step.loss_difference, step.weights]
        return max(found, key=lambda value: (value != value, value))  # noqa: PLR0124  NaN is the largest


@dataclass(frozen=True, slots=True)
class Proof:
    """Answer of `prove`.

    Attributes:
        network, data: names; mesh: what was asked for.
        parameters: values that learn; batch: samples a step over all processes.
        learning_rate, momentum: of SGD; seed: of weights and data.
        schedule: of the pipeline, empty without; microbatches: pieces of each process's share of a batch.
        tolerance: the largest difference that is taken for rounding.
        legs: stretches of training, each from the checkpoint of the one before.
        notes: what was changed so that both can be equal.
        holds: nothing differs by more than the tolerance, and what was asked for runs.
    """

    network: str
    data: str
    mesh: str
    parameters: int
    batch: int
    learning_rate: float
    momentum: float
    seed: int
    schedule: str
    microbatches: int
    tolerance: float
    legs: tuple[ProofLeg, ...]
    notes: tuple[str, ...]
    holds: bool
    schema: str = "chipwise.proof/1"
