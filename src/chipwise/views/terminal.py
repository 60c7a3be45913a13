"""The terminal: answers on stdout, progress on stderr.

>>> with TerminalProgress() as progress:
...     progress.update("training", 1.0, "accuracy 98.6%")
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Column

from chipwise.views.grid import cell
from chipwise.views.units import format_time, plain

if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Self, TextIO

    from rich.console import RenderableType
    from rich.progress import TaskID

# Where there is no bar: a line after each tenth, but not so often that quick work fills the page, and in any case after
# half a minute, so that a log shows life.
_SOONEST_S, _LATEST_S = 2.0, 30.0
_UNBROKEN = 1 << 20
_ASCII = str.maketrans({"µ": "u", "×": "x", "–": "-", "─": "-", "≥": ">=", "≤": "<=", "…": "..."})


def print_shown(shown: RenderableType, *, unbroken: bool = False) -> None:
    """Print on stdout; without colour where NO_COLOR is set or stdout is no terminal.

    Args:
        shown: a table, a group of them, a text.
        unbroken: lines are left to the terminal to wrap: a path must be found again in a pipe.
    """
    _print(Console(highlight=False, width=_UNBROKEN if unbroken else None), shown)


def print_line(text: str) -> None:
    """Print one line of an answer on stdout, unbroken."""
    _print(Console(highlight=False, width=_UNBROKEN), cell(text))


def _print(console: Console, shown: RenderableType) -> None:
    if _takes_unicode(sys.stdout):
        console.print(shown)
        return
    with console.capture() as captured:
        console.print(shown)
    sys.stdout.write(captured.get().translate(_ASCII).encode("ascii", "replace").decode())


class TerminalProgress:
    """Progress bars on stderr with percentage, elapsed time and ETA.

    Notes and the ends of stages stay, one line each. Where stderr is no terminal, a line now and then stands for the
    bar. `interrupted` is said after Ctrl-C. Where a library swallows that, the work ends at the next update; where it
    makes another error of it, this is still an interrupt.
    """

    def __init__(self, stream: TextIO | None = None, *, interrupted: str = "") -> None:
        self._interrupted = interrupted
        self._console = Console(file=stream if stream is not None else sys.stderr, highlight=False)
        self._live = self._console.is_terminal
        self._bars = Bars(
            TextColumn("{task.fields[stage]}"),
            BarColumn(bar_width=16),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(compact=True),
            # The rest of the line: a long message must not push the other columns out of an 80-column terminal.
            TextColumn("{task.fields[message]}", markup=False, table_column=Column(ratio=1, no_wrap=True)),
            expand=True,
            console=self._console,
            disable=not self._live,
        )
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}
        self._said: dict[str, tuple[float, float]] = {}  # stage: when, and how far it was
        self._pressed = False
        self._before: Any = None

    def __enter__(self) -> Self:
        """Show the bars."""
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._press)
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the bars of unfinished stages and give the terminal back, whatever happened."""
        self._bars.stop()
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        ended = self._pressed and kind is not None
        if (ended or kind is KeyboardInterrupt) and self._interrupted:
            self._print(self._interrupted)
        if ended and kind is not KeyboardInterrupt:
            raise KeyboardInterrupt from error

    def update(self, stage: str, fraction: float, message: str = "") -> None:
        """Move the bar of `stage` to `fraction` (0..1); 1.0 ends it, and a later call starts it anew."""
        if self._pressed:
            raise KeyboardInterrupt
        begun = self._started.setdefault(stage, time.monotonic())
        fraction = min(max(fraction, 0.0), 1.0)
        if self._live:
            if stage not in self._tasks:
                self._tasks[stage] = self._bars.add_task("", total=1.0, stage=plain(stage), message="")
            self._bars.update(self._tasks[stage], completed=fraction, message=plain(message))
        elif fraction < 1.0:
            self._say(stage, fraction, message)
        if fraction >= 1.0:
            self._started.pop(stage)
            self._said.pop(stage, None)
            if stage in self._tasks:
                self._bars.remove_task(self._tasks.pop(stage))
                self._bars.refresh()
            ending = f": {plain(message)}" if message else ""
            self._print(f"{plain(stage)} done in {format_time(time.monotonic() - begun)}{ending}")

    def note(self, message: str) -> None:
        """Write one line that stays above the bars."""
        self._print(plain(message))

    def _press(self, _number: int, _frame: FrameType | None) -> None:
        self._pressed = True
        raise KeyboardInterrupt

    def _say(self, stage: str, fraction: float, message: str) -> None:
        now = time.monotonic()
        when, share = self._said.setdefault(stage, (self._started[stage], 0.0))
        if now - when >= (_SOONEST_S if int(fraction * 10) > int(share * 10) else _LATEST_S):
            self._said[stage] = (now, fraction)
            self._print(f"{plain(stage)} {fraction:.0%}{f': {plain(message)}' if message else ''}")

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
