"""Scores of answers: how many are right, of all samples or class by class.

>>> score_of("balanced-accuracy", np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]), 2)
0.5
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise.core.trial import Score
from chipwise.tasks.metrics import confusion, wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray

METRICS = ("accuracy", "balanced-accuracy")


def score_of(metric: str, truth: NDArray[Any], predicted: NDArray[Any], classes: int) -> float:
    """A score, 0..1.

    Args:
        metric: "accuracy", or "balanced-accuracy", the mean of the shares that are right in each class.
        truth: classes [N].
        predicted: likewise.
        classes: how many there are.

    Raises:
        DataError: a class that there is not.
    """
    if metric == "accuracy":
        return float((truth == predicted).mean())
    table = np.asarray(confusion(truth, predicted, classes), float)
    counts = table.sum(axis=1)
    return float((np.diag(table)[counts > 0] / counts[counts > 0]).mean())


def with_interval(metric: str, value: float, samples: int) -> Score:
    """A score with Wilson's 95% interval, where it is a share of the samples."""
    low, high = wilson(value, samples) if metric == "accuracy" else (None, None)
    return Score(value, low, high, samples)
