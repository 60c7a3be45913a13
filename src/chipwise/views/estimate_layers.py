"""An estimate layer by layer, for the terminal: which take the time, and what bounds them.

>>> from chipwise.core.estimate import Estimate, EstimateRow, Interval, MemoryUse, Workload
>>> rows = (EstimateRow("a", 3e-3, "compute"), EstimateRow("b", 1e-3, "memory"))
>>> bound_words(Estimate("Chip", Workload(), rows, Interval(None, 4e-3, None), MemoryUse(0, 0), "compute", ""))
'compute 75%'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from chipwise.views.grid import Fitted, cell, grid, heading, muted
from chipwise.views.units import format_bytes, format_flops, format_share, format_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from chipwise.core.estimate import Estimate, EstimateRow

_WORTH_SAYING = 0.005
_STYLES = {"compute": "green", "memory": "blue", "launch": "yellow", "unknown": "red"}


def bound_words(expected: Estimate) -> str:
    """What limits most of the time, with the share of the time that it limits; what no layer takes is launch."""
    times: dict[str, float] = {"launch": expected.beside_s}
    for row in expected.rows:
        times[row.bound] = times.get(row.bound, 0.0) + row.time_s
    whole, bound = sum(times.values()), max(times, key=lambda name: times[name])
    return f"{bound} {format_share(times[bound] / whole, 0)}" if whole else expected.bound


def layer_tables(expected: Estimate, *, several: bool) -> Iterator[RenderableType]:
    """Every layer with its share of the time, then the classes of work; `several`: said for which workload."""
    whole = sum(row.time_s for row in expected.rows) + expected.beside_s
    yield Text()
    where = (
        f" on {expected.device}, batch {expected.workload.batch}" if several else f" at batch {expected.workload.batch}"
    )
    yield heading(f"Layers{where}")
    rows = grid("layer (type)", ">time!", ">share!", ">FLOPs!", ">bytes!", "bound by!")
    shown = [row for row in expected.rows if row.time_s or row.flops or row.moved_bytes]
    for row in shown:
        rows.add_row(*_cells(row, whole))
    if whole and expected.beside_s / whole >= _WORTH_SAYING:
        beside = cell("beside the layers (host, start of a call)", "italic")
        rows.add_row(beside, cell(format_time(expected.beside_s)), cell(format_share(expected.beside_s / whole, 1)))
    rows.add_section()
    flops, moved = (sum(getattr(row, field) for row in expected.rows) for field in ("flops", "moved_bytes"))
    sums = [format_time(whole), "100.0%", format_flops(flops), format_bytes(moved)]
    rows.add_row(cell(f"{len(expected.rows)} layers", "bold"), *(cell(each, "bold") for each in sums), cell(""))
    yield Fitted(rows)
    hidden = len(expected.rows) - len(shown)
    if hidden:
        yield muted(
            f"{hidden} {'layer that only changes' if hidden == 1 else 'layers that only change'} a shape left out"
        )
    if any(row.kind for row in expected.rows):
        yield Text()
        yield Fitted(_kinds(expected.rows, whole))
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
