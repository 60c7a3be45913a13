"""What hardware can do: facts from data sheets, and what was found out about this machine.

Unknown is `None`, never 0 or infinity.

>>> Device(name="example", kind="cpu", peak_flops={"fp32": 1e12}, bandwidth_bytes_s=5e10).ridge("fp32")
20.0
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal


@dataclass(frozen=True, slots=True)
class Price:
    """What something cost, as a range, when, and who says so.

    Attributes:
        kind: what sort of price it is: at launch by the maker, in shops, used, or rented by the hour.
        low: of the range; equal to `high` for a single price.
        high: of the range.
        currency: as in ISO 4217 ("USD").
        date: when it was asked, as "2021-03" or "2021".
        source: who says so.
    """

    kind: Literal["launch", "street", "used", "hour"]
    low: float
    high: float
    currency: str
    date: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """One chip or card.

    Attributes:
        name: the vendor's name for it.
        kind: what sort of chip it is.
        vendor: who makes it; aliases: what else it is called.
        peak_flops: dense peak per number format ("fp32", "bf16", "int8", ...), operations per second, at `clock_hz`
            where that is known. "fp16" is by matrix units where there are some; "fp16_vector" without them.
        bandwidth_bytes_s: main memory bandwidth.
        memory_bytes: main memory; memory_type: its kind ("HBM2e").
        cache_bytes: last-level cache.
        cores: as the vendor counts them; multiprocessors: units that blocks of work are spread over.
        clock_hz: boost clock, the one that stated peaks are for; base_clock_hz: guaranteed one; sustained_clock_hz:
            seen under load.
        rates: operations per clock of the whole chip per number format, so that peak = rate x clock.
        array: rows and columns of one systolic array; arrays: how many there are.
        chips: how many chips the name stands for (a K80 board has 2); all numbers are of all chips.
        process_nm, transistors, die_mm2: how it is made.
        power_w: board or package power; idle_power_w: doing nothing.
        year: of release.
        host_link: how it is connected to its host, by its name in the catalogue of links; links: to others of its kind.
        prices: what it cost, when and where.
        source: where the numbers come from as a whole ("measured here" for measured ones).
        sources: of single facts, by the name of the attribute ("peak_flops.fp16"), with a date.
        notes: what else a reader must know.
    """

    name: str
    kind: Literal["cpu", "gpu", "tpu", "edge", "fpga"]
    vendor: str = ""
    aliases: tuple[str, ...] = ()
    peak_flops: dict[str, float] = field(default_factory=dict)
    bandwidth_bytes_s: float | None = None
    memory_bytes: int | None = None
    memory_type: str = ""
    cache_bytes: int | None = None
    cores: int | None = None
    multiprocessors: int | None = None
    clock_hz: float | None = None
    base_clock_hz: float | None = None
    sustained_clock_hz: float | None = None
    rates: dict[str, float] = field(default_factory=dict)
    array: tuple[int, int] | None = None
    arrays: int | None = None
    chips: int = 1
    process_nm: float | None = None
    transistors: float | None = None
    die_mm2: float | None = None
    power_w: float | None = None
    idle_power_w: float | None = None
    year: int | None = None
    host_link: str = ""
    links: tuple[str, ...] = ()
    prices: tuple[Price, ...] = ()
    source: str = ""
    sources: dict[str, str] = field(default_factory=dict)
    notes: str = ""

    def ridge(self, precision: str) -> float | None:
        """Arithmetic intensity where memory stops being the limit, FLOPs per byte; None when not known."""
        peak = self.peak_flops.get(precision)
        return peak / self.bandwidth_bytes_s if peak and self.bandwidth_bytes_s else None

    def one_chip(self) -> Device:
        """One of the chips of a board: what a program sees of it; the device itself where it is one chip."""
        if self.chips == 1:
            return self

        def part(value: float | None) -> float | None:
            return None if value is None else value / self.chips

        def whole(value: int | None) -> int | None:
            return None if value is None else value // self.chips

        return replace(
            self,
            name=f"{self.name}, one chip",
            aliases=(),
            chips=1,
            peak_flops={name: peak / self.chips for name, peak in self.peak_flops.items()},
            rates={name: rate / self.chips for name, rate in self.rates.items()},
            bandwidth_bytes_s=part(self.bandwidth_bytes_s),
            memory_bytes=whole(self.memory_bytes),
            cache_bytes=whole(self.cache_bytes),
            cores=whole(self.cores),
            multiprocessors=whole(self.multiprocessors),
            transistors=part(self.transistors),
            die_mm2=part(self.die_mm2),
            power_w=part(self.power_w),
            idle_power_w=part(self.idle_power_w),
            prices=tuple(replace(each, low=each.low / self.chips, high=each.high / self.chips) for each in self.prices),
        )

    @property
    def price_usd(self) -> float | None:
        """What one costs to buy: the middle of the launch price, else of the newest other one; None if not known."""
        return _bought_usd(self.prices)


@dataclass(frozen=True, slots=True)
class Link:
    """A connection between two devices.

    Attributes:
        name: as in the catalogue ("NVLink 3").
        bandwidth_bytes_s: each way, of all lanes or links that one device has.
        latency_s: of an empty message.
        kind: between what it is; year: of release.
        notes: how it is counted.
        source: where the numbers come from, with a date.
    """

    name: str
    bandwidth_bytes_s: float
    latency_s: float | None = None
    kind: Literal["host", "device", "network"] = "device"
    year: int | None = None
    notes: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class System:
    """`count` devices of one kind and the link between them.

    Attributes:
        name: the vendor's name for it; aliases: what else it is called.
        device: one of its accelerators; None for machines without (Top500 of 2007).
        count: of them; link: between them; network: to other systems.
        memory_bytes: of the host; host: its processors.
        power_w: of the whole.
        peak_flops: of the whole where it is stated; reached_flops: measured by LINPACK.
        year, prices, sources, notes: as of `Device`.
    """

    name: str
    device: Device | None
    count: int = 1
    link: Link | None = None
    aliases: tuple[str, ...] = ()
    network: Link | None = None
    host: str = ""
    memory_bytes: int | None = None
    power_w: float | None = None
    peak_flops: dict[str, float] = field(default_factory=dict)
    reached_flops: float | None = None
    year: int | None = None
    prices: tuple[Price, ...] = ()
    sources: dict[str, str] = field(default_factory=dict)
    notes: str = ""

    @property
    def price_usd(self) -> float | None:
        """What one costs to buy, as of `Device`."""
        return _bought_usd(self.prices)


@dataclass(frozen=True, slots=True)
class Erratum:
    """A figure that is widely printed and wrong.

    Attributes:
        device: whose figure it is; figure: which.
        printed: as it is printed; printed_in: where.
        right: what it should be; why: what went wrong.
        source: of the right one, with a date.
    """

    device: str
    figure: str
    printed: str
    printed_in: str
    right: str
    why: str
    source: str


@dataclass(frozen=True, slots=True)
class MeasuredPeaks:
    """What somebody measured of a device in one number format.

    Attributes:
        device: its name in the catalogue; format: of the numbers.
        max_flops: FLOP/s of a kernel made to reach the most; fft_flops, gemm_flops: of FFT and matrix product.
        theory_flops: what the one who measured took for the peak; None where it was not said.
        triad_bytes_s: STREAM triad; theory_bytes_s: what was taken for the memory's bandwidth; None if not measured.
        source: who measured, where and when.
    """

    device: str
    format: str
    max_flops: float
    fft_flops: float
    gemm_flops: float
    theory_flops: float | None
    triad_bytes_s: float | None
    theory_bytes_s: float | None
    source: str


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


def _bought_usd(prices: tuple[Price, ...]) -> float | None:
    bought = [price for price in prices if price.kind != "hour" and price.currency == "USD"]
    first = next((price for price in bought if price.kind == "launch"), None)
    price = first or max(bought, key=lambda price: price.date, default=None)
    return None if price is None else (price.low + price.high) / 2
