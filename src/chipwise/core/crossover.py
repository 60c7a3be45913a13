"""Answer of `crossover`: training steps against the number of parameters, and where one device overtakes another.

>>> Parts(launch_s=3e-4, transfer_s=1e-4, memory_s=4e-4, compute_s=2e-4).shares["memory"]
0.4
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from chipwise.core.estimate import Interval
from chipwise.core.measure import Timing

NETS = ("mlp", "cnn")
CROSSOVER_PRECISIONS = ("fp32", "amp")
PartName = Literal["launch", "transfer", "memory", "compute"]


@dataclass(frozen=True, slots=True)
class Parts:
    """What a step's seconds go to.

    Attributes:
        launch_s: starting operations, and what the host takes beyond the device's work.
        transfer_s: moving the batch to the device.
        memory_s: layers bound by memory traffic, the optimizer among them; compute_s: layers bound by arithmetic.
    """

    launch_s: float
    transfer_s: float
    memory_s: float
    compute_s: float

    @property
    def shares(self) -> dict[PartName, float]:
        """Of the step, 0..1; they add up to 1."""
        named: dict[PartName, float] = {
            "launch": self.launch_s, "transfer": self.transfer_s, "memory": self.memory_s, "compute": self.compute_s,
        }  # fmt: skip
        total = sum(named.values()) or 1.0
        return {name: value / total for name, value in named.items()}


@dataclass(frozen=True, slots=True)
class CrossoverPoint:
    """One network on one device.

    Attributes:
        parameters: trainable values; width: of the network.
        step_s: of a training step; where it was measured, the median between the 10th and the 90th percentile.
        measured: whether it was; else it is predicted.
        parts: of a predicted step; None where a whole was measured, or scaled from what was.
        epoch_s: of a pass over the data; None where its size was not given.
        timing: of measured steps; foretold_s: what would have been told of them from the points before.
        fits: whether the step fits into the device's memory; None where that is not known.
    """

    parameters: int
    width: int
    step_s: Interval
    measured: bool
    parts: Parts | None = None
    epoch_s: Interval | None = None
    timing: Timing | None = None
    foretold_s: Interval | None = None
    fits: bool | None = None


@dataclass(frozen=True, slots=True)
class CrossoverLine:
    """One device.

    Attributes:
        device: its name; here: whether it is this machine.
        points: by parameters, ascending, the same for all devices.
        method: how predictions were made.
    """

    device: str
    here: bool
    points: tuple[CrossoverPoint, ...]
    method: str


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where a device overtakes the first one.

    Attributes:
        device: that overtakes; against: that is overtaken.
        kind: "at" a number of parameters, "always" faster, or "never" at the sizes that were looked at.
        parameters: from which on it is faster; a bound that lies outside of what was looked at is None, and so is the
            middle where the kind is not "at".
        step_s: of the device there, and at the smallest size where it is always, at the largest where it is never.
        parts: of that step; below: of its step at the smallest size.
    """

    device: str
    against: str
    kind: Literal["at", "always", "never"]
    parameters: Interval
    step_s: float
    parts: Parts | None
    below: Parts | None = None


@dataclass(frozen=True, slots=True)
class Crossover:
    """Answer of `crossover`.

    Attributes:
        net: "mlp" or "cnn"; batch: samples a step; precision: "fp32" or "amp"; optimizer: its name.
        data_size: samples of the data, where that was given.
        lines: one a device; the first is what the others are compared with.
        crossings: one for each of the others, among sizes that fit into both; none where no size does.
        complete: False where measuring was interrupted.
        picture: file that it was drawn into; "" for none.
        notes: what else to know, each a sentence.
    """

    net: str
    batch: int
    precision: str
    optimizer: str
    data_size: int | None
    lines: tuple[CrossoverLine, ...]
    crossings: tuple[Crossing, ...]
    complete: bool = True
    picture: str = ""
    notes: tuple[str, ...] = ()
    schema: str = "chipwise.crossover/1"
