"""What `tune` answers: which ways of computing a training step are faster here, and what each costs; and its file.

>>> in_words({"precision": "bf16", "channels_last": True, "threads": 1})
'bf16, channels_last, 1 thread'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from chipwise.core.device import Machine
from chipwise.core.measure import Accuracy, PairedDrop, Ratio, Timing

RECIPE_SCHEMA = "chipwise.recipe/1"
PLAIN = "plain"
# Settings that `tune` chooses, and those of the plain fp32 loop.
PLAIN_LOOP: Mapping[str, str | bool] = {
    "precision": "fp32", "channels_last": False, "compiled": False, "optimizer_form": "fused",
}  # fmt: skip
TUNED = (
    "precision",
    "channels_last",
    "compiled",
    "optimizer_form",
    "threads",
    "workers",
    "feeding",
    "batch_size",
    "learning_rate",
)
_FEEDING = {"device": "samples on the device", "pinned": "pinned memory", "copied": "batches copied when used"}
Changes = dict[str, str | int | float | bool]
Kind = Literal["compute", "memory", "input", "overhead"]


def in_words(changes: Mapping[str, str | int | float | bool]) -> str:
    """Settings that differ from the plain loop, as people call them; "plain" where none does."""
    said = []
    for name, value in changes.items():
        if name == "compiled" and value:
            said.append("compile")
        elif name == "channels_last" and value:
            said.append("channels_last")
        elif name == "optimizer_form":
            said.append(f"{value} optimizer")
        elif name == "threads":
            said.append(f"{value} thread{'s' * (value != 1)}")
        elif name == "workers":
            said.append(f"{value} worker{'s' * (value != 1)}")
        elif name == "feeding":
            said.append(_FEEDING.get(str(value), str(value)))
        elif name == "batch_size":
            said.append(f"batch {value}")
        elif name == "precision":
            said.append(str(value))
    return ", ".join(said) or PLAIN


@dataclass(frozen=True, slots=True)
class TuneRow:
    """One way of computing a step.

    Attributes:
        stage: what was varied: "precision, layout, compile", "optimizer", "feed", "threads" or "workers".
        changes: settings that differ from the plain loop.
        step: wall time of a step; None where it did not run.
        speedup: over the plain loop, or, in later stages, over what was kept until then; None for these themselves.
        kept: whether it stayed.
        reason: why, in a few words.
    """

    stage: str
    changes: Changes
    step: Timing | None = None
    speedup: Ratio | None = None
    kept: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One batch size: how fast samples are learned, and how well after as many of them.

    Attributes:
        batch_size: samples a step; learning_rate: the highest, scaled with it.
        step: wall time of a step; None where it did not run.
        speedup: samples a second over those of the usual size; None for that size.
        accuracy: on the validation split after as many samples as every size saw; None where that was not tried.
        drop: paired with the answers of the plain loop.
        kept: whether it stayed.
        reason: why, in a few words.
    """

    batch_size: int
    learning_rate: float
    step: Timing | None = None
    speedup: Ratio | None = None
    accuracy: Accuracy | None = None
    drop: PairedDrop | None = None
    kept: bool = False
    reason: str = ""

    @property
    def samples_s(self) -> float | None:
        """Samples a second."""
        return None if self.step is None else self.batch_size / self.step.median_s


@dataclass(frozen=True, slots=True)
class TrainingBound:
    """What holds a training step back, with what was kept.

    Attributes:
        kind: "input" (making batches), "overhead" (starting operators), "memory" or "compute".
        input_share: of a step's time that batches take to be made; optimizer_share: that the optimizer's pass over the
            weights takes; start_share: that everything else takes with hardly a sample in it.
        flops_s: 3 times the FLOPs of the forward pass over the time of a step (1 multiply-add = 2); peak_flops_s: of
            the best matrix product here, in `format`; None where it was not measured.
        bytes_s: what the layers read and write in 3 such passes, and the optimizer, over that time; bandwidth_bytes_s:
            of a copy here.
        advice: what to do, a sentence.
    """

    kind: Kind
    input_share: float
    optimizer_share: float
    start_share: float
    format: str
    flops_s: float
    peak_flops_s: float | None
    bytes_s: float
    bandwidth_bytes_s: float | None
    advice: str


@dataclass(frozen=True, slots=True)
class Tuning:
    """Answer of `tune`.

    Attributes:
        network, data: names; network_digest: of the network.
        batch_size: of the plain loop; settings: all of its settings.
        changes: settings that were kept, in the place of those; empty where nothing was faster.
        rows: ways of computing a step; batches: sizes of the batch.
        shown: samples that each size and way learned in order to be compared; seeds: how many times.
        guard: what was kept against the plain loop, at the same batch: answers on the validation split, in pairs;
            None where the number format stayed, or there was no time.
        plain, tuned: wall time of a step at the end, measured in turns; speedup: samples a second of `tuned` over
            `plain`.
        bound: what holds it back; None where there was no time.
        notes: what else to know, a sentence each.
        complete: False when it was interrupted, or time ran out.
        seconds: that it took; seed: of every random choice.
        machine, versions: where.
    """

    network: str
    network_digest: str
    data: str
    batch_size: int
    settings: dict[str, str | int | float | bool | None]
    changes: Changes
    rows: tuple[TuneRow, ...]
    batches: tuple[BatchRow, ...]
    shown: int
    seeds: int
    guard: PairedDrop | None
    plain: Timing | None
    tuned: Timing | None
    speedup: Ratio | None
    bound: TrainingBound | None
    notes: tuple[str, ...]
    complete: bool
    seconds: float
    seed: int
    machine: Machine
    versions: dict[str, str]
    schema: str = "chipwise.tuning/1"


@dataclass(frozen=True, slots=True)
class Recipe:
    """A file of settings that `tune` kept; None where it leaves them to whoever trains.

    Attributes:
        network, network_digest, data, machine, versions: what they were found on; `machine` is its fingerprint.
        speedup: that was measured, for people.
    """

    network: str
    network_digest: str
    data: str
    machine: str
    precision: str | None = None
    channels_last: bool | None = None
    compiled: bool | None = None
    optimizer_form: str | None = None
    threads: int | None = None
    workers: int | None = None
    feeding: str | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    speedup: Ratio | None = None
    versions: dict[str, str] = field(default_factory=dict)
    schema: str = RECIPE_SCHEMA
