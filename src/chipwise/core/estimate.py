"""What is asked of a device, and what it is expected to take.

>>> Interval(low=1.0, mid=2.0, high=4.0).covers(3.0)
True
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Workload:
    """A phase, a batch and how it is run.

    Attributes:
        phase: inference or training.
        batch: items per step.
        precision: number format of weights and activations ("fp32", "bf16", "int8", ...).
        techniques: memory- or time-saving techniques by name ("amp", "checkpointing", ...).
        parallelism: ways per axis, as ("dp", 2); empty for one device.
    """

    phase: Literal["inference", "training"] = "inference"
    batch: int = 1
    precision: str = "fp32"
    techniques: tuple[str, ...] = ()
    parallelism: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Interval:
    """A low, middle and high value; a bound that is not known is None."""

    low: float | None
    mid: float | None
    high: float | None

    def covers(self, value: float) -> bool:
        """True when `value` lies inside; an unknown bound does not exclude anything."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


@dataclass(frozen=True, slots=True)
class EstimateRow:
    """One layer of an estimate: seconds, and which limit sets them."""

    name: str
    time_s: float
    bound: Literal["compute", "memory"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a workload should take on a device.

    Attributes:
        device: name of the device.
        workload: what was asked.
        rows: one per layer.
        time_s: whole time; unknown bounds are None.
        weights_bytes: parameters in memory.
        activations_bytes: largest sum of a layer's inputs and outputs.
        energy_j: None where the device's power is not known.
        price_usd: None where no price is known.
        bound: what limits most of the time.
        method: how the numbers were made.
    """

    device: str
    workload: Workload
    rows: tuple[EstimateRow, ...]
    time_s: Interval
    weights_bytes: int
    activations_bytes: int
    energy_j: Interval | None
    price_usd: Interval | None
    bound: Literal["compute", "memory"]
    method: str
