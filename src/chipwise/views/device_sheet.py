"""One device, system or link as a sheet: every fact with its source, ridge points, prices, what is printed wrong.

>>> from chipwise.core.device import Erratum
>>> wrong = Erratum("L4", "bandwidth", "3,350 GB/s", "a catalogue", "300 GB/s", "the H100's", "data sheet, 2023-03")
>>> len(errata_blocks((wrong,)))
2
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from chipwise.views.device_numbers import NONE, kind_name, number, ordered, price_kind, price_range, rate
from chipwise.views.grid import cell, facts, grid, heading, line, muted
from chipwise.views.units import format_bytes, format_count, format_share, format_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from chipwise.core.device import Device, Erratum, Link, MeasuredPeaks, Price, System
    from chipwise.core.report import Hardware, HardwareLine

BETWEEN = {"host": "device and host", "device": "devices", "network": "systems"}
Row = tuple[str, str, str]  # what it is, its value, who says so


class _Sources:
    """Numbers of sources in the order in which they are met; 0 stands for none."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def mark(self, source: str) -> str:
        """Its number in brackets; "" where nothing is said."""
        return f"[{self._numbers.setdefault(source, len(self._numbers) + 1)}]" if source else ""

    def lines(self) -> Iterator[RenderableType]:
        """What each number stands for."""
        for source, place in self._numbers.items():
            yield facts([(f"[{place}]", source)])


def sheet(record: Hardware) -> RenderableType:
    """Everything that is known of the only line of a record."""
    shown, sources = record.lines[0], _Sources()
    prices: tuple[Price, ...] = ()
    if shown.device is not None:
        prices, notes, rows = shown.device.prices, shown.device.notes, _device_rows(shown.device)
    elif shown.system is not None:
        prices, notes, rows = shown.system.prices, shown.system.notes, _system_rows(shown.system)
    else:
        assert shown.link is not None, "a line is of one of the three"
        notes, rows = shown.link.notes, _link_rows(shown.link)
    blocks: list[RenderableType] = [heading(_title(shown)), _facts(rows, sources)]
    if shown.peak_flops:
        blocks += [Text(), _peaks(shown, sources)]
    if record.measured:
        blocks += [Text(), _measured(record.measured, shown, sources)]
    if prices:
        blocks += [Text(), _prices(prices, sources)]
    blocks += [Text(), line(notes)] if notes else []
    if record.errata:
        blocks += [Text(), heading("Widely printed, and wrong"), *errata_blocks(record.errata)]
    return Group(*blocks, Text(), *sources.lines())


def errata_blocks(errata: Sequence[Erratum]) -> list[RenderableType]:
    """Each figure as it is printed, the right one, what went wrong and who says so."""
    blocks: list[RenderableType] = []
    for each in errata:
        rows = [
            (
                "printed",
                Text.assemble(cell(each.printed, "red"), cell(f" ({each.printed_in})" if each.printed_in else "")),
            ),
            ("right", cell(each.right, "bold green")),
            ("why", cell(each.why)),
            ("source", cell(each.source)),
        ]
        blocks += [Text(), heading(f"{each.device}: {each.figure}"), facts(rows)]
    return blocks[1:] or [line("no errata are known")]


def _title(shown: HardwareLine) -> str:
    device = shown.device
    parts = [device.vendor if device else "", kind_name(shown.kind), str(shown.year or "")]
    return f"{shown.name} ({', '.join(part for part in parts if part)})"


def _facts(rows: Sequence[Row], sources: _Sources) -> RenderableType:
    return facts(
        (name, Text.assemble(cell(value), cell(f" {sources.mark(source)}".rstrip(), "dim")))
        for name, value, source in rows
    )


def _device_rows(device: Device) -> list[Row]:
    said = device.sources

    def row(name: str, attribute: str, value: str | None) -> Row | None:
        return (name, value, said.get(attribute, device.source)) if value else None

    def plain(value: float | None, unit: str = "", factor: float = 1.0) -> str | None:
        return None if value is None else f"{number(value, factor)} {unit}".rstrip()

    cache = None if device.cache_bytes is None else format_bytes(device.cache_bytes)
    memory = (
        None if device.memory_bytes is None else f"{format_bytes(device.memory_bytes)} {device.memory_type}".rstrip()
    )
    array = None if device.array is None else f"{device.arrays or 1} of {device.array[0]} x {device.array[1]}"
    rows = [
        ("also called", ", ".join(device.aliases), "") if device.aliases else None,
        row("released", "year", str(device.year) if device.year else None),
        row("memory", "memory_bytes", memory),
        row("bandwidth", "bandwidth_bytes_s", plain(device.bandwidth_bytes_s, "GB/s", 1e9)),
        row("last-level cache", "cache_bytes", cache),
        row("cores", "cores", None if device.cores is None else format_count(device.cores)),
        row("multiprocessors", "multiprocessors", plain(device.multiprocessors)),
        row("systolic arrays", "array", array),
        row("chips", "chips", str(device.chips) if device.chips > 1 else None),
        row("boost clock", "clock_hz", plain(device.clock_hz, "MHz", 1e6)),
        row("base clock", "base_clock_hz", plain(device.base_clock_hz, "MHz", 1e6)),
        row("clock under load", "sustained_clock_hz", plain(device.sustained_clock_hz, "MHz", 1e6)),
        row("power", "power_w", plain(device.power_w, "W")),
        row("idle power", "idle_power_w", plain(device.idle_power_w, "W")),
        row("process", "process_nm", plain(device.process_nm, "nm")),
        row("transistors", "transistors", plain(device.transistors, "billion", 1e9)),
        row("die", "die_mm2", plain(device.die_mm2, "mm2")),
        row("host link", "host_link", device.host_link),
        row("links", "links", ", ".join(device.links)),
    ]  # fmt: skip
    return [each for each in rows if each is not None]


def _system_rows(system: System) -> list[Row]:
    said = system.sources
    rows: list[Row] = []
    if system.device is not None:
        rows.append(("accelerators", f"{system.count} x {system.device.name}", said.get("device", "")))
    if system.link is not None:
        rows.append(("between them", _link_line(system.link), said.get("link", system.link.source)))
    if system.network is not None:
        rows.append(("network", _link_line(system.network), said.get("network", system.network.source)))
    if system.host:
        rows.append(("host", system.host, said.get("host", "")))
    if system.memory_bytes is not None:
        rows.append(("host memory", format_bytes(system.memory_bytes), said.get("memory_bytes", "")))
    if system.power_w is not None:
        rows.append(("power", f"{rate(system.power_w, 1e3)} kW", said.get("power_w", "")))
    if system.reached_flops is not None:
        reached = f"{rate(system.reached_flops, 1e12)} TFLOP/s, fp64"
        rows.append(("LINPACK", reached, said.get("reached_flops", "")))
    if system.year:
        rows.append(("year", str(system.year), said.get("year", "")))
    return rows


def _link_rows(link: Link) -> list[Row]:
    rows = [
        ("between", BETWEEN[link.kind], ""),
        ("each way", f"{number(link.bandwidth_bytes_s, 1e9)} GB/s", link.source),
    ]
    if link.latency_s is not None:
        rows.append(("latency", format_time(link.latency_s), link.source))
    return rows


def _link_line(link: Link) -> str:
    return f"{link.name}, {number(link.bandwidth_bytes_s, 1e9)} GB/s each way"


def _peaks(shown: HardwareLine, sources: _Sources) -> RenderableType:
    """One row a number format: the peak, the ridge point, and what a watt and a dollar give."""
    facts_of = shown.device or shown.system
    said = facts_of.sources if facts_of else {}
    rows = grid(
        "dense peak!", ">T(FL)OP/s!", ">ridge,\n(FL)OP/byte!", ">G(FL)OP/s\nper W!", ">G(FL)OP/s\nper $!", "source!"
    )
    for name in ordered(shown.peak_flops):
        peak = shown.peak_flops[name]
        ridge = shown.ridges.get(name)
        rows.add_row(
            cell(name, "bold"),
            cell(rate(peak, 1e12)),
            cell(rate(ridge)),
            cell(rate(peak / shown.power_w, 1e9) if shown.power_w else NONE),
            cell(rate(peak / shown.price_usd, 1e9) if shown.price_usd else NONE),
            cell(sources.mark(said.get(f"peak_flops.{name}", ""))),
        )
    note = "of all accelerators together" if shown.system is not None else "1 multiply-add = 2 FLOPs"
    return Group(rows, muted(f"{note}; below the ridge point memory is the limit; per W is eta, per $ of the price mu"))


def _measured(rows: Sequence[MeasuredPeaks], shown: HardwareLine, sources: _Sources) -> RenderableType:
    """What others reached of the peak and of the bandwidth, with its share of what is stated of this device."""
    table = grid(
        "measured!", ">most,\nTFLOP/s!", ">product,\nTFLOP/s!", ">FFT,\nTFLOP/s!", ">of peak!", "on!", "source!"
    )
    for row in rows:
        peak = shown.peak_flops.get(row.format)
        table.add_row(
            cell(row.format, "bold"),
            *(cell(rate(each, 1e12)) for each in (row.max_flops, row.gemm_flops, row.fft_flops)),
            cell(format_share(row.gemm_flops / peak, 0) if peak else NONE),
            cell(row.device),
            cell(sources.mark(row.source)),
        )
    triad, bandwidth = rows[0].triad_bytes_s, shown.bandwidth_bytes_s
    share = f" ({format_share(triad / bandwidth, 0)})" if triad and bandwidth else ""
    stream = f"; STREAM triad {number(triad, 1e9)} of {number(bandwidth, 1e9)} GB/s{share}" if triad else ""
    return Group(table, muted(f"of peak: what a product of matrices reaches of the dense peak above{stream}"))


def _prices(prices: Sequence[Price], sources: _Sources) -> RenderableType:
    rows = grid("price!", ">asked!", "when!", "source!")
    for price in sorted(prices, key=lambda each: each.date):
        rows.add_row(
            cell(price_kind(price)), cell(price_range(price)), cell(price.date), cell(sources.mark(price.source))
        )
    return rows
