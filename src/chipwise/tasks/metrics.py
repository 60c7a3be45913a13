"""Accuracy with its uncertainty, alone and paired with another network's on the same samples.

>>> result = accuracy(correct=95, count=100)
>>> round(result.low, 4), round(result.high, 4)
(0.8882, 0.9785)
"""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from chipwise.core.errors import DataError
from chipwise.core.measure import Accuracy, PairedDrop

if TYPE_CHECKING:
    from numpy.typing import NDArray

ONE_SIDED_Z = NormalDist().inv_cdf(0.95)
_BISECTIONS = 60  # halves an interval of length 2 down to the spacing of doubles


def accuracy(correct: int, count: int) -> Accuracy:
    """Share of right answers with its 95% interval (Wilson 1927, doi 10.1080/01621459.1927.10502953).

    Raises:
        DataError: when there are no samples, or `correct` is not between 0 and `count`.
    """
    if count < 1 or not 0 <= correct <= count:
        raise DataError(f"no accuracy from {correct} right of {count} samples", hint="needs at least one sample")
    low, high = wilson(correct / count, count)
    return Accuracy(correct, count, low=low, high=high)


def wilson(share: float, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of a share of `count` samples (Wilson 1927), within 0..1.

    A mean over several answers to the same samples may be given too: each sample then has a value from 0 to 1, whose
    variance is at most that of a right or wrong answer, so that the interval is wide enough.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    z2 = z**2
    centre = share + z2 / (2 * count)
    spread = z * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    low, high = ((centre + sign * spread) / (1 + z2 / count) for sign in (-1, 1))
    return max(low, 0.0) if share else 0.0, min(high, 1.0) if share < 1 else 1.0


def paired_drop(
    source_right: NDArray[np.bool_], candidate_right: NDArray[np.bool_], limit: float | None = None
) -> PairedDrop:
    """Compare two networks' answers sample by sample.

    Args:
        source_right: bool [N], whether the source network was right.
        candidate_right: bool [N], the same for the network that is compared with it.
        limit: the drop (0..1) that shall be excluded; None when none is asked for.

    Returns:
        The drop with Tango's upper bound. `needed` is the smallest number of samples on which zero losses would show
        the limit; 0 when these samples already do or no limit was given, `sys.maxsize` when the limit is 0, which no
        number of samples shows.

    Raises:
        DataError: when there are no samples, or the two arrays differ in length.
    """
    if source_right.shape != candidate_right.shape or source_right.ndim != 1:
        shapes = f"{list(source_right.shape)} and {list(candidate_right.shape)}"
        raise DataError(f"answers of shape {shapes} cannot be paired", hint="both need one answer for each sample")
    count = len(source_right)
    lost = int(np.count_nonzero(source_right & ~candidate_right))
    won = int(np.count_nonzero(candidate_right & ~source_right))
    source = accuracy(int(np.count_nonzero(source_right)), count)
    upper = upper_bound(lost, won, count)
    return PairedDrop(
        source=source,
        candidate=accuracy(source.correct - lost + won, count),
        lost=lost,
        won=won,
        drop=(lost - won) / count,
        upper=upper,
        needed=0 if limit is None or upper <= limit else samples_needed(limit),
        p_value=mcnemar(lost, won),
    )


def mcnemar(lost: int, won: int) -> float:
    """Two-sided exact test that as many answers are lost as won (McNemar, Psychometrika 12, 1947, with binomial tails).

    >>> mcnemar(5, 0)
    0.0625
    """
    differing, tail, ways = lost + won, 0, 1
    for count in range(min(lost, won) + 1):
        tail += ways
        ways = ways * (differing - count) // (count + 1)
    return min(1.0, float(Fraction(2 * tail, 2**differing)))


def upper_bound(lost: int, won: int, count: int, z: float = ONE_SIDED_Z) -> float:
    """One-sided 95% upper bound of the drop (p_lost - p_won): Tango's score interval.

    Tango, "Equivalence test and confidence interval for the difference in proportions for the paired-sample design",
    Statistics in Medicine 17 (1998) 891-908. The bound is the largest drop that the score test does not reject. With
    no difference at all it is z^2 / (count + z^2). Another confidence needs another normal quantile `z`.

    Raises:
        DataError: when `lost + won` exceeds `count`, or `count` is 0.
    """
    if count < 1 or min(lost, won) < 0 or lost + won > count:
        raise DataError(f"{lost} lost and {won} won do not fit {count} samples")
    inside, outside = (lost - won) / count, 1.0
    for _ in range(_BISECTIONS):
        middle = (inside + outside) / 2
        if _score(middle, lost, won, count) >= -z:
            inside = middle
        else:
            outside = middle
    return outside


def samples_needed(limit: float) -> int:
    """Smallest number of samples on which zero losses and wins put the upper bound at or below `limit` (0..1)."""
    if limit <= 0:
        return sys.maxsize
    count = max(1, math.floor(ONE_SIDED_Z**2 * (1 - limit) / limit) - 1)
    while upper_bound(0, 0, count) > limit:
        count += 1
    return count


def confusion(truth: NDArray[np.integer], predicted: NDArray[np.integer], classes: int) -> tuple[tuple[int, ...], ...]:
    """Count answers: rows are true classes, columns predicted ones; [classes][classes].

    Raises:
        DataError: when the arrays differ in length, or hold a class outside 0..classes-1.
    """
    if truth.shape != predicted.shape or truth.ndim != 1:
        raise DataError(f"{list(truth.shape)} labels and {list(predicted.shape)} answers cannot be compared")
    pairs = np.stack([truth, predicted]).astype(np.int64)
    if pairs.size and not (pairs.min() >= 0 and pairs.max() < classes):
        raise DataError(f"classes from {pairs.min()} to {pairs.max()} for {classes} names")
    counts = np.bincount(pairs[0] * classes + pairs[1], minlength=classes**2).reshape(classes, classes)
    return tuple(tuple(int(cell) for cell in row) for row in counts)


def _score(drop: float, lost: int, won: int, count: int) -> float:
    """Tango's statistic: observed minus supposed drop over its standard error under the supposition."""
    difference = lost - won - count * drop
    # Maximum likelihood of p_won given p_lost - p_won = drop: the larger root of a x^2 + b x + c.
    a = 2 * count
    b = (2 * count - lost + won) * drop - lost - won
    c = -won * drop * (1 - drop)
    p_won = max(0.0, (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a))
    variance = count * (2 * p_won + drop * (1 - drop))
    if variance <= 0:
        return math.copysign(math.inf, difference) if difference else 0.0
    return difference / math.sqrt(variance)
