"""What `run --features` wrote, as a terminal table.

>>> from chipwise.core.report import Features, FeatureSheet
>>> features_table(Features("net", "", (FeatureSheet("conv1", "Conv", (1, 6, 28, 28)),))).renderables[1].plain
'1 layer of net'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group

from chipwise.views.grid import cell, grid, line
from chipwise.views.units import format_shape, plain

if TYPE_CHECKING:
    from chipwise.core.report import Features


def features_table(record: Features) -> Group:
    """One row a layer, with the pictures that were written; no column for what was not."""
    sheets = record.sheets
    drawn = {"kernels": [sheet.kernels for sheet in sheets], "feature maps": [sheet.maps for sheet in sheets]}
    files = {head: paths for head, paths in drawn.items() if any(paths)}
    rows = grid("layer (operator)", "output shape!", *files)
    for sheet, *paths in zip(sheets, *files.values(), strict=True):
        rows.add_row(cell(f"{sheet.layer} ({sheet.op})"), cell(format_shape(sheet.shape)), *map(cell, paths))
    count = "1 layer" if len(record.sheets) == 1 else f"{len(record.sheets)} layers"
    looked = f", looking at {plain(record.input)}" if record.input else ""
    return Group(rows, line(f"{count} of {plain(record.network)}{looked}"))
