"""What is known of hardware, as terminal tables: the list, and what is widely printed and wrong.

>>> from chipwise.core.report import HardwareLine
>>> _cells(HardwareLine("a", "cpu", peak_flops={"fp32": 1e12}), ("fp32", "int8"), wide=False)
['-', '1.00', '-', '-', '-', '-', '-', '-']
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from textwrap import wrap
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from chipwise.show.device_compare import comparison, top500
from chipwise.show.device_numbers import NONE, kind_name, number, rate, sixteen, work_name
from chipwise.show.device_sheet import BETWEEN, errata_blocks, sheet
from chipwise.show.grid import cell, grid, muted
from chipwise.show.units import plain

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from chipwise.core.report import Hardware, HardwareLine

_WIDE = 110  # columns of a terminal from which on there is room for more facts
_SIXTEEN = "16 bit"


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
    columns, wide = _columns(record.precision), width >= _WIDE
    more = ("fp64", "memory", "USD") if wide else ()
    power = "kW" if any(each.system for each in record.lines) else "W"
    work = f"G{work_name(record.precision)}/s\nper"
    titles = [
        "name",
        "year",
        *more[:1],
        *columns,
        "GiB",
        *more[1:2],
        "GB/s",
        power,
        f"{work} W",
        f"{work} $",
        *more[2:],
    ]
    rows = grid(*(title if title in ("name", "memory") else f">{title}!" for title in titles))
    shown = {each.name: _cells(each, columns, power, wide=wide) for each in record.lines}
    for_name = width - sum(map(_wide_as, titles[1:], zip(*shown.values(), strict=True))) if shown else width
    kinds = [kind for kind, _ in groupby(each.kind for each in record.lines)]
    grouped = len(kinds) > 1 and len(kinds) == len(set(kinds))
    for kind, lines in groupby(record.lines, key=lambda each: each.kind):
        if grouped:
            rows.add_section()
            rows.add_row(cell(kind_name(kind), "italic"))
        rows.add_row(*_joined([(each.name, shown[each.name]) for each in lines], max(for_name, 12)))
    count = len(record.lines)
    about = (
        f"{count} {'entry' if count == 1 else 'entries'}; peaks are dense, in TFLOP/s (integers: TOP/s), "
        f"1 multiply-add = 2 FLOPs; "
        f"per W (eta) and per $ (mu; the launch price where known) for {record.precision}; - is not known"
    )
    return Group(rows, muted(about))


def _columns(precision: str) -> tuple[str, ...]:
    """The peaks that are listed: those of the format asked for among them."""
    if precision in ("fp64", "fp32", "int8"):
        return ("fp32", _SIXTEEN, "int8")
    return ("fp32", precision, "int8")


def _cells(each: HardwareLine, columns: tuple[str, ...], power: str = "W", *, wide: bool) -> list[str]:
    """All columns but the name."""
    peaks = each.peak_flops
    shown = [
        str(each.year or NONE),
        *([rate(peaks.get("fp64"), 1e12)] if wide else []),
        *(rate(sixteen(peaks) if name == _SIXTEEN else peaks.get(name), 1e12) for name in columns),
        number(each.memory_bytes, 2.0**30),
        *([plain(each.device.memory_type) or NONE if each.device else NONE] if wide else []),
        number(each.bandwidth_bytes_s, 1e9),
        number(each.power_w) if power == "W" else rate(each.power_w, 1e3),
        rate(each.flops_per_watt, 1e9),
        rate(each.flops_per_usd, 1e9),
    ]
    return [*shown, number(each.price_usd)] if wide else shown


def _wide_as(title: str, column: tuple[str, ...]) -> int:
    """Columns of the terminal that a column takes, with the gap before it."""
    return 2 + max(map(len, [*title.split("\n"), *column]))


def _joined(lines: list[tuple[str, list[str]]], for_name: int) -> list[Text]:
    """One cell a column, with a line for every row: a cell a fact takes a terminal's table ten times as long to lay."""
    names: list[str] = []
    columns: list[list[str]] = [[] for _ in lines[0][1]]
    for name, facts in lines:
        folded = wrap(plain(name), for_name) or [""]
        names += folded
        for column, fact in zip(columns, facts, strict=True):
            column += [fact, *[""] * (len(folded) - 1)]
    return [Text("\n".join(names), "bold"), *(Text("\n".join(column)) for column in columns)]


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
