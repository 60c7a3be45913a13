"""How many layers a network has before and after fusion, as a terminal table with the rule beneath.

>>> from chipwise.core.layer_counts import LayerCounts
>>> counts_table(LayerCounts("net", {"convolution": 1, "activation": 1}, {"convolution": 1}, 1)).renderables[1].plain
'2 layers of net, 1 after the passes, 1 where runtimes fuse'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group

from chipwise.views.grid import cell, grid, line
from chipwise.views.units import plain

if TYPE_CHECKING:
    from chipwise.core.layer_counts import LayerCounts


def counts_table(record: LayerCounts) -> Group:
    """One row a kind of layer, the sums, and what is counted."""
    rows = grid("kind of layer", ">before", ">after the passes")
    for kind in dict.fromkeys((*record.source, *record.passed)):
        rows.add_row(cell(kind), *(cell(f"{found.get(kind, 0):,}") for found in (record.source, record.passed)))
    before, after = sum(record.source.values()), sum(record.passed.values())
    caffe = f" ({record.as_caffe:,} as Caffe writes it)" if record.as_caffe != before else ""
    said = f"{before:,} layers of {plain(record.network)}{caffe}, {after:,} after the passes"
    return Group(rows, line(f"{said}, {record.fused:,} where runtimes fuse"), *map(line, record.rule))
