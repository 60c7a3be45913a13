"""What is asked of a device, and what it is expected to take.

>>> Interval(low=1.0, mid=2.0, high=4.0).covers(3.0)
True
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Bound = Literal["compute", "memory", "launch", "unknown"]


@dataclass(frozen=True, slots=True)
class Workload:
    """A phase, a batch and how it is run.

    Attributes:
        phase: inference or training.
        batch: items per step.
        precision: number format of weights and activations ("fp32", "bf16", "int8", ...); of the products, where
            "amp" is among the techniques.
        compiled: run by what fuses layers (torch.compile, ONNX Runtime, OpenVINO, TensorRT); else layer by layer.
        runtime: which software runs it ("torch", "onnxruntime", "openvino", "tflite"); "" for what is usual.
        techniques: memory- or time-saving techniques by name ("amp", "channels_last", "checkpointing",
            "weights on disk", ...).
        parallelism: ways per axis, as ("dp", 2); empty for one device.
        again: segments that training runs a second time in the backward pass, each the paths of its modules.
        swapped: segments of which what is saved for the backward pass lies on disk meanwhile.
    """

    phase: Literal["inference", "training"] = "inference"
    batch: int = 1
    precision: str = "fp32"
    compiled: bool = False
    runtime: str = ""
    techniques: tuple[str, ...] = ()
    parallelism: tuple[tuple[str, int], ...] = ()
    again: tuple[tuple[str, ...], ...] = ()
    swapped: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Interval:
    """A low, middle and high value; a bound that is not known is None.

    `coverage` is the share of cases (0..1) that should lie inside, as calibrated on rows that were held out; None where
    the bounds are certain or nothing was calibrated.
    """

    low: float | None
    mid: float | None
    high: float | None
    coverage: float | None = None

    def covers(self, value: float) -> bool:
        """True when `value` lies inside; an unknown bound does not exclude anything."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def times(self, factor: float) -> Interval:
        """The interval of a value that is proportional to this one."""

        def scaled(value: float | None) -> float | None:
            return None if value is None else value * factor

        return Interval(scaled(self.low), scaled(self.mid), scaled(self.high), self.coverage)

    def rate(self, count: float) -> Interval:
        """Of so many things in this time: things per second."""

        def over(time_s: float | None) -> float | None:
            return count / time_s if time_s else None

        return Interval(over(self.high), over(self.mid), over(self.low), self.coverage)


@dataclass(frozen=True, slots=True)
class EstimateRow:
    """One layer of an estimate.

    Attributes:
        name: of the layer; op: its operator; kind: class of work ("conv", "depthwise", "matmul", "elementwise", ...).
        flops: work, 1 multiply-add = 2 FLOPs; moved_bytes: read and written in the precision asked for.
        time_s: middle estimate; bound: which limit sets it.
    """

    name: str
    time_s: float
    bound: Bound
    op: str = ""
    kind: str = ""
    flops: float = 0.0
    moved_bytes: float = 0.0


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """What a workload keeps in the device's memory, in bytes.

    Attributes:
        weights: parameters and running statistics, in the format they are kept in.
        activations: most that is alive at once in inference; in training beside what is saved.
        saved: kept for the backward pass; 0 in inference.
        gradients: of the weights; optimizer: its state; copies: low-precision weights beside full ones (AMP).
        workspace: scratch memory of kernels.
        rounding: what the allocator keeps beyond what was asked for.
        context: of the framework and driver, before the first tensor.
    """

    weights: int
    activations: int
    saved: int = 0
    gradients: int = 0
    optimizer: int = 0
    copies: int = 0
    workspace: int = 0
    rounding: int = 0
    context: int = 0

    @property
    def allocated_bytes(self) -> int:
        """Bytes in tensors at the peak."""
        return (
            self.weights
            + self.activations
            + self.saved
            + self.gradients
            + self.optimizer
            + self.copies
            + self.workspace
        )

    @property
    def reserved_bytes(self) -> int:
        """Bytes that the framework's allocator holds at the peak."""
        return self.allocated_bytes + self.rounding

    @property
    def device_bytes(self) -> int:
        """Bytes that are gone from the device, the framework's context among them."""
        return self.reserved_bytes + self.context


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a workload should take on a device.

    Attributes:
        device: name of the device.
        workload: what was asked.
        rows: one per layer.
        time_s: of one batch (one step in training); unknown bounds are None.
        memory: what it keeps in memory; memory_bytes: the same as an interval of the device's total.
        fits: whether the middle of it fits into the device's memory; None where that is not known.
        energy_j: of one batch; None where the device's power is not known.
        price_usd: of one batch; None where no price is known.
        bound: what limits most of the time.
        method: how the numbers were made.
        unknown_ops: operators whose work is not known; their traffic alone is counted and the interval is wider.
        notes: what else widens or explains the interval, each a sentence.
    """

    device: str
    workload: Workload
    rows: tuple[EstimateRow, ...]
    time_s: Interval
    memory: MemoryUse
    bound: Bound
    method: str
    memory_bytes: Interval | None = None
    fits: bool | None = None
    energy_j: Interval | None = None
    price_usd: Interval | None = None
    unknown_ops: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def beside_s(self) -> float:
        """Seconds of the middle that belong to no layer: a call's start, and what the host cannot hide."""
        return max(0.0, (self.time_s.mid or 0.0) - sum(row.time_s for row in self.rows))

    @property
    def items_s(self) -> Interval:
        """Items per second: the batch over the time."""
        return self.time_s.rate(self.workload.batch)
