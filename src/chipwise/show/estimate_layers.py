"""An estimate layer by layer, for the terminal: which take the time, and what bounds them.

>>> from chipwise.core.estimate import Estimate, EstimateRow, Interval, MemoryUse, Workload
>>> rows = (EstimateRow("a", 3e-3, "compute"), EstimateRow("b", 1e-3, "memory"))
>>> bound_words(Estimate("Chip", Workload(), rows, Interval(None, 4e-3, None), MemoryUse(0, 0), "compute", ""))
'compute 75%'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from chipwise.show.grid import cell, grid, heading, muted
from chipwise.show.units import format_bytes, format_flops, format_share, format_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from chipwise.core.estimate import Estimate, EstimateRow

_STYLES = {"compute": "green", "memory": "blue", "launch": "yellow", "unknown": "red"}


def bound_words(expected: Estimate) -> str:
    """What limits most of the time, with the share of the time that it limits."""
    whole = sum(row.time_s for row in expected.rows)
    share = sum(row.time_s for row in expected.rows if row.bound == expected.bound) / whole if whole else 0.0
    return f"{expected.bound} {format_share(share, 0)}" if share else expected.bound


def layer_tables(expected: Estimate, *, several: bool) -> Iterator[RenderableType]:
    """Every layer with its share of the time, then the classes of work; `several`: said for which workload."""
    whole = sum(row.time_s for row in expected.rows)
    yield Text()
    where = (
        f" on {expected.device}, batch {expected.workload.batch}" if several else f" at batch {expected.workload.batch}"
    )
    yield heading(f"Layers{where}")
    rows = grid("layer (type)", ">time!", ">share!", ">FLOPs!", ">bytes!", "bound by!")
    for row in expected.rows:
        rows.add_row(*_cells(row, whole))
    rows.add_section()
    flops, moved = (sum(getattr(row, field) for row in expected.rows) for field in ("flops", "moved_bytes"))
    sums = [format_time(whole), "100.0%", format_flops(flops), format_bytes(moved)]
    rows.add_row(cell(f"{len(expected.rows)} layers", "bold"), *(cell(each, "bold") for each in sums), cell(""))
    yield rows
    if any(row.kind for row in expected.rows):
        yield Text()
        yield _kinds(expected.rows, whole)
    if expected.time_s.mid is None:
        yield muted("Times of layers are floors, too.")


def _cells(row: EstimateRow, whole: float) -> list[Text]:
    share = row.time_s / whole if whole else 0.0
    style = "bold" if share >= 0.05 else ""
    named = Text.assemble(cell(row.name, "bold"), cell(f" ({row.op})" if row.op else ""))
    return [
        named,
        cell(format_time(row.time_s), style),
        cell(format_share(share, 1), style),
        cell(format_flops(row.flops)),
        cell(format_bytes(row.moved_bytes)),
        cell(row.bound, _STYLES[row.bound]),
    ]


def _kinds(rows: Sequence[EstimateRow], whole: float) -> Table:
    """Sums by class of work, the longest first."""
    made = grid("class of work", ">layers!", ">time!", ">share!", ">FLOPs!", ">bytes!")
    classes: dict[str, list[EstimateRow]] = {}
    for row in rows:
        classes.setdefault(row.kind or "other", []).append(row)
    for kind, members in sorted(classes.items(), key=lambda pair: -sum(row.time_s for row in pair[1])):
        time_s = sum(row.time_s for row in members)
        made.add_row(
            cell(kind, "bold"),
            cell(len(members)),
            cell(format_time(time_s)),
            cell(format_share(time_s / whole if whole else 0.0, 1)),
            cell(format_flops(sum(row.flops for row in members))),
            cell(format_bytes(sum(row.moved_bytes for row in members))),
        )
    return made
