"""What is known of hardware, as terminal tables: the list, and what is widely printed and wrong.

>>> from chipwise.core.report import Hardware, HardwareLine
>>> list(_facts(Hardware("list", (HardwareLine("a", "cpu", peak_flops={"fp32": 1e12}),)), wide=False).values())[:3]
[['-'], ['1.00'], ['-']]
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from textwrap import wrap
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from chipwise.core.report import order_of
from chipwise.views.device_compare import comparison, top500
from chipwise.views.device_numbers import NONE, kind_name, number, rate, short_name, sixteen, work_name
from chipwise.views.device_sheet import BETWEEN, errata_blocks, sheet
from chipwise.views.grid import cell, grid, muted
from chipwise.views.units import plain

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from chipwise.core.report import Hardware

_WIDE = 110  # columns of a terminal from which on there is room for more facts
_SIXTEEN = "16 bit"
_NAME = 12  # columns that a name should have
_LEFT_OUT = ("fp32", "GB/s", "year", "GiB", "int8")  # where the terminal is narrow; the last one first
# What a list is sorted by, as the heading of its column has it.
_SORTED = {"memory": "GiB", "bandwidth": "GB/s", "power": "W", "price": "USD"}


@dataclass(frozen=True, slots=True)
class HardwareTable:
    """An answer of `hardware` as its view says."""

    record: Hardware

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it for this width."""
        del console
        record, width = self.record, options.max_width
        if record.view == "sheet":
            yield sheet(record)
        elif record.view == "comparison":
            yield comparison(record, width)
        elif record.view == "top500":
            yield top500(record)
        elif record.view == "errata":
            yield Group(*errata_blocks(record.errata))
        elif record.lines and all(each.link for each in record.lines):
            yield _links(record, width)
        else:
            yield _devices(record, width)


def _devices(record: Hardware, width: int) -> RenderableType:
    """One row a device or system; in sections by kind where the order is that of the kinds."""
    columns = _facts(record, wide=width >= _WIDE)
    kept = record.precision if record.sort == "flops" else _SORTED.get(record.sort, record.sort)
    spare = [title for name in _LEFT_OUT for title in columns if title.split("\n")[0] == name != kept]
    dropped = []
    while spare and width - sum(map(_wide_as, columns.items())) < _NAME:
        dropped.append(spare.pop())
        del columns[dropped[-1]]
    rows = grid("name", *(title if title == "memory" else f">{title}!" for title in columns))
    for_name = max(width - sum(map(_wide_as, columns.items())), 5)
    long = any(len(plain(each.name)) > for_name for each in record.lines)
    kinds = [kind for kind, _ in groupby(each.kind for each in record.lines)]
    grouped = len(kinds) > 1 and len(kinds) == len(set(kinds))
    start = 0
    for kind, lines in groupby(record.lines, key=lambda each: each.kind):
        if grouped:
            rows.add_section()
            rows.add_row(cell(kind_name(kind), "italic"))
        names = [short_name(each.name) if long else each.name for each in lines]
        end = start + len(names)
        rows.add_row(*_joined(names, [column[start:end] for column in columns.values()], for_name))
        start = end
    return Group(rows, muted(_about(record, dropped)))


def _about(record: Hardware, dropped: list[str]) -> str:
    """How many there are, what was ranked and left out, and how to read the figures."""
    count = len(record.lines)
    said = [f"{count} {'entry' if count == 1 else 'entries'}"]
    if record.sort:
        ranked = sum(order_of(each, record.sort, record.precision) is not None for each in record.lines)
        lacks = {"flops-per-dollar": "price or peak", "flops-per-watt": "power or peak"}.get(record.sort, record.sort)
        said += [f"{ranked} ranked, of the other {count - ranked} no {lacks} is known"] if ranked < count else []
    if dropped:
        left = ", ".join(title.split("\n")[0] for title in reversed(dropped))
        said.append(f"no room here for {left} (a wider terminal, or --json)")
    said.append("peaks are dense, 1 multiply-add = 2 FLOPs")
    said.append(f"per W (eta) and per $ (mu; the launch price where known) for {record.precision}")
    return "; ".join([*said, "- is not known"])


def _facts(record: Hardware, *, wide: bool) -> dict[str, list[str]]:
    """All columns but the name, by title; of the peaks, that of the format asked for is among them."""
    lines, peaks = record.lines, [each.peak_flops for each in record.lines]
    always = ("fp64", "fp32", "int8") if wide else ("fp32", "int8")
    middle = _SIXTEEN if record.precision in always else record.precision
    work = f"G{work_name(record.precision)}/s\nper"
    kilo = any(each.system for each in lines)
    power = [rate(each.power_w, 1e3) if kilo else number(each.power_w) for each in lines]
    made = {
        "year": [str(each.year or NONE) for each in lines],
        **({"fp64\nTFLOP/s": [rate(each.get("fp64"), 1e12) for each in peaks]} if wide else {}),
        "fp32\nTFLOP/s": [rate(each.get("fp32"), 1e12) for each in peaks],
        f"{middle}\nT{work_name(middle)}/s": [
            rate(sixteen(each) if middle == _SIXTEEN else each.get(middle), 1e12) for each in peaks
        ],
        "int8\nTOP/s": [rate(each.get("int8"), 1e12) for each in peaks],
        "GiB": [number(each.memory_bytes, 2.0**30) for each in lines],
        "memory": [plain(each.device.memory_type) or NONE if each.device else NONE for each in lines],
        "GB/s": [number(each.bandwidth_bytes_s, 1e9) for each in lines],
        "kW" if kilo else "W": power,
        f"{work} W": [rate(each.flops_per_watt, 1e9) for each in lines],
        f"{work} $": [rate(each.flops_per_usd, 1e9) for each in lines],
        "USD": [number(each.price_usd) for each in lines],
    }
    shown = {"memory": wide, "USD": wide or record.sort == "price"}
    return {title: column for title, column in made.items() if shown.get(title, True)}


def _wide_as(column: tuple[str, list[str]]) -> int:
    """Columns of the terminal that a column takes, with the gap before it."""
    return 2 + max(map(len, [*column[0].split("\n"), *column[1]]))


def _joined(names: list[str], columns: list[list[str]], for_name: int) -> list[Text]:
    """One cell a column, with a line for every row: a cell a fact takes a terminal's table ten times as long to lay."""
    folded = [wrap(plain(name), for_name) or [""] for name in names]
    gaps = ["\n" * (len(lines) - 1) for lines in folded]
    shown = ["\n".join(f"{fact}{gap}" for fact, gap in zip(column, gaps, strict=True)) for column in columns]
    return [Text("\n".join("\n".join(lines) for lines in folded), "bold"), *map(Text, shown)]


def _links(record: Hardware, width: int) -> RenderableType:
    wide = width >= _WIDE
    rows = grid("name!", ">year!", ">GB/s each way!", "between!", *(["how it is counted"] if wide else []))
    for each in record.lines:
        link = each.link
        assert link is not None, "only links are listed here"
        about = [cell(link.notes)] if wide else []
        speed = cell(number(link.bandwidth_bytes_s, 1e9))
        rows.add_row(cell(link.name, "bold"), cell(link.year or NONE), speed, cell(BETWEEN[link.kind]), *about)
    return Group(rows, muted("- is not known; chipwise devices NAME tells how a link is counted, and who says so"))
