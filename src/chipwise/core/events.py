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
