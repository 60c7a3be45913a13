"""From runs to points of a curve: means over seeds, intervals, and where it underfits and overfits.

Errors of two points are compared on the same validation samples, one by one, so that what all find hard does not count.

>>> low, high = (Interval(share - 0.02, share, share + 0.02) for share in (0.01, 0.1))
>>> mark_of(CurvePoint(1, 9, 9, 9, low, high), worse=False)
'gap'
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist, fmean
from typing import TYPE_CHECKING

import numpy as np

from chipwise.core.curve import CurvePoint
from chipwise.core.estimate import Interval
from chipwise.tasks.metrics import wilson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from chipwise.core.curve import CurveKind, Mark
    from chipwise.training.curves.runs import Errors

HIGH = 0.05  # training error above which a network has not learned what it was shown
_COVERAGE = 0.95


@dataclass(frozen=True, slots=True)
class Measured:
    """One size: what it was, and the errors of each seed."""

    at: float
    samples: int
    parameters: int
    rows: tuple[Errors, ...]

    def wrong(self, count: int) -> NDArray[np.float64]:
        """How often each of the `count` validation samples was wrong, 0..1: the mean over seeds."""
        bits = [np.unpackbits(np.frombuffer(row.wrong, np.uint8), count=count) for row in self.rows]
        mean: NDArray[np.float64] = np.mean(bits, axis=0, dtype=np.float64)
        return mean


def points_of(kind: CurveKind, measured: Sequence[Measured], validation: int) -> tuple[CurvePoint, ...]:
    """The points of one line, with their marks.

    Args:
        kind: what grows; too much of capacity and epochs overfits, too little of data.
        measured: the smallest first.
        validation: samples of the validation split.
    """
    wrong = [each.wrong(validation) for each in measured]
    points = [_point(each, bits) for each, bits in zip(measured, wrong, strict=True)]
    best = min(range(len(points)), key=lambda place: (wrong[place].mean(), place))
    pairs = len(points) * (len(points) - 1) // 2
    least = points[best].train.mid or 0.0
    made = []
    for place, (point, bits) in enumerate(zip(points, wrong, strict=True)):
        rise = None if place == best else paired_rise(bits, wrong[best])
        turn = kind == "data" or place > best
        worse = turn and _low(paired_rise(bits, wrong[best], pairs)) > 0 and (point.train.mid or 0.0) <= least
        made.append(replace(point, rise=rise, mark=mark_of(point, worse=worse)))
    return tuple(made)


def paired_rise(wrong: NDArray[np.float64], other: NDArray[np.float64], pairs: int = 1) -> Interval:
    """How much larger an error is than another on the same samples, with the 95% interval of the mean difference.

    Args:
        wrong: how often each sample is wrong, [N].
        other: likewise.
        pairs: comparisons that the interval holds for together (Bonferroni).
    """
    difference = wrong - other
    z = NormalDist().inv_cdf(1 - (1 - _COVERAGE) / 2 / max(pairs, 1))
    middle = float(difference.mean())
    spread = z * float(difference.std()) / math.sqrt(len(difference))
    return Interval(middle - spread, middle, middle + spread, _COVERAGE)


def mark_of(point: CurvePoint, *, worse: bool) -> Mark:
    """What is wrong at a point.

    "gap": validation error is certainly above training error (their intervals do not meet). "overfits": it is also
    worse. "underfits": the whole interval of the training error lies above 5%, and there is no gap.

    Args:
        point: its errors.
        worse: validation error is certainly above that of the best point, and training error is not; of capacity and
            epochs there is more than at that point.
    """
    if _low(point.validation) > (point.train.high or 0.0):
        return "overfits" if worse else "gap"
    return "underfits" if _low(point.train) > HIGH else ""


def _low(interval: Interval) -> float:
    return 0.0 if interval.low is None else interval.low


def _point(measured: Measured, wrong: NDArray[np.float64]) -> CurvePoint:
    rows = measured.rows
    shares = [row.train_wrong / row.judged for row in rows]
    each = [float(np.unpackbits(np.frombuffer(row.wrong, np.uint8)).sum()) / len(wrong) for row in rows]
    return CurvePoint(
        at=measured.at,
        samples=measured.samples,
        parameters=measured.parameters,
        epochs=rows[0].epoch,
        train=_error(fmean(shares), rows[0].judged),
        validation=_error(float(wrong.mean()), len(wrong)),
        train_seeds=(min(shares), max(shares)),
        validation_seeds=(min(each), max(each)),
        train_loss=fmean(row.train_loss for row in rows),
        validation_loss=fmean(row.validation_loss for row in rows),
    )


def _error(share: float, count: int) -> Interval:
    low, high = wilson(share, count)
    return Interval(low, share, high, _COVERAGE)
