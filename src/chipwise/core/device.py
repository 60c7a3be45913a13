"""What hardware can do: facts from data sheets, and what was found out about this machine.

Unknown is `None`, never 0 or infinity.

>>> Device(name="example", kind="cpu", peak_flops={"fp32": 1e12}, bandwidth_bytes_s=5e10).ridge("fp32")
20.0
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Device:
    """One chip or card.

    Attributes:
        name: the vendor's name for it.
        kind: what sort of chip it is.
        peak_flops: dense peak per number format ("fp32", "bf16", "int8", ...), operations per second.
        bandwidth_bytes_s: main memory bandwidth.
        memory_bytes: main memory.
        cache_bytes: last-level cache.
        power_w: board or package power.
        price_usd: price with its date in `source`.
        year: of release.
        source: where the numbers come from ("measured here" for measured ones).
    """

    name: str
    kind: Literal["cpu", "gpu", "tpu", "edge", "fpga"]
    peak_flops: dict[str, float] = field(default_factory=dict)
    bandwidth_bytes_s: float | None = None
    memory_bytes: int | None = None
    cache_bytes: int | None = None
    power_w: float | None = None
    price_usd: float | None = None
    year: int | None = None
    source: str = ""

    def ridge(self, precision: str) -> float | None:
        """Arithmetic intensity where memory stops being the limit, FLOPs per byte; None when not known."""
        peak = self.peak_flops.get(precision)
        return peak / self.bandwidth_bytes_s if peak and self.bandwidth_bytes_s else None


@dataclass(frozen=True, slots=True)
class Link:
    """A connection between two devices: bytes per second each way, and latency in seconds where known."""

    name: str
    bandwidth_bytes_s: float
    latency_s: float | None = None


@dataclass(frozen=True, slots=True)
class System:
    """`count` devices of one kind and the link between them."""

    name: str
    device: Device
    count: int = 1
    link: Link | None = None


@dataclass(frozen=True, slots=True)
class Gpu:
    """A graphics processor that the driver reports."""

    name: str
    memory_bytes: int | None = None
    driver: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine that a measurement was taken on; two are alike when their fingerprints are equal.

    Attributes:
        cpu: model name as the processor gives it.
        architecture: "x86_64", "aarch64", ...
        isa: instruction set extensions that matter to neural networks, sorted ("avx2", "avx512_vnni", ...).
        cores: whole cores that the process may really use (affinity and cgroup quota), at least 1.
        logical_cpus: processors that the operating system shows.
        cache_bytes: size by level ("L1d", "L2", "L3"), of one instance.
        memory_bytes: RAM the process may use (the smaller of physical and cgroup limit).
        gpus: graphics processors found.
        os: kernel name and release.
        python: interpreter version.
    """

    cpu: str
    architecture: str
    isa: tuple[str, ...]
    cores: int
    logical_cpus: int
    cache_bytes: dict[str, int] = field(default_factory=dict)
    memory_bytes: int | None = None
    gpus: tuple[Gpu, ...] = ()
    os: str = ""
    python: str = ""

    @property
    def fingerprint(self) -> str:
        """What must be equal for an engine or a measurement to carry over: processor, ISA and cores."""
        return f"{self.architecture}|{self.cpu}|{','.join(self.isa)}|{self.cores}"


@dataclass(frozen=True, slots=True)
class RuntimeStatus:
    """Whether a runtime is usable on this machine, and if not, why.

    Attributes:
        name: as in `--runtime`.
        usable: True when it imported and can run here.
        version: installed version; empty when not installed.
        precisions: number formats it runs natively here.
        reason: why it is not usable; empty when it is.
    """

    name: str
    usable: bool
    version: str = ""
    precisions: tuple[str, ...] = ()
    reason: str = ""
