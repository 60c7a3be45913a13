"""A race of array libraries as a terminal table: times by size, and from which size another library pays.

>>> size_name(1000), size_name(50_000), size_name(1234)
('1e3', '5e4', '1,234')
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group

from chipwise.views.grid import cell, grid, heading, line, muted
from chipwise.views.units import format_count, format_factor, format_time, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType
    from rich.text import Text

    from chipwise.core.array_race import ArrayRace, ArrayRow, ArrayTurn, Way

_HOW = (
    "Median time of one call; sizes are values of the largest array. Faster and slower than NumPy: at that size and at "
    "every larger one that was timed, beyond the noise (95% interval of the ratio, turns interleaved); the factor "
    "is that at the largest. All answers were compared with NumPy's before."
)
_MOVED = "moved: arrays go to the device and the result comes back in every call; else they are there already."


def size_name(size: int) -> str:
    """A size in few characters."""
    digits = str(size)
    return f"{digits[0]}e{len(digits) - 1}" if size >= 1000 and not digits[1:].strip("0") else format_count(size)


def array_table(record: ArrayRace) -> RenderableType:
    """Times of every operation and way by size, with the verdict; below what every operation is, and what to know."""
    rows = grid("operation!", "library", *(f">{size_name(size)}!" for size in record.sizes), "against NumPy")
    cells = {(row.operation, row.way, row.size): row for row in record.rows}
    turns = {(turn.operation, turn.way): turn for turn in record.turns}
    for operation in record.operations:
        ways = [way for way in record.ways if any((operation.name, way, size) in cells for size in record.sizes)]
        for place, way in enumerate(ways):
            rows.add_row(
                cell("" if place else operation.name, "bold"),
                cell(way.title),
                *(_time(cells.get((operation.name, way, size))) for size in record.sizes),
                cell(_verdict(turns.get((operation.name, way)))),
                end_section=place == len(ways) - 1,
            )
    about = "; ".join(f"{each.name}: {each.what}" for each in record.operations)
    moved = [muted(_MOVED)] if any(way.device != "cpu" for way in record.ways) else []
    return Group(heading(_title(record)), rows, *_notes(record), muted(about), muted(_HOW), *moved)


def _title(record: ArrayRace) -> str:
    libraries = (f"{plain(each.name)} {plain(each.version)}{_threads(each.threads)}" for each in record.libraries)
    cores = "core" if record.machine.cores == 1 else "cores"
    return f"{', '.join(libraries)}; {plain(record.machine.cpu)}, {record.machine.cores} {cores}"


def _threads(count: int) -> str:
    return f" ({count} threads)" if count > 1 else ""


def _time(row: ArrayRow | None) -> Text:
    if row is None or row.timing is None:
        return cell("-", "dim")
    style = "" if row.speedup is None else {"faster": "green", "slower": "red"}.get(row.speedup.verdict, "")
    return cell(format_time(row.timing.median_s), style)


def _verdict(turn: ArrayTurn | None) -> str:
    if turn is None:
        return ""
    factor = turn.at_largest.mid
    if turn.faster_from is not None:
        return f"faster from {size_name(turn.faster_from)}, {format_factor(factor)}×"
    if turn.slower_from is not None:
        return f"slower from {size_name(turn.slower_from)}, {format_factor(1 / factor)}×"
    return "same within noise"


def _notes(record: ArrayRace) -> Iterator[RenderableType]:
    """What was not timed, each reason once, and what else to know."""
    told: dict[tuple[str, int, str], list[Way]] = {}
    for row in record.rows:
        if row.note:
            told.setdefault((row.operation, row.size, row.note), []).append(row.way)
    for (operation, size, note), ways in told.items():
        names = ", ".join(way.title for way in ways)
        yield line(f"not timed: {operation} of {size_name(size)}, {names}: {note}", "yellow")
    if not record.complete:
        yield line("interrupted: these are the cells that were done", "yellow")
    yield from (muted(f"note: {note}") for note in record.notes)
