"""What `doctor` found, as a terminal table.

>>> _gpu_line("Example", 2**30, "1.0")
'Example, 1.00 GiB, driver 1.0'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from chipwise.views.grid import cell, facts, grid, heading, line, muted
from chipwise.views.machine_table import features_line, measured_table
from chipwise.views.units import UNKNOWN, format_bytes, plain

if TYPE_CHECKING:
    from rich.console import RenderableType

    from chipwise.core.report import Doctor


def doctor(record: Doctor) -> RenderableType:
    """The machine, the runtimes on it and why some are not usable, and versions."""
    machine = record.machine
    memory = UNKNOWN if machine.memory_bytes is None else format_bytes(machine.memory_bytes)
    caches = ", ".join(f"{level} {format_bytes(size)}" for level, size in machine.cache_bytes.items()) or UNKNOWN
    about = [
        ("processor", f"{machine.cpu} ({machine.architecture})"),
        ("cores", f"{machine.cores} usable of {machine.logical_cpus} logical"),
        ("extensions", features_line(machine)),
        ("caches", caches),
        ("memory", f"{memory} usable"),
        ("GPU", "; ".join(_gpu_line(gpu.name, gpu.memory_bytes, gpu.driver) for gpu in machine.gpus) or "none found"),
        ("system", f"{machine.os}, Python {machine.python}"),
    ]
    rows = grid("runtime", "version", "native formats", "usable")
    for status in record.runtimes:
        usable = (
            cell("yes", "green") if status.usable else Text.assemble(cell("no", "red"), f": {plain(status.reason)}")
        )
        rows.add_row(cell(status.name), cell(status.version or "-"), cell(", ".join(status.precisions) or "-"), usable)
    versions = "  ".join(f"{plain(name)} {plain(version)}" for name, version in sorted(record.versions.items()))
    notes = [line(note, "yellow") for note in record.notes]
    blocks: list[RenderableType] = [heading("This machine"), facts(about), Text(), rows, muted(versions)]
    if record.measured is not None:
        blocks += [Text(), measured_table(record.measured)]
    return Group(*blocks, *notes)


def _gpu_line(name: str, memory_bytes: int | None, driver: str) -> str:
    parts = [name, "" if memory_bytes is None else format_bytes(memory_bytes), f"driver {driver}" if driver else ""]
    return ", ".join(part for part in parts if part)
