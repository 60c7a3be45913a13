"""Curves that teach: error on what was learned and on what was not, by data, by capacity, or epoch by epoch.

>>> CurvePoint(0.5, 500, 266_610, 8, Interval(0.0, 0.01, 0.02), Interval(0.03, 0.05, 0.08)).mark
''
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from chipwise.core.estimate import Interval

CurveKind = Literal["data", "capacity", "epochs"]
Mark = Literal["", "underfits", "gap", "overfits"]


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The mean over all seeds at one size.

    Attributes:
        at: share of the training split, width of the network, or number of the epoch.
        samples: that were learned from; parameters: of the network; epochs: that it learned.
        train: error on those samples, 0..1, with its 95% interval; validation: on the validation split.
        train_seeds, validation_seeds: least and largest error of a seed.
        train_loss, validation_loss: mean loss over all seeds; nats for cross-entropy.
        rise: validation error less that of the line's best point, sample by sample, with its 95% interval; None at the
            best point.
        mark: "underfits", "gap" (training error certainly below), "overfits", or "" for neither.
    """

    at: float
    samples: int
    parameters: int
    epochs: int
    train: Interval
    validation: Interval
    train_seeds: tuple[float, float] = (0.0, 0.0)
    validation_seeds: tuple[float, float] = (0.0, 0.0)
    train_loss: float = 0.0
    validation_loss: float = 0.0
    rise: Interval | None = None
    mark: Mark = ""


@dataclass(frozen=True, slots=True)
class CurveLine:
    """One way to train.

    Attributes:
        variant: "plain", "l2", ...; settings: those that make it so.
        points: the smallest first.
        advice: one sentence: what to do.
        change: validation error at the last point less that of the first line, with its 95% interval; None there.
    """

    variant: str
    settings: dict[str, str | float | bool | None]
    points: tuple[CurvePoint, ...]
    advice: str
    change: Interval | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """Answer of `learning_curve`.

    Attributes:
        kind: what grows; network, data: names; folder: where the journal of runs is.
        seeds: of weights, order and choice of samples, a run each.
        validation: samples of the validation split; judged: training samples that errors are counted on, at most.
        settings: that all lines share.
        lines: one a variant.
        pictures: file that the curves were drawn into; empty for none.
    """

    kind: CurveKind
    network: str
    data: str
    folder: str
    seeds: tuple[int, ...]
    validation: int
    judged: int
    settings: dict[str, str | int | float | bool | None]
    lines: tuple[CurveLine, ...]
    pictures: str = ""
    schema: str = "chipwise.curve/1"
