"""The board while a search runs: read again and again, drawn in place.

>>> shown_rows(24)
5
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live

from chipwise.core.errors import InputError
from chipwise.views.leaderboard_table import leaderboard_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from chipwise.core.board import Leaderboard

_EVERY_S = 1.0
_AROUND = 14  # lines of a terminal that headings and notes take


def follow(read: Callable[[], Leaderboard], console: Console | None = None) -> Leaderboard:
    """Show a board until Ctrl-C, as it changes.

    Args:
        read: the board as it is now.
        console: stdout where nothing is said.

    Returns:
        the last board.

    Raises:
        InputError: stdout is no terminal.
    """
    console = console or Console(highlight=False)
    if not console.is_terminal:
        raise InputError("--live draws in a terminal, and this is none", hint="leave --live out")
    record = read()
    with Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop") as drawing:
        try:
            while True:
                short = replace(record, most=shown_rows(console.height), others=record.others[-2:], claims=())
                drawing.update(leaderboard_table(short), refresh=True)
                time.sleep(_EVERY_S)
                record = read()
        except KeyboardInterrupt:
            return record


def shown_rows(height: int) -> int:
    """Rows that a terminal of so many lines has room for."""
    return max((height - _AROUND) // 2, 1)
