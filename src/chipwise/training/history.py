"""What the rows of a training history say: which epoch is kept, whether training ends, and a line for whoever watches.

>>> best_of((Epoch(1, 0.5, 0.4, 0.9, 0.1, 1.0), Epoch(2, 0.4, 0.4, 0.9, 0.1, 1.0)))
1
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chipwise.core.epoch import Epoch
from chipwise.training.freeze import phase_at

if TYPE_CHECKING:
    from chipwise.training.settings import Settings


_WAIT_TOLD = 0.1  # of the time of steps


def best_of(history: tuple[Epoch, ...]) -> int:
    """Number of the epoch that is kept: the highest validation accuracy, then the lowest loss, then the first."""
    return max(history, key=lambda epoch: (epoch.val_accuracy, -epoch.val_loss, -epoch.number)).number


def why_stop(settings: Settings, history: tuple[Epoch, ...]) -> str:
    """Why training ends after this history; empty when it goes on."""
    last = history[-1]
    if settings.target_accuracy is not None and last.val_accuracy >= settings.target_accuracy:
        return "target reached"
    # What was frozen gets its chance: patience begins anew when it is trained.
    since = max(best_of(history), settings.unfreeze_after or 0)
    if settings.patience is not None and last.number - since >= settings.patience:
        return f"no improvement for {settings.patience} epochs"
    return "epochs done" if last.number >= (settings.epochs or 1) else ""


def message(settings: Settings, history: tuple[Epoch, ...], loss: float) -> str:
    """Where training stands, in one line."""
    number = min(len(history) + 1, settings.epochs or 1)
    seen = f", accuracy {history[-1].val_accuracy:.2%}" if history else ""
    held = f", freeze {settings.freeze}" if phase_at(settings, number).frozen else ""
    wait_s = history[-1].wait_s if history else None
    share = 0.0 if wait_s is None else wait_s / max(history[-1].seconds, 1e-9)
    waits = f", waits {share:.0%} for data" if share >= _WAIT_TOLD else ""
    return f"epoch {number}/{settings.epochs}{held}, loss {loss:.3f}{seen}{waits}"
