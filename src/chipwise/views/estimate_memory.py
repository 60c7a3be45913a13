"""Memory by parts, for the terminal: a stacked bar a workload, and every number behind it.

>>> from chipwise.core.estimate import MemoryUse
>>> bar(MemoryUse(weights=60, activations=20, context=20), 100, 10).plain
'██████▒▒──'
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from rich.text import Text

from chipwise.views.grid import Fitted, cell, grid, heading, line
from chipwise.views.units import format_bytes, format_share

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from chipwise.core.estimate import MemoryUse
    from chipwise.core.estimation import Forecast

_COLUMN, _NAMES = 11, 14  # widths of a number and of the names of parts
_TIMES = 10.0  # of the device's memory: from here on per cent are hard to read
_MOST = 8  # of several devices and batches: more would fill pages


@dataclass(frozen=True, slots=True)
class _Part:
    """One kind of memory: the field of `MemoryUse`, and how its stretch of the bar looks with and without colour."""

    name: str
    sign: str
    style: str


_ALLOCATED = (
    _Part("weights", "█", "blue"),
    _Part("copies", "▤", "cyan"),
    _Part("saved", "▓", "yellow"),
    _Part("activations", "▒", "green"),
    _Part("gradients", "▚", "magenta"),
    _Part("optimizer", "▞", "red"),
    _Part("workspace", "░", "white"),
)
_ROUNDING, _CONTEXT = _Part("rounding", "·", "bright_black"), _Part("context", "─", "bright_black")
_PARTS = (*_ALLOCATED, _ROUNDING, _CONTEXT)


def memory_blocks(forecasts: Sequence[Forecast], *, several: bool, width: int) -> Iterator[RenderableType]:
    """Bars of all forecasts with one scale, then their parts; of many devices and batches the bars alone.

    Args:
        forecasts: in the order to be shown.
        several: whether they are of several devices.
        width: columns of the terminal.
    """
    yield Text()
    yield heading("Memory on the device")
    yield Fitted(_bars(forecasts, several=several, width=width))
    if several and len(forecasts) > _MOST:
        yield line(f"The parts of {len(forecasts)} workloads are in --json, or ask for one device.", "dim")
        return
    fit = max((width - _NAMES) // (_COLUMN + 1 + 4 * several), 1)
    for _, group in groupby(forecasts, key=lambda each: each.estimate.workload.batch if several else 0):
        members = list(group)
        for start in range(0, len(members), fit):
            yield Text()
            yield Fitted(_parts(members[start : start + fit], several=several))


def bar(memory: MemoryUse, full_bytes: int, cells: int) -> Text:
    """One stacked bar; `full_bytes` would fill `cells`. What is at least a quarter of a cell gets one."""
    drawn, done, before = Text(), 0, 0
    for part in _PARTS:
        size = getattr(memory, part.name)
        before += size
        end = min(max(round(cells * before / full_bytes), done + (size * cells * 4 > full_bytes)), cells)
        drawn.append(part.sign * (end - done), part.style)
        done = end
    return drawn


def _bars(forecasts: Sequence[Forecast], *, several: bool, width: int) -> Table:
    rows = grid(*(["device"] if several else []), ">batch!", "", ">total!", ">of the\ndevice!")
    full = max((each.estimate.memory.device_bytes for each in forecasts), default=0) or 1
    cells = min(max(width - (58 if several else 34), 12), 60)
    for forecast in forecasts:
        memory, expected = forecast.estimate.memory, forecast.estimate
        share = memory.device_bytes / forecast.capacity_bytes if forecast.capacity_bytes else None
        rows.add_row(
            *([cell(expected.device)] if several else []),
            cell(expected.workload.batch),
            bar(memory, full, cells),
            cell(format_bytes(memory.device_bytes), "bold"),
            cell("-" if share is None else _share(share), "bold red" if (share or 0) > 1 else ""),
        )
    return rows


def _share(share: float) -> str:
    if share >= _TIMES:
        return f"{share:,.0f} ×"
    return "<0.1%" if share < 0.0005 else format_share(share, 0 if share > 0.095 else 1)


def _parts(forecasts: Sequence[Forecast], *, several: bool) -> Table:
    """One column a forecast; rows that are 0 everywhere are left out."""
    titles = [
        f">{each.estimate.device}\nbatch {each.estimate.workload.batch}"
        if several
        else f">batch {each.estimate.workload.batch}!"
        for each in forecasts
    ]
    rows = grid("!", *titles)
    uses = [each.estimate.memory for each in forecasts]
    for part in _ALLOCATED:
        _add(rows, part, uses)
    _sum(rows, "allocated", [each.allocated_bytes for each in uses])
    if any(each.rounding for each in uses):
        _add(rows, _ROUNDING, uses)
        _sum(rows, "reserved", [each.reserved_bytes for each in uses])
    if any(each.context for each in uses):
        _add(rows, _CONTEXT, uses)
        _sum(rows, "on the device", [each.device_bytes for each in uses])
    return rows


def _add(rows: Table, part: _Part, uses: Sequence[MemoryUse]) -> None:
    sizes = [getattr(each, part.name) for each in uses]
    if any(sizes):
        rows.add_row(
            Text.assemble((part.sign, part.style), f" {part.name}"), *(cell(format_bytes(each)) for each in sizes)
        )


def _sum(rows: Table, name: str, sizes: Sequence[int]) -> None:
    rows.add_row(cell(f"  {name}", "bold"), *(cell(format_bytes(each), "bold") for each in sizes))
