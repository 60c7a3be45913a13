"""Devices and systems side by side, and the fastest machines of 2007 beside a card of today.

>>> from chipwise.core.report import HardwareLine
>>> old, new = (HardwareLine(name, "gpu", peak_flops={"fp32": peak}) for name, peak in (("a", 1e12), ("b", 3e12)))
>>> _figures((old, new), "fp32")[0]
('fp32, TFLOP/s', 1000000000000.0, (1000000000000.0, 3000000000000.0))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from chipwise.views.device_numbers import NONE, fp64, number, ordered, rate, work_name
from chipwise.views.grid import cell, grid, heading, line, muted
from chipwise.views.units import format_factor, significant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from chipwise.core.report import Hardware, HardwareLine

_LABEL, _PAIR = 22, 19  # columns for what is compared, and for a value with its ratio
_WIDTH_OF_VALUE = 11
Figure = tuple[str, float, tuple[float | None, ...]]  # what with its unit, the unit's factor, one value each


def comparison(record: Hardware, width: int) -> RenderableType:
    """One row a fact; each device but the first with its ratio to the first. Several tables where they are many."""
    first, *others = record.lines
    room = max((width - _LABEL - _WIDTH_OF_VALUE) // _PAIR, 1)
    blocks: list[RenderableType] = []
    for start in range(0, len(others), room):
        blocks += [_side_by_side((first, *others[start : start + room]), record.precision), Text()]
    links = all(each.link for each in record.lines)
    said = "" if links else f"; ridge, eta and mu for {record.precision}; peaks are dense, 1 multiply-add = 2 FLOPs"
    about = f"×: of {first.name}{said}; - is not known"
    return Group(*blocks[:-1], muted(about))


def _side_by_side(lines: Sequence[HardwareLine], precision: str) -> RenderableType:
    rows = grid("", ">", *([">", ">×!"] * (len(lines) - 1)))
    for place, each in zip((1, *range(2, 2 * len(lines), 2)), lines, strict=True):
        rows.columns[place].header = cell(each.name)
    years = [cell(each.year or NONE) for each in lines]
    rows.add_row(cell("year"), years[0], *(part for year in years[1:] for part in (year, Text())))
    for what, unit, values in _figures(lines, precision):
        show = rate if "/" in what else number
        parts = [cell(what), cell(show(values[0], unit))]
        for value in values[1:]:
            parts += [cell(show(value, unit)), cell(_ratio(value, values[0]), "bold")]
        rows.add_row(*parts)
    return rows


def _ratio(value: float | None, first: float | None) -> str:
    if value is None or not first:
        return NONE
    return format_factor(value / first) if value > first / 10 else significant(value / first, 2)


def _figures(lines: Sequence[HardwareLine], precision: str) -> list[Figure]:
    """What is known of at least one of them, in the order in which it is read."""
    formats = ordered({name for each in lines for name in each.peak_flops})
    made: list[Figure] = [
        (f"{name}, T{work_name(name)}/s", 1e12, tuple(each.peak_flops.get(name) for each in lines)) for name in formats
    ]
    work = work_name(precision)
    devices = [each.device for each in lines]
    made += [
        ("bandwidth, GB/s", 1e9, tuple(each.bandwidth_bytes_s for each in lines)),
        ("memory, GiB", 2.0**30, tuple(each.memory_bytes for each in lines)),
        ("cache, MiB", 2.0**20, tuple(each.cache_bytes if each else None for each in devices)),
        ("power, W", 1.0, tuple(each.power_w for each in lines)),
        ("price, USD", 1.0, tuple(each.price_usd for each in lines)),
        (f"ridge, {work}/byte", 1.0, tuple(each.ridges.get(precision) for each in lines)),
        (f"eta, G{work}/s per W", 1e9, tuple(each.flops_per_watt for each in lines)),
        (f"mu, G{work}/s per $", 1e9, tuple(each.flops_per_usd for each in lines)),
        ("clock, MHz", 1e6, tuple(each.clock_hz if each else None for each in devices)),
        ("process, nm", 1.0, tuple(each.process_nm if each else None for each in devices)),
        ("transistors, 1e9", 1e9, tuple(each.transistors if each else None for each in devices)),
        ("die, mm2", 1.0, tuple(each.die_mm2 if each else None for each in devices)),
    ]
    return [figure for figure in made if any(value is not None for value in figure[2])]


def top500(record: Hardware) -> RenderableType:
    """Machines of the list, then cards: fp64 beside fp64, power of the whole beside power of the card."""
    rows = grid("name", ">year!", ">LINPACK,\nTFLOP/s!", ">peak fp64,\nTFLOP/s!", ">kW!", ">GFLOP/s\nper W!")
    machines = [each for each in record.lines if each.device is None]
    cards = [each for each in record.lines if each.device is not None]
    for group in (machines, cards):
        for each in group:
            reached = None if each.system is None else each.system.reached_flops
            rows.add_row(
                cell(each.name, "bold"),
                cell(each.year or NONE),
                cell(rate(reached, 1e12)),
                cell(rate(fp64(each.peak_flops), 1e12)),
                cell(rate(each.power_w, 1e3)),
                cell(rate(each.flops_per_watt, 1e9)),
            )
        rows.add_section()
    about = (
        "LINPACK is measured, peaks are not; fp64 by matrix units where a card has them; per W: of the peak; "
        "a machine's power is that of the whole, a card's without its host; - is not known"
    )
    return Group(
        heading("Top500 of June 2007, and cards of today"),
        rows,
        *(line(text) for text in map(_told, [machines[0]] * len(cards) if machines else [], cards) if text),
        muted(about),
    )


def _told(machine: HardwareLine, card: HardwareLine) -> str:
    """How many cards have the peak of a machine, and what they draw."""
    theirs, own = fp64(machine.peak_flops), fp64(card.peak_flops)
    if not theirs or not own:
        return ""
    count = max(-(-theirs // own), 1)
    said = f"{machine.name}'s peak takes {count:,.0f} {card.name}"
    if not machine.power_w or not card.power_w:
        return said
    return f"{said}: {rate(machine.power_w, 1e3)} kW then, {rate(count * card.power_w, 1e3)} kW today"
