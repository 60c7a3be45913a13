"""Memory of training for the terminal: part by part, the largest layers, and what was chosen so that it fits.

>>> from chipwise.core.training_memory import MeasuredMemory
>>> memory_facts(MeasuredMemory(2**30, 2**30, techniques=("bf16 autocast",), time_factor=0.5))[0]
('memory', '1.00 GiB at most, 1.00 GiB predicted (0% off); bf16 autocast, 0.50 times as long')
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from chipwise.views.grid import cell, facts, grid, heading, muted
from chipwise.views.units import format_bytes, format_count, format_share, significant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from chipwise.core.training_memory import MeasuredMemory, ProcessMemory, TrainingFit, Way

_COLUMNS = 4  # beside the names of parts
# Parts in the order in which they come, and what they are.
_PARTS = (
    ("process", "Python, libraries, compiled kernels"),
    ("data", "data set and inputs made of it"),
    ("weights", "weights"),
    ("average", "average of the weights"),
    ("best", "best weights so far"),
    ("optimizer", "optimizer state"),
    ("gradients", "gradients"),
    ("saved", "activations saved for backward"),
    ("copies", "2-byte copies of weights"),
    ("activations", "activations and gradients of them"),
    ("workspace", "workspace of kernels"),
    ("messages", "gathered weights, messages"),
    ("holes", "holes in freed memory"),
)


def training_fit(record: TrainingFit) -> RenderableType:
    """What training takes, plainly and in the way that was chosen."""
    batch = record.batch_size
    title = f"Memory of training {record.network} on {record.data}: batch {batch}, {record.optimizer}"
    limit = [] if record.limit_bytes is None else [("limit", format_bytes(record.limit_bytes))]
    ways = [("as it is", record.plain)]
    ways += [("chosen", record.chosen)] if record.chosen is not None else []
    ways += [("smallest", record.smallest)] if record.smallest is not None else []
    about = [*limit, *((name, _told(way, batch)) for name, way in ways)]
    if record.limit_bytes is not None and record.chosen is None:
        about.append(("verdict", "nothing that was tried fits"))
    return Group(
        heading(title),
        _parts(ways),
        Text(),
        facts(about),
        Text(),
        heading("Layers that take most, as it is"),
        _layers(record),
        *(muted(note) for note in record.notes),
    )


def memory_facts(memory: MeasuredMemory | None) -> list[tuple[str, str]]:
    """One line on the measured peak beside the prediction; none where there was no limit."""
    if memory is None:
        return []
    several = memory.mesh != "1"
    predicted = f"{format_bytes(memory.predicted_bytes)} predicted"
    if memory.measured_bytes is not None:
        off = memory.predicted_bytes / memory.measured_bytes - 1
        whose = " in a process" if several else ""
        predicted = f"{format_bytes(memory.measured_bytes)} at most{whose}, {predicted} ({format_share(off, 0)} off)"
    how = ", ".join((memory.mesh, *memory.techniques)) if several else ", ".join(memory.techniques)
    how = how or "nothing had to be saved"
    return [("memory", f"{predicted}; {how}, {significant(memory.time_factor, 2)} times as long")]


def _told(way: Way, batch: int) -> str:
    how = ", ".join(way.words(batch)) or "no techniques"
    time = f"{significant(way.time_factor, 2)} times as long"
    return f"{how}; {time}; at most {format_bytes(way.memory.high)}; fullest {way.memory.moment}"


def _parts(ways: Sequence[tuple[str, Way]]) -> Table:
    """A column for the step of each way, and one for its fullest moment where that is another; of processes theirs."""
    columns = []
    for name, way in ways:
        if way.processes:
            told = _fullest(way, _COLUMNS // len(ways))
            columns += [(f"{name},\n{way.mesh}:\n{each.place}", each.memory) for each in told]
            continue
        columns.append((f"{name},\na step", way.step))
        if way.memory.moment != way.step.moment:
            columns.append((f"{name},\nat its most", way.memory))
    rows = grid("part", *(f">{name}!" for name, _ in columns))
    for part, words in _PARTS:
        sizes = [getattr(memory, part) for _, memory in columns]
        if any(sizes):
            rows.add_row(cell(words), *(cell(format_bytes(size)) for size in sizes))
    rows.add_section()
    rows.add_row(cell("peak, predicted", "bold"), *(cell(format_bytes(memory.total), "bold") for _, memory in columns))
    return rows


def _fullest(way: Way, most: int) -> list[ProcessMemory]:
    """So many of its processes, those that take most, in their order."""
    by_size = sorted(way.processes, key=lambda each: -each.memory.high)[:most]
    return [each for each in way.processes if each in by_size]


def _layers(record: TrainingFit) -> RenderableType:
    rows = grid("layer (type)", ">weights!", ">saved for backward!")
    for layer in record.layers:
        name = Text.assemble(cell(layer.name, "bold"), cell(f" ({layer.op})"))
        rows.add_row(name, cell(format_bytes(layer.weight_bytes)), cell(format_bytes(layer.saved_bytes)))
    more = [muted(f"{format_count(record.others)} more layers take less")] if record.others else []
    return Group(rows, *more)
