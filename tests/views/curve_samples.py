"""Networks beside each other as the picture moves, made from formulas."""

from __future__ import annotations

from chipwise.core.estimate import Interval
from chipwise.core.motion import Motion, MotionPoint, MovedCheck
from chipwise.tasks.metrics import wilson


def share(value: float, count: int) -> Interval:
    """A share of so many samples with its interval."""
    low, high = wilson(value, count)
    return Interval(low, value, high, 0.95)


def moved() -> MovedCheck:
    """Three networks, of which one stands shifts better."""
    shifts = tuple(
        MotionPoint(float(far), tuple(share(0.98 - far * lost, 360) for lost in (0.21, 0.07, 0.23))) for far in range(5)
    )
    scales = tuple(
        MotionPoint(factor, tuple(share(0.98 - abs(1 - factor) * lost, 360) for lost in (0.9, 0.5, 0.8)))
        for factor in (1 / 1.3, 1.0, 1.3)
    )
    motions = (Motion("shift", shifts), Motion("scale", scales))
    return MovedCheck(("runs/mlp", "runs/cnn", "knn"), "digits", "test", 360, 2000, (28, 28), (0,), motions)


RECORDS = {"moved": moved}
