"""How far predictions lie from published measurements: one record a row, and their summary.

>>> rows = [Error("t", "d", "a", Interval(0.9, 1.1, 1.2), 1.0), Error("t", "d", "b", Interval(1.0, 1.9, 1.95), 2.0)]
>>> found = summary(rows)
>>> found.rows, round(found.median, 3), round(found.mean, 3), found.coverage
(2, 0.075, 0.075, 0.5)
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chipwise.core.estimate import Interval


@dataclass(frozen=True, slots=True)
class Error:
    """One published row and what was predicted for it.

    Attributes:
        table: which one; device: as the catalogue calls it; row: what was run.
        predicted_s: of a step; measured_s: the same, as published.
        held_out: nothing was fitted on this row; zero_shot: nor on any row of whole networks on this device.
        published_s: another predictor's figure, printed beside the measurement.
        note: what the prediction assumes, or what explains its error.
    """

    table: str
    device: str
    row: str
    predicted_s: Interval
    measured_s: float
    held_out: bool = True
    zero_shot: bool = False
    published_s: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float:
        """Predicted over measured."""
        return (self.predicted_s.mid or 0.0) / self.measured_s


@dataclass(frozen=True, slots=True)
class Summary:
    """Errors of some rows, as shares of what was measured.

    Attributes:
        rows: how many.
        median, mean, p90: of the absolute error.
        bias: median of predicted over measured, less 1.
        rank: Spearman's correlation of predicted and measured; None for less than three rows.
        coverage: share of rows inside their interval; None where no row has one.
        published: mean absolute error of the other predictor on the same rows; None unless all have one.
    """

    rows: int
    median: float
    mean: float
    p90: float
    bias: float
    rank: float | None
    coverage: float | None
    published: float | None


def summary(errors: Iterable[Error]) -> Summary:
    """Summarize; at least one row."""
    rows = list(errors)
    ratios = np.array([each.ratio for each in rows])
    off = np.abs(ratios - 1)
    bounded = [each for each in rows if each.predicted_s.low is not None and each.predicted_s.high is not None]
    others = [abs(each.published_s / each.measured_s - 1) for each in rows if each.published_s is not None]
    return Summary(
        rows=len(rows),
        median=float(np.median(off)),
        mean=float(np.mean(off)),
        p90=float(np.percentile(off, 90)),
        bias=float(np.median(ratios)) - 1,
        rank=_rank([each.predicted_s.mid or 0.0 for each in rows], [each.measured_s for each in rows]),
        coverage=_share([each.predicted_s.covers(each.measured_s) for each in bounded]),
        published=float(np.mean(others)) if len(others) == len(rows) else None,
    )


def by(errors: Iterable[Error], key: Callable[[Error], str]) -> dict[str, Summary]:
    """Summaries of groups, in the order in which they appear."""
    groups: dict[str, list[Error]] = {}
    for each in errors:
        groups.setdefault(key(each), []).append(each)
    return {name: summary(rows) for name, rows in groups.items()}


def of_ratios(ratios: Sequence[float]) -> dict[str, float]:
    """How far predictions lie off, from predicted over published: median, mean and largest error, and the bias."""
    off = [abs(ratio - 1) for ratio in ratios]
    return {
        "rows": len(off),
        "median": round(statistics.median(off), 4),
        "mean": round(statistics.fmean(off), 4),
        "largest": round(max(off), 4),
        "bias": round(statistics.median(ratios) - 1, 4),
    }


def _share(flags: Sequence[bool]) -> float | None:
    return sum(flags) / len(flags) if flags else None


def _ranks(values: Sequence[float]) -> NDArray[np.float64]:
    """Places in order; equal values share the mean of theirs."""
    _, at, counts = np.unique(values, return_inverse=True, return_counts=True)
    places = np.cumsum(counts) - (counts - 1) / 2
    return np.asarray(places[at], dtype=np.float64)


def _rank(one: Sequence[float], other: Sequence[float]) -> float | None:
    if len(one) < 3:
        return None
    first, second = _ranks(one), _ranks(other)
    if first.std() == 0 or second.std() == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])
