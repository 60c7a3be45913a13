"""The terminal: answers on stdout, progress on stderr.

>>> with TerminalProgress() as progress:
...     progress.update("training", 1.0, "accuracy 98.6%")
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from chipwise.show.grid import cell
from chipwise.show.tables import table
from chipwise.show.units import format_time, plain

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self, TextIO

    from rich.progress import TaskID

_ASCII = str.maketrans({"µ": "u", "×": "x", "–": "-", "─": "-", "≥": ">=", "≤": "<=", "…": "..."})


def print_record(record: Any) -> None:
    """Print a verb's answer on stdout; without colour where NO_COLOR is set or stdout is no terminal."""
    console = Console(highlight=False)
    if _takes_unicode(sys.stdout):
        console.print(table(record))
        return
    with console.capture() as captured:
        console.print(table(record))
    sys.stdout.write(captured.get().translate(_ASCII).encode("ascii", "replace").decode())


class TerminalProgress:
    """Progress bars on stderr with percentage, elapsed time and ETA.

    Where stderr is no terminal, only notes and the ends of stages are written, one line each.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._console = Console(file=stream if stream is not None else sys.stderr, highlight=False)
        self._live = self._console.is_terminal
        self._bars = Bars(
            TextColumn("{task.fields[stage]}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[message]}", markup=False),
            console=self._console,
            disable=not self._live,
        )
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}

    def __enter__(self) -> Self:
        """Show the bars."""
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the bars as they are and give the terminal back, whatever happened."""
        self._bars.stop()

    def update(self, stage: str, fraction: float, message: str = "") -> None:
        """Move the bar of `stage` to `fraction` (0..1); 1.0 ends it, and a later call starts it anew."""
        begun = self._started.setdefault(stage, time.monotonic())
        fraction = min(max(fraction, 0.0), 1.0)
        if self._live:
            if stage not in self._tasks:
                self._tasks[stage] = self._bars.add_task("", total=1.0, stage=plain(stage), message="")
            self._bars.update(self._tasks[stage], completed=fraction, message=plain(message))
        if fraction >= 1.0:
            self._started.pop(stage)
            if self._tasks.pop(stage, None) is None:
                ending = f": {plain(message)}" if message else ""
                self._print(f"{plain(stage)} done in {format_time(time.monotonic() - begun)}{ending}")

    def note(self, message: str) -> None:
        """Write one line that stays above the bars."""
        self._print(plain(message))

    def _print(self, text: str) -> None:
        safe = (
            text if _takes_unicode(self._console.file) else text.translate(_ASCII).encode("ascii", "replace").decode()
        )
        self._console.print(cell(safe), soft_wrap=True)


def _takes_unicode(stream: Any) -> bool:
    """False where a stream's encoding has no "µ" and no rules, as with LANG=C or code page 437."""
    try:
        "µ×–─≥".encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
