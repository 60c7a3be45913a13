"""The zoo as a terminal table: small networks first within each purpose.

>>> from chipwise.core.report import ZooLine
>>> [each.plain for each in _cells(ZooLine("a", "tensor", (1, 8), 60_000, 10, "old"))]
['a', '1x8', '60,000', '10.0 FLOP', 'old']
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from chipwise.views.grid import cell, grid, line
from chipwise.views.units import format_count, format_flops

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.text import Text

    from chipwise.core.report import ZooLine, ZooList

_ROOM_FOR_WORDS = 110  # columns of a terminal from which on the descriptions fit beside the numbers


@dataclass(frozen=True, slots=True)
class ZooTable:
    """One row a network, grouped by what it is for; descriptions where the terminal is wide enough."""

    record: ZooList

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the table for this width."""
        del console
        wide = options.max_width >= _ROOM_FOR_WORDS
        rows = grid("name!", "takes!", ">parameters!", ">FLOPs!", *(["what it is"] if wide else []))
        ordered = sorted(self.record.networks, key=lambda network: (network.kind, network.parameters))
        for kind, networks in groupby(ordered, key=lambda network: network.kind):
            rows.add_section()
            rows.add_row(cell(kind, "italic"))
            for network in networks:
                rows.add_row(*_cells(network)[: None if wide else -1])
        yield rows
        count = len(self.record.networks)
        networks_said = "1 network" if count == 1 else f"{count} networks"
        yield line(f"{networks_said}; FLOPs for one item, 1 multiply-add = 2 FLOPs")


def _cells(network: ZooLine) -> list[Text]:
    return [
        cell(network.name, "bold"),
        cell("x".join(map(str, network.input)) or "one index"),
        cell(format_count(network.parameters)),
        cell(format_flops(network.flops)),
        cell(network.description),
    ]
