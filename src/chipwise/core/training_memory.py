"""What training a network takes of memory, how it is made to fit, and the answer of `train --explain`.

>>> TrainingMemory(process=100, weights=40, saved=60, holes=30).total
230
"""

from __future__ import annotations

import math
from dataclasses import dataclass

Segment = tuple[str, ...]
USUAL_EVALUATION = 500  # samples that are evaluated at a time
LARGE_WEIGHT = 2**20  # bytes of a weight from which on it can lie on disk
STATE_AT_ONCE = 2**20  # values of each kind of an optimizer's state that are in memory where it lies on disk


@dataclass(frozen=True, slots=True)
class Savings:
    """How a training step is made to take less memory.

    Attributes:
        micro_batch: samples that go through the network at a time; gradients add up over the batch.
        precision: "fp32", "tf32", "bf16" or "fp16" (the latter two by autocast), as in the settings of training.
        again: segments of which only the borders are kept and the rest is computed a second time in the backward pass
            (activation checkpointing), each the paths of its modules.
        returned: freed memory goes back to the system at once, and so has no holes.
        swapped: segments of which what is saved for the backward pass lies on disk meanwhile.
        state_on_host: the optimizer's state is in main memory, the rest on another device.
        evaluation_batch: samples that are evaluated at a time.
        state_on_disk: the optimizer's state lies in a file, of which a step reads and writes a piece at a time.
        weights_on_disk: large weights lie in a file, and their gradients and the best ones so far; those of a layer are
            in memory while it runs.
    """

    micro_batch: int
    precision: str = "fp32"
    again: tuple[Segment, ...] = ()
    returned: bool = False
    evaluation_batch: int = USUAL_EVALUATION
    swapped: tuple[Segment, ...] = ()
    state_on_host: bool = False
    state_on_disk: bool = False
    weights_on_disk: bool = False

    @property
    def on_disk(self) -> bool:
        """Whether steps are as slow as the disk is."""
        return self.state_on_disk or self.weights_on_disk or bool(self.swapped)

    @property
    def halves(self) -> bool:
        """Whether activations are in 2 bytes."""
        return self.precision in ("bf16", "fp16")

    def words(self, batch: int) -> tuple[str, ...]:
        """The techniques in words, of a step of so many samples; empty for the plain way."""
        parts, segments = math.ceil(batch / self.micro_batch), len(self.again)
        swapped = len(self.swapped)
        named = (
            (f"{self.precision} autocast", self.halves),
            (f"{parts} micro-batches of {self.micro_batch} or fewer", parts > 1),
            (f"checkpointing of {segments} segment{'s' * (segments != 1)}", segments > 0),
            ("freed memory returned at once", self.returned),
            (f"activations of {swapped} segment{'s' * (swapped != 1)} on disk", swapped > 0),
            ("optimizer's state in main memory", self.state_on_host),
            ("the optimizer's state on disk", self.state_on_disk),
            ("weights on disk", self.weights_on_disk),
            (f"evaluation of {self.evaluation_batch} at a time", self.evaluation_batch < USUAL_EVALUATION),
        )
        return tuple(word for word, used in named if used)


@dataclass(frozen=True, slots=True)
class TrainingMemory:
    """Bytes of the process at the moment of training when they are most, part by part.

    On another device than the processor they are those that torch's allocator has given out there.

    Attributes:
        process: Python, libraries and what they compile; on another device, what libraries keep there.
        data: samples as they were read, and as inputs of the network; the batch among them.
        weights: with running statistics; average: of them over the steps; best: the copy of what did best so far,
            which is in main memory.
        optimizer: its state; gradients: of the weights.
        saved: activations kept for the backward pass; copies: 2-byte weights kept for it.
        activations: results and their gradients that are alive beside; workspace: copies that kernels make.
        messages: weights gathered from other processes, gradients on the way to them, and copies of both.
        holes: freed memory that the C library keeps and cannot fill.
        moment: when that is, for people.
        high: bytes that the peak should stay below.
    """

    process: int = 0
    data: int = 0
    weights: int = 0
    average: int = 0
    best: int = 0
    optimizer: int = 0
    gradients: int = 0
    saved: int = 0
    copies: int = 0
    activations: int = 0
    workspace: int = 0
    messages: int = 0
    holes: int = 0
    moment: str = ""
    high: int = 0

    @property
    def total(self) -> int:
        """All parts together."""
        return self.process + self.data + self.held + self.moving + self.holes

    @property
    def held(self) -> int:
        """What training keeps from step to step."""
        return self.weights + self.average + self.best + self.optimizer

    @property
    def moving(self) -> int:
        """What comes and goes within a step."""
        return self.gradients + self.saved + self.copies + self.activations + self.workspace + self.messages


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """One kind of process of a mesh, by its place: in a training step, and where it takes most."""

    place: str
    step: TrainingMemory
    memory: TrainingMemory


@dataclass(frozen=True, slots=True)
class Way:
    """One way of training.

    Attributes:
        savings: its techniques.
        step: the process in a training step; memory: where it takes most, which may be in evaluation. Of a mesh, the
            process that takes most.
        time_factor: expected time of a step over that of the plain way.
        mesh: as "dp2"; "1" for one process. processes: each kind of those of a mesh; empty for one process.
    """

    savings: Savings
    step: TrainingMemory
    memory: TrainingMemory
    time_factor: float
    mesh: str = "1"
    processes: tuple[ProcessMemory, ...] = ()

    def words(self, batch: int) -> tuple[str, ...]:
        """The mesh and the techniques in words, of a step of so many samples; empty for the plain way."""
        if not self.processes:
            return self.savings.words(batch)
        return (self.mesh, *self.savings.words(self.savings.micro_batch))


@dataclass(frozen=True, slots=True)
class ChosenMesh:
    """A mesh that was chosen by what fits, and what it was chosen for: a run keeps it as long as that is the same.

    Attributes:
        mesh: as "dp2"; "1" for one process.
        most: processes that there might have been; machines: that share them.
        memory: the limit of each, as it was asked for.
    """

    mesh: str
    most: int
    machines: int
    memory: str

    @property
    def words(self) -> str:
        """What it was chosen for, in words."""
        on = f" on {self.machines} machines" if self.machines > 1 else ""
        return f"{self.most} processes at most{on}, each within {self.memory}"


@dataclass(frozen=True, slots=True)
class LayerMemory:
    """What one layer adds: float32 bytes of its weights, and what it saves for the backward pass in the plain way."""

    name: str
    op: str
    weight_bytes: int
    saved_bytes: int


@dataclass(frozen=True, slots=True)
class TrainingFit:
    """Answer of `train --explain`: what training takes, and how it fits into a limit.

    Attributes:
        network, data: names; batch_size, optimizer: of the settings.
        plain: as the settings say.
        layers: those that add most, largest first; others: how many more there are.
        limit_bytes: what is allowed; None where nothing was said.
        chosen: the quickest way that fits; None without a limit, and where none fits.
        smallest: the way that takes least, where none fits.
        notes: what else to know, a sentence each.
    """

    network: str
    data: str
    batch_size: int
    optimizer: str
    plain: Way
    layers: tuple[LayerMemory, ...]
    others: int = 0
    limit_bytes: int | None = None
    chosen: Way | None = None
    smallest: Way | None = None
    notes: tuple[str, ...] = ()
    schema: str = "chipwise.train-memory/1"


@dataclass(frozen=True, slots=True)
class RankMemory:
    """What one process of a mesh took.

    Attributes:
        rank: from 0; place: its index along each dimension, as "dp0,tp1".
        before_bytes: resident before the network was built; peak_bytes: at most since then; None where the system does
            not tell.
    """

    rank: int
    place: str
    before_bytes: int | None
    peak_bytes: int | None


@dataclass(frozen=True, slots=True)
class MeasuredMemory:
    """The prediction of a run beside its measured peak; the latter None where the system does not tell.

    Attributes:
        predicted_bytes, measured_bytes: of the whole process.
        limit_bytes: as asked for.
        techniques: in words; empty for none.
        time_factor: predicted, over the plain way.
        mesh: as "dp2"; "1" for one process. ranks: what each process of it took; the starter is not among them.
    """

    predicted_bytes: int
    measured_bytes: int | None
    limit_bytes: int | None = None
    techniques: tuple[str, ...] = ()
    time_factor: float = 1.0
    mesh: str = "1"
    ranks: tuple[RankMemory, ...] = ()
