"""A training run as a terminal table: its last epochs, the kept one, and what was reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET
from rich.console import Group
from rich.text import Text

from chipwise.views.grid import cell, facts, grid, heading, muted
from chipwise.views.training_memory_table import memory_facts
from chipwise.views.units import format_accuracy, format_count, format_share, format_time

if TYPE_CHECKING:
    from rich.console import RenderableType

    from chipwise.core.epoch import Epoch
    from chipwise.core.report import Training


def training(record: Training) -> RenderableType:
    """The last epochs, the kept one, and what was reached."""
    rows = grid(">epoch", ">train loss", ">validation loss", ">validation\naccuracy", ">learning rate", ">time!")
    for epoch in _shown_epochs(record):
        rows.add_row(*_epoch_cells(epoch, best=epoch.number == record.best_epoch))
    hidden = len(record.history) - rows.row_count
    about = [
        ("stopped", f"{record.stopped}; {len(record.history)} epochs, {format_time(record.seconds)} of training"),
        *_waits(record),
        *_scaling(record),
        ("kept", f"epoch {record.best_epoch}, the best on validation (*)"),
        *_frozen(record),
        ("test", _test_accuracy(record)),
        *([("left out", f"{len(record.skipped)} pictures that cannot be read")] if record.skipped else []),
        *memory_facts(record.memory),
        ("seed", str(record.seed)),
        ("folder", record.folder),
    ]
    title = f"{record.network} trained on {record.data}, {format_count(record.parameters)} parameters"
    note = [muted(f"{hidden} earlier epochs not shown")] if hidden else []
    return Group(heading(title), rows, *note, Text(), facts(about))


def _shown_epochs(record: Training, last: int = 10) -> list[Epoch]:
    best = record.best_epoch
    recent = list(record.history[-last:])
    return [epoch for epoch in record.history[:-last] if epoch.number == best] + recent


def _waits(record: Training) -> list[tuple[str, str]]:
    """How long steps waited for their batches, where that was counted."""
    counted = [each for each in record.history if each.wait_s is not None]
    wait_s, steps = sum(each.wait_s or 0.0 for each in counted), sum(each.steps or 0 for each in counted)
    seconds = sum(each.seconds for each in counted)
    if not steps or not seconds:
        return []
    return [("data wait", f"{format_time(wait_s / steps)} a step, {format_share(wait_s / seconds, 1)} of their time")]


def _scaling(record: Training) -> list[tuple[str, str]]:
    """How the loss was scaled, and how many steps were left out, with fp16."""
    scaled = [each.scaling for each in record.history if each.scaling is not UNSET]
    if not scaled:
        return []
    skipped, steps = sum(each.skipped for each in scaled), sum(each.steps or 0 for each in record.history)
    return [
        ("loss scale", f"{scaled[-1].scale:,g} at the end; {skipped} of {steps:,} steps overflowed and were left out")
    ]


def _frozen(record: Training) -> list[tuple[str, str]]:
    """Epochs in which part of the network was held; they are the first ones."""
    held = sum(epoch.frozen for epoch in record.history)
    what = record.settings.get("freeze")
    part = "all layers but the last" if what == "backbone" else f"the first {what} layers"
    return [("frozen", f"{part} in epochs 1 to {held}")] if held else []


def _epoch_cells(epoch: Epoch, *, best: bool) -> list[Text]:
    style = "bold green" if best else ""
    return [
        cell(f"{'*' if best else ''}{epoch.number}", style),
        cell(f"{epoch.train_loss:.4f}", style),
        cell(f"{epoch.val_loss:.4f}", style),
        cell(format_share(epoch.val_accuracy), style),
        cell(f"{epoch.learning_rate:.2e}", style),
        cell(format_time(epoch.seconds), style),
    ]


def _test_accuracy(record: Training) -> str:
    if record.test is None:
        return "no test split"
    return f"{format_accuracy(record.test)}, {record.test.correct} of {record.test.count} held-out samples right"
