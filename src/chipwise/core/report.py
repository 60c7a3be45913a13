"""What each verb answers: plain records that `show` prints, draws or turns into JSON.

Every record has a `schema` field, so that `--json` output can be recognised and versioned.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from chipwise.core.device import Device, Erratum, Link, Machine, MeasuredPeaks, RuntimeStatus, System
from chipwise.core.epoch import Epoch
from chipwise.core.layer import Layer, Totals
from chipwise.core.ledger import Ledger
from chipwise.core.measure import Accuracy, PairedDrop, Ratio, Timing
from chipwise.core.measured import MeasuredMachine
from chipwise.core.network import TensorSpec
from chipwise.core.plan import Choice, Manifest
from chipwise.core.training_memory import MeasuredMemory
from chipwise.core.what_if import Offers, WhatIf

BENCH_SCHEMA = "chipwise.bench/1"


@dataclass(frozen=True, slots=True)
class Inspection:
    """Answer of `inspect`: the layer table of a network for one batch.

    `task` is its kind, with the decoder of a detector ("detection:yolo"); `graph` the picture that was written;
    `ledger` where the bytes of a compressed file are.
    """

    name: str
    origin: str
    batch: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    layers: tuple[Layer, ...]
    totals: Totals
    task: str = ""
    graph: str = ""
    ledger: Ledger | None = None
    schema: str = "chipwise.inspect/1"


@dataclass(frozen=True, slots=True)
class ZooLine:
    """One network of the zoo: its name, what it is for, what it takes, and what it costs for one item."""

    name: str
    kind: str
    input: tuple[int | str, ...]
    parameters: int
    flops: int
    description: str


@dataclass(frozen=True, slots=True)
class ZooList:
    """Answer of `zoo`: the networks that come with chipwise."""

    networks: tuple[ZooLine, ...]
    schema: str = "chipwise.zoo/1"


@dataclass(frozen=True, slots=True)
class HardwareLine:
    """A device, a system or a link, with what follows from its facts; what is not known is None.

    Attributes:
        name, kind, year: what it is; `kind` is that of a device, or "system" or "link".
        peak_flops, memory_bytes, bandwidth_bytes_s, power_w, price_usd: of the whole; of a system, its accelerators'
            peaks, memory and bandwidth together where it states none. The bandwidth of a link is that each way.
        flops_per_watt (eta), flops_per_usd (mu): of the number format that the answer is for.
        ridges: FLOPs per byte from which on memory is no limit, by number format.
        device, system, link: all its facts; one of them.
    """

    name: str
    kind: str
    year: int | None = None
    peak_flops: dict[str, float] = field(default_factory=dict)
    memory_bytes: int | None = None
    bandwidth_bytes_s: float | None = None
    power_w: float | None = None
    price_usd: float | None = None
    flops_per_watt: float | None = None
    flops_per_usd: float | None = None
    ridges: dict[str, float] = field(default_factory=dict)
    device: Device | None = None
    system: System | None = None
    link: Link | None = None


@dataclass(frozen=True, slots=True)
class Hardware:
    """Answer of `hardware`: what was asked for, in order, and errata about it.

    `view` says what to make of it; `precision` is the number format of eta and mu; `pictures` were written; `measured`
    is what others measured of the only device, on it or on another form of its chip; `sort` is what a list is ordered
    by, "" for by kind and year.
    """

    view: Literal["list", "sheet", "comparison", "errata", "top500"]
    lines: tuple[HardwareLine, ...]
    errata: tuple[Erratum, ...] = ()
    precision: str = "fp32"
    pictures: tuple[str, ...] = ()
    measured: tuple[MeasuredPeaks, ...] = ()
    sort: str = ""
    schema: str = "chipwise.devices/1"


def order_of(line: HardwareLine, order: str, precision: str) -> float | None:
    """What a list of hardware is ordered by ("flops", "price", ...); None where that is not known."""
    values = {
        "flops": line.peak_flops.get(precision), "flops-per-watt": line.flops_per_watt,
        "flops-per-dollar": line.flops_per_usd, "bandwidth": line.bandwidth_bytes_s, "memory": line.memory_bytes,
        "year": line.year, "power": line.power_w, "price": line.price_usd, "name": 0.0,
    }  # fmt: skip
    return values[order]


@dataclass(frozen=True, slots=True)
class FeatureSheet:
    """One layer of a network that was looked into; `kernels` and `maps` are the PNG files, "" where there is none."""

    layer: str
    op: str
    shape: tuple[int, ...]
    kernels: str = ""
    maps: str = ""


@dataclass(frozen=True, slots=True)
class Features:
    """Answer of `features`: what layers make of one picture; without files when only the layers were asked for."""

    network: str
    input: str
    sheets: tuple[FeatureSheet, ...]
    schema: str = "chipwise.features/1"


@dataclass(frozen=True, slots=True)
class Training:
    """Answer of `train`: what was learned and where it is.

    Attributes:
        network, data: names; parameters: trainable values.
        folder: where weights, checkpoints, events and the picture of the curves lie.
        settings: optimizer, schedule, batch size and so on, as used.
        history: one row an epoch; best_epoch: the one whose weights were kept (highest validation accuracy).
        stopped: why training ended ("epochs done", "target reached", "no improvement for 10 epochs").
        seconds: time spent in training steps, over all resumed runs.
        test: accuracy on the held-out test split with the kept weights; None when there is no test split.
        confusion: rows are true classes, columns predictions, on the test split.
        class_names: in the order of `confusion`; skipped: files of the data that could not be read and were left out.
        seed: of weights, order and augmentation; memory: predicted and measured peak, where there was a limit.
    """

    network: str
    data: str
    parameters: int
    folder: str
    settings: dict[str, str | int | float | bool | None]
    history: tuple[Epoch, ...]
    best_epoch: int
    stopped: str
    seconds: float
    test: Accuracy | None
    confusion: tuple[tuple[int, ...], ...]
    class_names: tuple[str, ...]
    seed: int
    skipped: tuple[str, ...] = ()
    memory: MeasuredMemory | None = None
    schema: str = "chipwise.train/1"


@dataclass(frozen=True, slots=True)
class Box:
    """One object in a picture: its class, its score 0..1, and its edges in pixels of the picture as it was given."""

    label: str
    score: float
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the network says of one input; the fields of other tasks stay empty.

    Attributes:
        input: its name.
        top: classification: (label, probability), most likely first.
        boxes: detection: highest score first.
        areas: segmentation: (label, share of the picture 0..1), largest first.
        values: sequence: one value a step (the first output's only or last feature).
        outputs: names and shapes of raw outputs, for tensor (and for what has nothing better to say).
        drawn: the PNG that shows it; empty when none was asked for.
    """

    input: str
    top: tuple[tuple[str, float], ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    boxes: tuple[Box, ...] = ()
    areas: tuple[tuple[str, float], ...] = ()
    values: tuple[float, ...] = ()
    drawn: str = ""


@dataclass(frozen=True, slots=True)
class RunResult:
    """Answer of `run`.

    Attributes:
        plan: the plan, or the network that was run as it is; choice: runtime, number format and threads.
        latency_s: median time of one item inside the runtime.
        frames_per_second: of a folder or film of frames, reading and decoding included; None otherwise.
        complete: False when it was interrupted and these are the answers until then.
        skipped: pictures and frames that were left out, each with what is wrong with it.
    """

    plan: str
    choice: Choice
    predictions: tuple[Prediction, ...]
    latency_s: float
    frames_per_second: float | None = None
    complete: bool = True
    skipped: tuple[str, ...] = ()
    schema: str = "chipwise.run/1"


@dataclass(frozen=True, slots=True)
class Mistake:
    """One wrong answer: `index` into the split, true and predicted class, probability given to the wrong one."""

    index: int
    truth: str
    predicted: str
    probability: float


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Answer of `check`: a plan against its source network on the same held-out samples.

    Attributes:
        plan: path; data: name of the data set; split: which part of it was used.
        drop: the paired comparison; limit: what the drop may be, 0..1.
        ok: True when the upper bound of the drop is within the limit, or a plan that is not lossy lost no sample.
        reason: one line on `ok`.
        mistakes: indices (into the split) of the plan's wrong answers, most confident first, at most 24.
        confusion: rows are true classes, columns the plan's predictions.
    """

    plan: str
    data: str
    split: str
    drop: PairedDrop
    limit: float
    ok: bool
    reason: str
    class_names: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    mistakes: tuple[Mistake, ...] = ()
    schema: str = "chipwise.check/1"


@dataclass(frozen=True, slots=True)
class BenchRow:
    """One contender: the plan, or a runtime's default on the source network.

    Attributes:
        name: as printed ("plan", "onnxruntime default", ...).
        precision: number format it really runs.
        timing: seconds per call.
        speedup: of the plan over this row, from interleaved rounds; None on the plan's own row.
        note: what to know when comparing; the reason when it could not run (timing is then None).
        alike: False where it computes in a coarser format than the plan may: faster, with other answers.
    """

    name: str
    precision: str
    timing: Timing | None
    speedup: Ratio | None = None
    note: str = ""
    alike: bool = True


@dataclass(frozen=True, slots=True)
class BenchResult:
    """Answer of `bench`: interleaved timings of a plan and its peers.

    Attributes:
        plan: path; network: name; batch: items per call.
        requests: calls that are offered at once to a plan with streams; times are a call's share of them.
        rows: the plan first.
        regression: ratio to the plan's median in a baseline file; None when none was given.
        ok: False when the plan is slower than the baseline by more than was allowed.
        noise: typical relative spread (interquartile range over median) of this run.
        machine, versions: where it was measured.
    """

    plan: str
    network: str
    batch: int
    rows: tuple[BenchRow, ...]
    noise: float
    machine: Machine
    versions: dict[str, str]
    regression: float | None = None
    ok: bool = True
    reason: str = ""
    requests: int = 1
    schema: str = BENCH_SCHEMA


@dataclass(frozen=True, slots=True)
class Doctor:
    """Answer of `doctor`: this machine, the runtimes on it, versions of the libraries installed, and what was measured.

    `measured` is of this machine, or of another whose profile was given; None where nothing was measured.
    """

    machine: Machine
    runtimes: tuple[RuntimeStatus, ...]
    versions: dict[str, str]
    notes: tuple[str, ...] = ()
    measured: MeasuredMachine | None = None
    schema: str = "chipwise.doctor/1"


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is estimated of a network beside what was measured: what the what-if page shows of it.

    Attributes:
        here: an answer on this machine's processor.
        training: a step on the usual device, and how that scales; None where the network cannot be trained.
        offers: an answer on every device of the catalogue.
    """

    here: WhatIf
    training: WhatIf | None
    offers: Offers


@dataclass(frozen=True, slots=True)
class Report:
    """Everything on one page: what `report` draws. Absent parts are None and leave no gap.

    Attributes:
        title: headline.
        inspection: layer table; training: curves and confusion; plan: the manifest with all candidates.
        check: accuracy of the plan; bench: the plan against its peers.
        pictures: PNG bytes of the worst mistakes, in the order of `check.mistakes`.
        doctor: machine and versions.
        outlook: what is estimated of the network, here and on other devices.
    """

    title: str
    doctor: Doctor
    inspection: Inspection | None = None
    training: Training | None = None
    plan: Manifest | None = None
    check: CheckResult | None = None
    bench: BenchResult | None = None
    pictures: tuple[bytes, ...] = ()
    outlook: Outlook | None = None
    created: str = ""
    schema: str = "chipwise.report/1"


@dataclass(frozen=True, slots=True)
class Page:
    """Answer of `report`: where the page is."""

    page: str
    size_bytes: int
    schema: str = "chipwise.page/1"


@dataclass(frozen=True, slots=True)
class Fit:
    """Answer of `fit`: the whole line. The five-line summary is made from these."""

    training: Training | None
    check: CheckResult
    bench: BenchResult
    plan: str
    plan_bytes: int
    source_bytes: int
    report: str
    seconds: float
    schema: str = "chipwise.fit/1"
    notes: tuple[str, ...] = field(default=())
