"""Terminal tables: one function a record, each returning something that Rich prints.

They read the same at 80 columns, without colour, and in a file. Every cell is a `Text`, never markup, so that a
layer called "[red]" is printed as it is.

>>> from rich.console import Console
>>> from chipwise.core.report import Prediction, RunResult
>>> from chipwise.core.plan import Choice
>>> answer = RunResult("a.plan", Choice("onnxruntime"), (Prediction("x.png", (("cat", 0.9),)),), 1e-3)
>>> Console(width=80).print(run(answer))
x.png
  90.00%: cat
onnxruntime fp32 x1, 1.00 ms an item
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from chipwise.core.advice import Advice
from chipwise.core.array_race import ArrayRace
from chipwise.core.board import Leaderboard
from chipwise.core.compression import Compression
from chipwise.core.contest import Contest
from chipwise.core.crossover import Crossover
from chipwise.core.curve import Curve
from chipwise.core.device import Machine
from chipwise.core.estimation import Estimation
from chipwise.core.fixed_point import Quantization
from chipwise.core.format_report import FormatReport
from chipwise.core.layer_counts import LayerCounts
from chipwise.core.motion import MovedCheck
from chipwise.core.plan import Manifest
from chipwise.core.plan_sheet import Exported, PlanSheet
from chipwise.core.proof import Proof
from chipwise.core.report import (
    BenchResult,
    CheckResult,
    Doctor,
    Features,
    Fit,
    Hardware,
    Inspection,
    Page,
    RunResult,
    Training,
    ZooList,
)
from chipwise.core.sensitivity import Sensitivity
from chipwise.core.served import Served
from chipwise.core.training_memory import TrainingFit
from chipwise.core.tuning import Tuning
from chipwise.views import claims
from chipwise.views.advice_table import AdviceTable
from chipwise.views.array_table import array_table
from chipwise.views.compression_table import compression_table
from chipwise.views.contest_table import contest_table
from chipwise.views.counts_table import counts_table
from chipwise.views.crossover_table import crossover_table
from chipwise.views.curve_table import curve_table
from chipwise.views.device_table import HardwareTable
from chipwise.views.doctor_table import doctor
from chipwise.views.estimate_table import EstimateTable
from chipwise.views.features_table import features_table
from chipwise.views.fixed_table import fixed_table
from chipwise.views.formats_table import FormatsTable
from chipwise.views.grid import cell, facts, grid, heading, line, muted
from chipwise.views.leaderboard_table import leaderboard_table
from chipwise.views.ledger_table import ledger_table
from chipwise.views.moved_table import moved_table
from chipwise.views.plan_sheet_table import PlanSheetTable, exported_table
from chipwise.views.predictions import run
from chipwise.views.proof_table import proof_table
from chipwise.views.sensitivity_table import sensitivity_table
from chipwise.views.served_table import served_table
from chipwise.views.training_memory_table import training_fit
from chipwise.views.training_table import training
from chipwise.views.tuning_table import tuning_table
from chipwise.views.units import (
    UNKNOWN,
    format_accuracy,
    format_bytes,
    format_count,
    format_factor,
    format_flops,
    format_ratio,
    format_shape,
    format_share,
    format_spread,
    format_time,
    plain,
    significant,
)
from chipwise.views.zoo_table import ZooTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from chipwise.core.layer import Layer
    from chipwise.core.plan import Candidate
    from chipwise.core.report import BenchRow

_STATUS_STYLE = {"chosen": "bold green", "rejected": "red", "failed": "red", "skipped": "dim"}


def table(record: Any) -> RenderableType:
    """What to print for any record that a verb answers with."""
    return _TABLES[type(record)](record)


def inspection(record: Inspection) -> RenderableType:
    """The layer table: one row a layer, then totals; unknown operators are said."""
    rows = grid("layer (type)", "output shape!", ">parameters!", ">FLOPs!", ">bytes\nmoved!", ">FLOP\n/byte!")
    for layer in record.layers:
        rows.add_row(*_layer_cells(layer))
    total = record.totals
    least = "≥ " if total.unknown_ops else ""
    rows.add_section()
    rows.add_row(
        cell("total", "bold"),
        cell(f"{total.layers} layers"),
        cell(format_count(total.parameters), "bold"),
        cell(least + format_flops(total.flops), "bold"),
        cell(format_bytes(total.moved_bytes), "bold"),
        cell(least + significant(total.intensity), "bold"),
    )
    about = [line(f"batch {record.batch}; 1 multiply-add = 2 FLOPs; bytes: each tensor read or written once")]
    if total.unknown_ops:
        names = ", ".join(plain(name) for name in total.unknown_ops)
        about.append(line(f"Work not known for {names}: FLOPs are at least what is shown.", "yellow"))
    origin = f" ({record.origin})" if record.origin not in ("", record.name) else ""
    ledger = () if record.ledger is None else (Text(), ledger_table(record.ledger))
    return Group(heading(f"{record.name}{origin}"), rows, *about, *ledger)


def manifest(record: Manifest) -> RenderableType:
    """A plan: what was chosen and why, and every candidate with its measurement and what became of it."""
    source = record.source
    size = claims.chosen_bytes(record)
    after = UNKNOWN if size is None else format_bytes(size)
    about = [
        ("choice", f"{record.choice.title}, for {_goal(record)}"),
        ("why", record.why),
        ("speed-up", _plan_speed(record)),
        *([("noise", f"the baseline over itself: {format_ratio(record.noise)}")] if record.noise else []),
        *([("missed", record.unmet)] if record.unmet else []),
        ("label", f"{record.label}: {claims.LABELS[record.label]}"),
        ("size", f"{format_bytes(source.size_bytes)} before, {after} after"),
        ("passes", "; ".join(record.passes) or "none changed anything"),
        ("machine", _machine_line(record.machine)),
        ("seed", f"{record.seed}, made {record.created}"),
    ]
    if record.needs:
        about.append(("needs", ", ".join(record.needs)))
    if not record.complete:
        about.append(("search", "interrupted: this is the best so far, not the best of all"))
    rows = grid("candidate", ">median!", ">accuracy!", "what became of it")
    for row in record.candidates:
        rows.add_row(*_candidate_cells(row))
    title = (
        f"Plan for {source.name}: {format_count(source.parameters)} parameters, {format_flops(source.flops)} an item"
    )
    return Group(
        heading(title),
        facts(about),
        Text(),
        rows,
        muted("Median: time of one item; below it p10–p90. 1 multiply-add = 2 FLOPs."),
    )


def check(record: CheckResult) -> RenderableType:
    """Accuracy of a plan against its source network, pair by pair, and the verdict."""
    drop = record.drop
    word = cell("passed", "bold green") if record.ok else cell("failed", "bold red")
    about: list[tuple[str, str | Text]] = [
        ("source", format_accuracy(drop.source)),
        ("plan", format_accuracy(drop.candidate)),
        ("paired", claims.paired(drop)),
        ("limit", f"a drop of {format_share(record.limit)}"),
        ("verdict", Text.assemble(word, ": ", plain(record.reason))),
    ]
    blocks: list[RenderableType] = [
        heading(f"{record.plan} on {record.data} ({record.split}, {format_count(drop.candidate.count)} samples)"),
        facts(about),
    ]
    if record.mistakes:
        rows = grid(">sample", "true", "predicted", ">probability")
        for mistake in record.mistakes[:8]:
            rows.add_row(
                cell(mistake.index),
                cell(mistake.truth),
                cell(mistake.predicted),
                cell(format_share(mistake.probability)),
            )
        blocks += [Text(), muted("Most confident mistakes"), rows]
    return Group(*blocks)


def bench(record: BenchResult) -> RenderableType:
    """The plan against its peers: medians with spread, and the plan's speed-up where noise allows one."""
    rows = grid("contender", "format!", ">median!", ">p10–p90!", "the plan is")
    for row in record.rows:
        rows.add_row(*_bench_cells(row))
    rounds = max((row.speedup.rounds for row in record.rows if row.speedup), default=0)
    about = [f"{rounds} interleaved rounds; speed-up with its 95% interval. {claims.noise(record)}"] if rounds else []
    blocks: list[RenderableType] = [
        heading(f"{record.network}, {claims.offered(record)}: {record.plan}"),
        rows,
        *(line(text) for text in about),
        muted(_machine_line(record.machine)),
    ]
    if record.regression is not None or record.reason:
        word = cell("passed", "bold green") if record.ok else cell("failed", "bold red")
        change = "" if record.regression is None else f"{format_factor(record.regression)}× the baseline's time"
        says = "; ".join(part for part in (change, plain(record.reason)) if part)
        blocks.append(Text.assemble(word, f": {says}"))
    return Group(*blocks)


def fit(record: Fit) -> RenderableType:
    """The five lines that `fit` ends with: accuracy, size, latency, speed-up, and where everything is."""
    own = claims.plan_row(record.bench)
    timing = None if own is None else own.timing
    latency = (
        "not measured"
        if timing is None
        else f"{format_time(timing.median_s)} median, {format_spread(timing)} p10–p90, {claims.offered(record.bench)}"
    )
    rivals = claims.peers(record.bench)
    fastest = rivals[0] if rivals else None
    speedup = "no peer to compare with"
    if fastest is not None and fastest.speedup is not None:
        speedup = f"{claims.speed(fastest.speedup)} vs {'best peer ' if len(rivals) > 1 else ''}{fastest.name}"
    lines = [
        ("accuracy", claims.accuracy_pair(record.check.drop)),
        ("size", f"{format_bytes(record.source_bytes)} before, {format_bytes(record.plan_bytes)} as a plan"),
        ("latency", latency),
        ("speed-up", speedup),
        ("files", f"{record.plan}  {record.report}"),
    ]
    return Group(facts(lines), *(line(note, "yellow") for note in record.notes))


def page(record: Page) -> RenderableType:
    """Where the page is."""
    return line(record.page)


_TABLES: dict[type, Callable[[Any], RenderableType]] = {
    Inspection: inspection,
    Training: training,
    Curve: curve_table,
    Proof: proof_table,
    TrainingFit: training_fit,
    Contest: contest_table,
    Leaderboard: leaderboard_table,
    Tuning: tuning_table,
    Compression: compression_table,
    Quantization: fixed_table,
    Sensitivity: sensitivity_table,
    Manifest: manifest,
    RunResult: run,
    CheckResult: check,
    MovedCheck: moved_table,
    BenchResult: bench,
    Doctor: doctor,
    Fit: fit,
    ZooList: ZooTable,
    ArrayRace: array_table,
    Crossover: crossover_table,
    FormatReport: FormatsTable,
    Estimation: EstimateTable,
    Advice: AdviceTable,
    Hardware: HardwareTable,
    Features: features_table,
    LayerCounts: counts_table,
    Page: page,
    PlanSheet: PlanSheetTable,
    Exported: exported_table,
    Served: served_table,
}


def _layer_cells(layer: Layer) -> list[Text]:
    kind = f"{layer.op}+{layer.activation}" if layer.activation else layer.op
    more = f" +{len(layer.outputs) - 1}" if len(layer.outputs) > 1 else ""
    name = Text.assemble(cell(layer.name, "bold"), cell(f" ({kind})"))
    return [
        name,
        cell(format_shape(layer.outputs[0]) + more if layer.outputs else "-"),
        cell(format_count(layer.parameters)),
        cell(format_flops(layer.flops)) if layer.known else cell("not known", "yellow"),
        cell(format_bytes(layer.moved_bytes)),
        cell(significant(layer.intensity)) if layer.known else cell("-"),
    ]


def _candidate_cells(row: Candidate) -> list[Text]:
    style = _STATUS_STYLE.get(row.status, "")
    size = "" if row.size_bytes is None else f"\n{format_bytes(row.size_bytes)}"
    median = "-" if row.timing is None else f"{format_time(row.timing.median_s)}\n{format_spread(row.timing)}"
    accuracy = "-" if row.accuracy is None else format_share(row.accuracy.candidate.value)
    label = f", {row.label}" if row.label else ""
    fate = Text.assemble(cell(f"{row.status}{label}", style), f": {plain(row.reason)}" if row.reason else "")
    name = Text.assemble(cell(row.choice.title, "bold" if row.status == "chosen" else ""), (size, "dim"))
    return [name, Text(median), Text(accuracy), fate]


def _bench_cells(row: BenchRow) -> list[Text]:
    if row.timing is None:
        return [cell(row.name), cell(row.precision or "-"), cell("-"), cell("-"), cell(f"not timed: {row.note}", "dim")]
    note = f" ({plain(row.note)})" if row.note else ""
    style = {"faster": "green", "slower": "red"}.get(row.speedup.verdict, "") if row.speedup else ""
    says = cell(claims.speed(row.speedup), style) if row.speedup else Text()
    return [
        cell(row.name, "" if row.speedup else "bold"),
        cell(row.precision),
        cell(format_time(row.timing.median_s)),
        cell(format_spread(row.timing)),
        Text.assemble(says, (note if row.speedup else note.strip(), "dim")),
    ]


def _plan_speed(record: Manifest) -> str:
    if record.speedup is None:
        return "not measured"
    return f"{format_ratio(record.speedup)} over ONNX Runtime's default: {claims.verdict(record.speedup)}"


def _goal(record: Manifest) -> str:
    return record.goal if record.limit_s is None else f"{record.goal} of at most {format_time(record.limit_s)}"


def _machine_line(machine: Machine) -> str:
    cores = "core" if machine.cores == 1 else "cores"
    return f"{plain(machine.cpu)}, {machine.cores} {cores}, {plain(machine.os)}"
