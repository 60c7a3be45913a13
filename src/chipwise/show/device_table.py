"""What is known of hardware, as terminal tables: the list, and what is widely printed and wrong.

>>> from chipwise.core.report import HardwareLine
>>> from chipwise.show.device_numbers import NONE
>>> [each.plain for each in _cells(HardwareLine("a", "cpu", peak_flops={"fp32": 1e12}), ("fp32", "int8"), wide=False)]
['a', '-', '1.00', '-', '-', '-', '-', '-', '-']
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from chipwise.show.device_compare import comparison, top500
from chipwise.show.device_numbers import kind_name, number, rate, sixteen, work_name
from chipwise.show.device_sheet import errata_blocks, sheet
from chipwise.show.grid import cell, grid, heading, line, muted

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
            yield _links(record)
        else:
            yield _devices(record, wide=width >= _WIDE)


def _devices(record: Hardware, *, wide: bool) -> RenderableType:
    """One row a device or system; in sections by kind where the order is that of the kinds."""
    columns = _columns(record.precision)
    more = (">fp64!", "memory!", ">USD!") if wide else ()
    work = f"G{work_name(record.precision)}/s\nper"
    rows = grid(
        "name", ">year!", *more[:1], *(f">{name}!" for name in columns), ">GiB!", *more[1:2], ">GB/s!", ">W!",
        f">{work} W!", f">{work} $!", *more[2:],
    )  # fmt: skip
    kinds = [kind for kind, _ in groupby(each.kind for each in record.lines)]
    grouped = len(kinds) > 1 and len(kinds) == len(set(kinds))
    for kind, lines in groupby(record.lines, key=lambda each: each.kind):
        if grouped:
            rows.add_section()
            rows.add_row(cell(kind_name(kind), "italic"))
        for each in lines:
            rows.add_row(*_cells(each, columns, wide=wide))
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


def _cells(each: HardwareLine, columns: tuple[str, ...], *, wide: bool) -> list[Text]:
    peaks = each.peak_flops
    shown = [
        cell(each.name, "bold"),
        cell(number(each.year).replace(",", "")),
        *([cell(rate(peaks.get("fp64"), 1e12))] if wide else []),
        *(cell(rate(sixteen(peaks) if name == _SIXTEEN else peaks.get(name), 1e12)) for name in columns),
        cell(number(each.memory_bytes, 2.0**30)),
        *([cell(each.device.memory_type or "-" if each.device else "-")] if wide else []),
        cell(number(each.bandwidth_bytes_s, 1e9)),
        cell(number(each.power_w)),
        cell(rate(each.flops_per_watt, 1e9)),
        cell(rate(each.flops_per_usd, 1e9)),
    ]
    return [*shown, cell(number(each.price_usd))] if wide else shown


def _links(record: Hardware) -> RenderableType:
    rows = grid("name!", ">year!", ">GB/s each way!", ">latency, µs!", "how it is counted")
    for each in record.lines:
        link = each.link
        assert link is not None, "only links are listed here"
        latency = None if link.latency_s is None else link.latency_s * 1e6
        rows.add_row(
            cell(link.name, "bold"),
            cell(number(link.year).replace(",", "")),
            cell(number(link.bandwidth_bytes_s, 1e9)),
            cell(number(latency)),
            cell(link.notes),
        )
    return Group(heading("Links"), rows, line(""))
