"""Networks beside each other as the picture moves, and curves of learning, made from formulas."""

from __future__ import annotations

from chipwise.core.curve import Curve, CurveLine, CurvePoint
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


def point(at: float, train: float, validation: float, mark: str = "", **more: object) -> CurvePoint:
    """A point that is not the best, unless told so."""
    known: dict[str, object] = {
        "epochs": max(1, round(20 / min(at, 1))),
        "rise": Interval(0.01, 0.02, 0.03),
        "validation_seeds": (validation - 0.005, validation + 0.005),
    }
    errors = share(train, 1077), share(validation, 360)
    samples = round(1077 * min(at, 1))
    return CurvePoint(at, samples, 266_610, train=errors[0], validation=errors[1], mark=mark, **(known | more))


def data_curve() -> Curve:
    """Two variants, three seeds."""
    plain = (
        point(0.0625, 0.0, 0.142, "overfits"),
        point(0.25, 0.0, 0.065, "overfits"),
        point(1.0, 0.0, 0.025, "gap", rise=None),
    )
    l2 = (point(0.0625, 0.08, 0.09, "underfits"), point(0.25, 0.02, 0.05), point(1.0, 0.015, 0.017, rise=None))
    lines = (
        CurveLine("plain", {"l1": 0.0, "weight_decay": 0.0, "augment": "none"}, plain, "More data: it is too little."),
        CurveLine("l2", {"l1": 0.0, "weight_decay": 0.1, "augment": "none"}, l2, "Enough data: they meet at 1.7%.",
                  Interval(-0.02, -0.008, 0.003)),
    )  # fmt: skip
    settings = {"optimizer": "adamw", "learning_rate": 0.003, "epochs": 20, "patience": None}
    return Curve("data", "lenet-300-100", "digits", "runs/curves", (0, 1, 2), 360, 10_000, settings, lines)


def epochs_curve() -> Curve:
    """One run that overfits, of more epochs than are shown."""
    numbers = range(1, 61)
    rows = tuple(
        point(float(number), 0.6 * 0.9**number, 0.03 + 0.5 * 0.8**number + 0.0005 * number,
              "underfits" if number < 15 else "overfits" if number > 45 else "gap", epochs=number,
              **({"rise": None} if number == 25 else {}))
        for number in numbers
    )  # fmt: skip
    line = CurveLine("plain", {"l1": 0.0}, rows, "Stop at epoch 25 (--epochs 25), or regularise.")
    return Curve("epochs", "lenet-300-100", "digits", "runs/curves", (0,), 360, 10_000, {"epochs": 60}, (line,))


RECORDS = {"moved": moved, "curve_data": data_curve, "curve_epochs": epochs_curve}
