"""The look of every terminal table: plain rules, no frame, nothing cut off, text never read as markup.

>>> from rich.console import Console
>>> table = grid("name", ">count"); table.add_row(cell("a"), cell("1,000"))
>>> Console(width=40).print(table)
name  count
───────────
a     1,000
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from chipwise.show.units import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

_RULES = box.Box(
    "    \n    \n────\n    \n────\n────\n    \n    \n",
)


def grid(*columns: str) -> Table:
    """An empty table; a heading that starts with ">" is right-aligned, one that ends with "!" never wraps."""
    made = Table(box=_RULES, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for heading_text in columns:
        right = heading_text.startswith(">")
        made.add_column(
            heading_text.removeprefix(">").removesuffix("!"),
            justify="right" if right else "left",
            overflow="fold",
            no_wrap=heading_text.endswith("!"),
        )
    return made


def cell(value: object, style: str = "") -> Text:
    """One value as text: no markup, no control characters."""
    return Text(plain(value), style=style, overflow="fold")


def heading(text: str) -> Text:
    """The line above a table."""
    return cell(text, "bold")


def line(text: str, style: str = "") -> Text:
    """One paragraph."""
    return cell(text, style)


def muted(text: str) -> Text:
    """One paragraph of lesser weight."""
    return cell(text, "dim")


def facts(pairs: Iterable[tuple[str, str | Text]]) -> RenderableType:
    """Name and value, one pair a line, values aligned."""
    made = Table.grid(padding=(0, 2))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs:
        made.add_row(cell(name), value if isinstance(value, Text) else cell(value))
    return made
