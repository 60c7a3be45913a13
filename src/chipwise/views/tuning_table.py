"""What a tuning found, as terminal tables: ways of computing a step, sizes of the batch, and what holds training back.

>>> from chipwise.core.measure import Accuracy
>>> error_of(Accuracy(98, 100, 0.93, 0.995))
'2.00% [0.5–7.0%]'
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from chipwise.core.tuning import in_words
from chipwise.views.grid import cell, facts, grid, heading, muted
from chipwise.views.units import (
    format_bytes,
    format_count,
    format_flops,
    format_points,
    format_ratio,
    format_share,
    format_spread,
    format_time,
    plain,
    significant,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from chipwise.core.measure import Accuracy, PairedDrop, Timing
    from chipwise.core.tuning import BatchRow, TrainingBound, TuneRow, Tuning

_GOOD = "bold green"
_BOUNDS = {
    "compute": "arithmetic",
    "memory": "memory traffic",
    "input": "making batches",
    "overhead": "starting operators",
}


def tuning_table(record: Tuning) -> RenderableType:
    """All ways by stage, all batch sizes, what was kept and what it gains, and what holds it back."""
    settings = record.settings
    title = f"{plain(record.network)} on {plain(record.data)}: batch {record.batch_size}, {settings['optimizer']}"
    blocks: list[RenderableType] = [heading(title), _ways(record)]
    if record.batches:
        blocks += [Text(), _batches(record)]
        if record.shown:
            times = "" if record.seeds == 1 else f", {record.seeds} seeds"
            blocks.append(muted(f"Validation error after {format_count(record.shown)} samples each{times}."))
    blocks += [Text(), facts(_kept(record))]
    return Group(*blocks, *(muted(note) for note in record.notes))


def error_of(accuracy: Accuracy) -> str:
    """A share of wrong answers with its 95% interval."""
    low, high = (f"{(1 - bound) * 100:.1f}" for bound in (accuracy.high, accuracy.low))
    return f"{format_share(1 - accuracy.value)} [{low}–{high}%]"


def _ways(record: Tuning) -> RenderableType:
    made = grid("a training step", ">median!", ">speed-up!", "what became of it")
    for stage, rows in groupby(record.rows, key=lambda row: row.stage):
        made.add_section()
        made.add_row(cell(stage, "dim"), cell(""), cell(""), cell(""))
        for row in rows:
            made.add_row(cell(in_words(row.changes)), _step(row.step), _gain(row), _end(row))
    return made


def _batches(record: Tuning) -> RenderableType:
    made = grid(">batch", ">rate", ">samples/s!", ">speed-up!", ">validation\nerror!", "what became of it")
    for row in record.batches:
        made.add_row(
            cell(row.batch_size),
            cell(f"{row.learning_rate:g}"),
            cell("-" if row.samples_s is None else significant(row.samples_s)),
            _gain(row),
            cell("-" if row.accuracy is None else error_of(row.accuracy).replace(" [", "\n[")),
            _end(row),
        )
    return made


def _step(timing: Timing | None) -> Text:
    return cell("-") if timing is None else Text(f"{format_time(timing.median_s)}\n{format_spread(timing)}")


def _gain(row: TuneRow | BatchRow) -> Text:
    return cell("-") if row.speedup is None else Text(format_ratio(row.speedup).replace(" [", "\n["))


def _end(row: TuneRow | BatchRow) -> Text:
    return cell("kept", _GOOD) if row.kept else cell(row.reason or "")


def _kept(record: Tuning) -> list[tuple[str, str | Text]]:
    """What was kept, what it gains, what it costs, and what holds it back."""
    about: list[tuple[str, str | Text]] = [("kept", cell(in_words(record.changes), "bold"))]
    if "learning_rate" in record.changes:
        about.append(("rate", f"{record.changes['learning_rate']:g}, scaled with the batch"))
    if record.speedup is not None and record.plain is not None and record.tuned is not None:
        steps = f"a step {format_time(record.plain.median_s)} before, {format_time(record.tuned.median_s)} after"
        about.append(("speed-up", f"{format_ratio(record.speedup)} samples/s over the plain loop; {steps}"))
    if record.guard is not None:
        about.append(("accuracy", _paired(record.guard)))
    if record.bound is not None:
        about += _held_back(record.bound)
    about += [
        ("machine", plain(f"{record.machine.cpu}, {record.machine.cores} cores")),
        ("took", f"{format_time(record.seconds)}; seed {record.seed}"),
    ]
    if not record.complete:
        about.append(("search", "interrupted: this is the best so far"))
    return about


def _paired(drop: PairedDrop) -> str:
    change = format_points(-drop.drop)
    return (
        f"validation {format_share(drop.source.value)} plain, {format_share(drop.candidate.value)} so: {change}; a "
        f"fall of more than {100 * drop.upper:.2f} points is excluded"
    )


def _held_back(bound: TrainingBound) -> list[tuple[str, str | Text]]:
    shares = (
        f"batches {format_share(bound.input_share, 0)}, optimizer {format_share(bound.optimizer_share, 0)}, starting "
        f"operators {format_share(bound.start_share, 0)} of a step"
    )
    peak = bound.peak_flops_s
    rate = f"{format_flops(bound.flops_s)}/s"
    reached = (
        rate if not peak else f"{rate}, {format_share(bound.flops_s / peak, 0)} of the best {bound.format} product"
    )
    moved = f"{format_bytes(bound.bytes_s)}/s"
    if bound.bandwidth_bytes_s:
        moved += f", {format_share(bound.bytes_s / bound.bandwidth_bytes_s, 0)} of a copy"
    return [
        ("bound by", f"{_BOUNDS[bound.kind]}: {shares}"),
        ("reached", f"{reached}; {moved}"),
        ("advice", bound.advice),
    ]
