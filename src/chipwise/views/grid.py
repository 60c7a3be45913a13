"""The look of every terminal table: plain rules, no frame, nothing cut off, text never read as markup.

>>> from rich.console import Console
>>> table = grid("name", ">count"); table.add_row(cell("a"), cell("1,000"))
>>> Console(width=40).print(table)
name  count
───────────
a     1,000
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich import box
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from chipwise.views.units import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

_RULES = box.Box(
    "    \n    \n────\n    \n────\n────\n    \n    \n",
)

_INDENT = 4  # of a text below a row
_WORD = 12  # columns of the terminal that a word keeps before it is broken


@dataclass(frozen=True, slots=True)
class Fitted:
    """A table whose numbers are never cut: bounds go below their middle, or each row becomes a list where it must.

    `under` is a text below each row, as wide as the terminal; no cell of such a table may wrap.
    """

    table: Table
    under: tuple[Text, ...] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it for this width."""
        layouts = (self.table, _bounds_below(self.table))
        fits = [each for each in layouts if _least_width(each) <= options.max_width]
        if fits and self.under:
            yield from _with_texts(fits[0], self.under, console, options)
        else:
            yield from fits[:1] or _lists(self.table, options.max_width, self.under)


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


def _rows(table: Table) -> list[tuple[RenderableType, ...]]:
    return list(zip(*(column.cells for column in table.columns), strict=True))


def _least_width(table: Table) -> int:
    """Columns of the terminal that a table takes at least, when only what may wrap does, at spaces."""
    widths = []
    for column in table.columns:
        texts = [str(cell) for cell in (column.header, *column.cells)]
        pieces = [piece for text in texts for piece in (text.split("\n") if column.no_wrap else text.split())]
        longest = max((Text(piece).cell_len for piece in pieces), default=0)
        widths.append(longest if column.no_wrap else min(longest, _WORD))
    return sum(widths) + 2 * (len(widths) - 1)


def _bounds_below(table: Table) -> Table:
    """The same with what is in brackets on a line of its own."""
    made = grid()
    for column in table.columns:
        made.add_column(column.header, justify=column.justify, overflow=column.overflow, no_wrap=column.no_wrap)
    for row, cells in zip(table.rows, _rows(table), strict=True):
        broken = (
            Text(each.plain.replace(" [", "\n["), each.style, overflow="fold")
            if isinstance(each, Text) and not each.spans
            else each
            for each in cells
        )
        made.add_row(*broken, end_section=row.end_section)
    return made


def _with_texts(table: Table, under: Iterable[Text], console: Console, options: ConsoleOptions) -> RenderResult:
    """The table with a text below each of its rows."""
    lines = iter(console.render_lines(table, options, pad=False))
    heights = [max(str(each).count("\n") + 1 for each in cells) for cells in _rows(table)]
    for height, text in zip((2, *heights), (None, *under), strict=True):
        for _ in range(height):
            yield from next(lines)
            yield Segment.line()
        if text is not None:
            yield Padding(text, (0, 0, 0, _INDENT))


def _lists(table: Table, width: int, under: tuple[Text, ...] = ()) -> Iterable[RenderableType]:
    """One list of names and values a row."""
    names = [" ".join(str(column.header).split()) for column in table.columns]
    room = width - max(map(len, names)) - 2
    if any(len(line) > room for cells in _rows(table) for each in cells for line in str(each).split("\n")):
        table = _bounds_below(table)
    for place, cells in enumerate(_rows(table)):
        if place:
            yield Text()
        yield facts(
            (name, each if isinstance(each, Text) else str(each)) for name, each in zip(names, cells, strict=True)
        )
        yield from under[place : place + 1]
