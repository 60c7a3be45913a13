"""Made-up answers of `tune`: one that keeps several things, and one that was interrupted with nothing kept."""

from __future__ import annotations

from dataclasses import replace

from chipwise.core.measure import PairedDrop, Ratio, Timing
from chipwise.core.tuning import BatchRow, TrainingBound, TuneRow, Tuning

from . import samples

PRODUCT = "precision, layout, compile"
BEST = {"precision": "bf16", "channels_last": True}
NOTE = "training runs on the processor: fp16 with loss scaling, tf32 and pinned memory were not tried"


def ratio(mid: float) -> Ratio:
    """With an interval of 4% around it, of 20 rounds."""
    return Ratio(mid, 0.96 * mid, 1.04 * mid, 20)


def step(milliseconds: float) -> Timing:
    return samples.timing(1000 * milliseconds)


def paired(lost: int, won: int, upper: float) -> PairedDrop:
    source, candidate = samples.accuracy(5900, 6000), samples.accuracy(5900 - lost + won, 6000)
    return PairedDrop(source, candidate, lost, won, (lost - won) / 6000, upper)


def rows() -> tuple[TuneRow, ...]:
    slower, other = "slower", "faster, but another is faster or simpler"
    failed = "failed: torch.compile cannot compile this network: [red]no operator[/red]"
    return (
        TuneRow(PRODUCT, {}, step(42.1)),
        TuneRow(PRODUCT, {"channels_last": True}, step(30.2), ratio(1.39), reason=other),
        TuneRow(PRODUCT, {"precision": "bf16"}, step(45.8), ratio(0.92), reason=slower),
        TuneRow(PRODUCT, dict(BEST), step(17.5), ratio(2.41), kept=True),
        TuneRow(PRODUCT, {**BEST, "compiled": True}, reason=failed),
        TuneRow("optimizer", {**BEST, "optimizer_form": "for-loop"}, step(18.9), ratio(0.93), reason=slower),
        TuneRow("threads", {**BEST, "threads": 1}, step(30.9), ratio(0.57), reason=slower),
    )


def batches() -> tuple[BatchRow, ...]:
    plain, right = paired(20, 18, 0.0019), samples.accuracy(5898, 6000)
    larger, fallen = paired(61, 20, 0.0093), samples.accuracy(5859, 6000)
    return (
        BatchRow(64, 0.007071, step(10.4), ratio(0.84), right, plain, reason="slower"),
        BatchRow(128, 0.01, step(17.5), None, right, plain, kept=True),
        BatchRow(
            256, 0.01414, step(31.0), ratio(1.13), fallen, larger, reason="faster, but accuracy falls by 0.7 points"
        ),
        BatchRow(512, 0.02, reason="failed: not enough memory"),
    )


def tuning() -> Tuning:
    bound = TrainingBound(
        "compute", 0.02, 0.04, 0.12, "bf16", 3.1e11, 9.2e11, 1.2e10, 4.5e10,
        "arithmetic holds it back: more cores, smaller pictures or fewer channels are what is left",
    )  # fmt: skip
    return Tuning(
        network="convnet-small", network_digest="d" * 64, data="idx:mnist/", batch_size=128,
        settings={"optimizer": "adamw", "learning_rate": 0.01, "batch_size": 128, "precision": "fp32"},
        changes=dict(BEST), rows=rows(), batches=batches(), shown=54_000, seeds=2, guard=paired(20, 18, 0.0019),
        plain=step(42.3), tuned=step(17.4), speedup=ratio(2.43), bound=bound, notes=(NOTE,), complete=True,
        seconds=121.0, seed=0, machine=samples.MACHINE, versions=samples.VERSIONS,
    )  # fmt: skip


def interrupted() -> Tuning:
    nothing = replace(tuning(), changes={}, rows=rows()[:1], batches=(), shown=0, seeds=0, guard=None, plain=None)
    return replace(nothing, tuned=None, speedup=None, bound=None, complete=False, seconds=4.2)


RECORDS = {"tuning": tuning, "tuning_interrupted": interrupted}
