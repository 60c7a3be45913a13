"""What a server answered, once it has ended, as a terminal table.

>>> from chipwise.core.served import Served
>>> served_table(Served((), 1.0)).renderables[1].plain
'served for 1.00 s'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group

from chipwise.views.grid import cell, grid, line
from chipwise.views.units import format_count, format_time

if TYPE_CHECKING:
    from chipwise.core.served import Served


def served_table(record: Served) -> Group:
    """One row a model."""
    rows = grid("model", ">version!", ">answered!", ">failed!")
    for model in record.models:
        counts = (format_count(model.answered), format_count(model.failed))
        rows.add_row(cell(model.name, "bold"), cell(model.version), *map(cell, counts))
    return Group(rows, line(f"served for {format_time(record.seconds)}"))
