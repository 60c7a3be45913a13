"""How long work tells whoever watches how far it is. The terminal draws it; a notebook or a test may ignore it.

>>> silent.update("training", 0.5, "loss 0.1")
"""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Something that shows progress."""

    def update(self, stage: str, fraction: float, message: str = "") -> None:
        """Say that `stage` is `fraction` (0..1) done; 1.0 ends it. `message` is shown beside the bar."""

    def note(self, message: str) -> None:
        """Show one line that stays."""


class Silent:
    """A `Progress` that shows nothing."""

    def update(self, stage: str, fraction: float, message: str = "") -> None:
        """Ignore it."""

    def note(self, message: str) -> None:
        """Ignore it."""


silent = Silent()


class Part:
    """A stretch of another's bar: what reports here from 0 to 1 moves `stage` there from `low` to `high`.

    Args:
        whole: where the stretch is shown.
        stage: name of the bar there.
        low: where the stretch begins, 0..1.
        high: where it ends, 0..1.
    """

    def __init__(self, whole: Progress, stage: str, low: float, high: float) -> None:
        self._whole, self._stage, self._low, self._high = whole, stage, low, high

    def update(self, stage: str, fraction: float, message: str = "") -> None:
        """Move the stretch; what the reporter calls its stage stands in for a message until it is done."""
        shown = message or (stage if fraction < 1 else "")
        self._whole.update(self._stage, self._low + (self._high - self._low) * fraction, shown)

    def note(self, message: str) -> None:
        """Show one line that stays."""
        self._whole.note(message)
