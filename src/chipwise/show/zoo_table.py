"""The zoo as a terminal table: small networks first within each purpose.

>>> from chipwise.core.report import ZooLine, ZooList
>>> zoo_table(ZooList((ZooLine("a", "classification", (3, 8, 8), 10, 20, "tiny"),))).renderables[1].plain
'1 network; FLOPs for one item, 1 multiply-add = 2 FLOPs'
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import Group

from chipwise.show.grid import cell, grid, line
from chipwise.show.units import format_count, format_flops, format_shape

if TYPE_CHECKING:
    from chipwise.core.report import ZooList


def zoo_table(record: ZooList) -> Group:
    """One row a network, grouped by what it is for."""
    rows = grid("name!", "takes!", ">parameters!", ">FLOPs!", "what it is")
    ordered = sorted(record.networks, key=lambda network: (network.kind, network.parameters))
    for kind, networks in groupby(ordered, key=lambda network: network.kind):
        rows.add_section()
        rows.add_row(cell(kind, "italic"))
        for network in networks:
            rows.add_row(
                cell(network.name, "bold"),
                cell(format_shape(network.input)),
                cell(format_count(network.parameters)),
                cell(format_flops(network.flops)),
                cell(network.description),
            )
    count = len(record.networks)
    networks_said = "1 network" if count == 1 else f"{count} networks"
    return Group(rows, line(f"{networks_said}; FLOPs for one item, 1 multiply-add = 2 FLOPs"))
