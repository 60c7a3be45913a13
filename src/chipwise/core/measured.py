"""What a machine was measured to do: products, transforms, streams, copies, overheads, and layers on its runtimes.

A profile is a record like any other: JSON on disk, shared with others, and read back with every field checked.

>>> times = KernelTime("conv", 1e9, 1e6, (3136.0, 64.0, 64.0, 9.0, 1.0), 4e-3)
>>> times.flops / times.time_s
250000000000.0
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from chipwise.core.device import Device, Machine

SCHEMA = "chipwise.machine/1"


@dataclass(frozen=True, slots=True)
class Sustained:
    """A rate that was held, and how far it can be trusted.

    Attributes:
        rate: per second; the median of the undisturbed repetitions.
        spread: interquartile range over median of the repetitions.
        repeats: repetitions that were taken; disturbed: those of them that were thrown away, because others used the
            processor meanwhile.
    """

    rate: float
    spread: float
    repeats: int
    disturbed: int = 0


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How fast one kind of arithmetic in one number format is, in operations per second (1 multiply-add = 2).

    Attributes:
        work: a product of two square matrices ("product") or a fast Fourier transform ("fft", 5 N log2 N operations
            for N complex values).
        format: of the numbers; through: the library that did it.
        size: side of the matrices, or values in one transform, at which it was fastest.
        threads: that worked on it; 0 for a graphics processor.
        native: False where the processor has no instructions for the format.
        best: the rate at that size.
    """

    work: Literal["product", "fft"]
    format: str
    through: str
    size: int
    threads: int
    best: Sustained
    native: bool = True


@dataclass(frozen=True, slots=True)
class Stream:
    """How fast memory is read and written, in bytes per second, each array counted once.

    Attributes:
        level: where the arrays fit: "L1d", "L2", "L3", "memory".
        kernel: "copy" (a = b) or "add" (a = b + c, which moves what STREAM's triad moves).
        threads: that worked side by side; size_bytes: of all arrays of all threads.
        best: the rate.
    """

    level: str
    kernel: Literal["copy", "add"]
    threads: int
    size_bytes: int
    best: Sustained


@dataclass(frozen=True, slots=True)
class Dispatch:
    """What a runtime takes for nothing: one call of a graph with one tiny operator, and one more tiny operator."""

    runtime: str
    call_s: float
    operator_s: float


@dataclass(frozen=True, slots=True)
class Copy:
    """Bytes per second between the host's memory and a graphics processor's."""

    direction: Literal["to device", "to host"]
    pinned: bool
    size_bytes: int
    best: Sustained


@dataclass(frozen=True, slots=True)
class KernelTime:
    """What one kernel took on a runtime.

    Attributes:
        kind, flops, values, sizes: as of `chipwise.cost.fused.Kernel`.
        time_s: it took.
        weight: its say in what similar kernels are expected to take; see `chipwise.cost.measured_model`.
    """

    kind: str
    flops: float
    values: float
    sizes: tuple[float, ...]
    time_s: float
    weight: float = 0.0


@dataclass(frozen=True, slots=True)
class LayerTimes:
    """What layers take on one runtime in one number format, measured in small networks.

    Attributes:
        runtime, precision: what ran them; native: False where the processor has no instructions for the format.
        threads: as in `EngineOptions`; 0 for all.
        kernels: the measured ones.
        flops_s, values_s, least_s: best rates seen, of operations and of values read and written, and the shortest time
            of a kernel.
        usual: by class of kernel, logarithm of the usual time over what it would be at the best rates.
        factor, each_s, start_s: a whole network takes `factor` times the sum of its kernels' times, plus `each_s` for
            every kernel (below 0 where the profiler's own time is in theirs), plus `start_s` a call.
        errors: of predicting each small network from all others: logarithms of predicted over measured time.
    """

    runtime: str
    precision: str
    threads: int
    kernels: tuple[KernelTime, ...]
    flops_s: float
    values_s: float
    least_s: float
    usual: dict[str, float]
    factor: float = 1.0
    each_s: float = 0.0
    start_s: float = 0.0
    errors: tuple[float, ...] = ()
    native: bool = True


@dataclass(frozen=True, slots=True)
class MeasuredMachine:
    """Everything that was measured on a machine.

    Attributes:
        machine: which; device: the same as a device with measured peaks, `source` "measured here".
        date: when, as "2026-11-23".
        versions: of the libraries.
        theory: peak per number format from instruction sets, cores and clock; formats whose rate is not known are left
            out. theory_basis: how it was reckoned.
        arithmetic, streams, dispatch, copies, layers: what was measured.
        clock_hz: as the system reported it under load; None where it does not.
        seconds: how long it took; complete: False when it was interrupted or time ran out.
        notes: what a reader must know, each a sentence.
    """

    machine: Machine
    device: Device
    date: str
    versions: dict[str, str]
    theory: dict[str, float] = field(default_factory=dict)
    theory_basis: str = ""
    arithmetic: tuple[Arithmetic, ...] = ()
    streams: tuple[Stream, ...] = ()
    dispatch: tuple[Dispatch, ...] = ()
    copies: tuple[Copy, ...] = ()
    layers: tuple[LayerTimes, ...] = ()
    clock_hz: float | None = None
    seconds: float = 0.0
    complete: bool = True
    notes: tuple[str, ...] = ()
    schema: str = SCHEMA

    def layer_times(self, runtime: str, precision: str) -> LayerTimes | None:
        """What layers take on a runtime in a format; None where that was not measured."""
        return next((each for each in self.layers if (each.runtime, each.precision) == (runtime, precision)), None)
