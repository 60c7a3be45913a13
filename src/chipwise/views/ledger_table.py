"""Where the bytes of a compressed network are, as a terminal table: every byte is in one line of it.

>>> from rich.console import Console
>>> from chipwise.core.ledger import Ledger
>>> Console(width=60).print(ledger_table(Ledger(100, 40, 30, 10, 5, 8, 0, 7, 4000)).renderables[-1])
100 bytes for 4,000 of dense values: 40.0 times smaller
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group

from chipwise.views.grid import cell, grid, heading, line

if TYPE_CHECKING:
    from chipwise.core.ledger import Ledger

_COLUMNS = (
    ("values", "signs and magnitudes of the weights that are not zero"),
    ("indices", "where these are"),
    ("codebooks", "codebooks, steps and scales"),
    ("biases", "tensors of one axis, all of them"),
    ("graph", "the topology"),
    ("task", "labels and preprocessing"),
    ("headers", "format, hashes, and each tensor's name, shape and kind"),
)


def ledger_table(record: Ledger) -> Group:
    """One row a column of the ledger with its share, the total, and how much smaller that is."""
    rows = grid("of the file", ">bytes!", ">share!", "what")
    for name, what in _COLUMNS:
        size = getattr(record, name)
        rows.add_row(cell(name), cell(f"{size:,}"), cell(f"{size / record.total:.1%}"), cell(what, "dim"))
    rows.add_section()
    rows.add_row(cell("total", "bold"), cell(f"{record.total:,}", "bold"), cell("100.0%"), cell(""))
    said = f"{record.total:,} bytes for {record.dense:,} of dense values: {record.ratio:.1f} times smaller"
    return Group(heading("Bytes of the file"), rows, line(said))
