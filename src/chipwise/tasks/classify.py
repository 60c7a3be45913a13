"""Scores to probabilities, and probabilities to the most likely names.

>>> import numpy as np
>>> top_k(np.array([[0.0, 0.0, 50.0]]), ("cat", "dog"), k=1)
((('class 2', 1.0),),)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from chipwise.core.errors import DataError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_EIGHT_BIT_TOLERANCE = 0.05  # of the sum of shares that were rounded to 1/256 each
_SUM_TOLERANCE = 1e-2  # a softmax computed with 8-bit numbers does not add up to 1 exactly


def check_top(top: int) -> None:
    """Refuse to name fewer than one class.

    Raises:
        InputError: when `top` is below 1.
    """
    if top < 1:
        raise InputError(f"top is {top}; at least 1 class is named")


def probabilities(scores: NDArray[np.generic]) -> NDArray[np.float64]:
    """Softmax over classes, unless every row already is a distribution (not negative, adding up to 1).

    Args:
        scores: [N, K] or [N, K, 1, ...], any number type.

    Returns:
        float64 [N, K], rows adding up to 1.

    Raises:
        DataError: when there are no classes or a score is not a number.
    """
    rows = np.asarray(scores, dtype=np.float64)
    rows = rows.reshape(len(rows), -1) if rows.ndim > 1 and rows.size else rows
    if rows.ndim != 2 or rows.shape[1] == 0 or np.isnan(rows).any():
        what = "hold NaN" if np.isnan(rows).any() else f"have shape {list(np.shape(scores))}, not [N, classes]"
        raise DataError(f"the scores {what}", hint="is this a classification network?")
    if np.asarray(scores).dtype in (np.uint8, np.int8):
        rows = _dequantized(rows, np.iinfo(np.asarray(scores).dtype).min)
    sums = rows.sum(axis=1, keepdims=True)
    if (rows >= 0).all() and (np.abs(sums - 1) <= _SUM_TOLERANCE).all():
        normed: NDArray[np.float64] = np.divide(rows, sums)
        return normed
    highest = np.minimum(rows.max(axis=1, keepdims=True), np.finfo(np.float64).max)
    powers = np.exp(np.minimum(rows, highest) - highest)
    shares: NDArray[np.float64] = np.divide(powers, powers.sum(axis=1, keepdims=True))
    return shares


def _dequantized(rows: NDArray[np.float64], lowest: int) -> NDArray[np.float64]:
    """Undo the usual 8-bit form of a softmax, in steps of 1/256 from the lowest number on; other scores stay."""
    shares: NDArray[np.float64] = (rows - lowest) / 256
    softmax = (np.abs(shares.sum(axis=1) - 1) <= _EIGHT_BIT_TOLERANCE).all()
    return shares / shares.sum(axis=1, keepdims=True) if softmax else rows


def top_k(scores: NDArray[np.generic], labels: Sequence[str], k: int = 5) -> tuple[tuple[tuple[str, float], ...], ...]:
    """Name the k most likely classes of each row with their probability, most likely first.

    Equal scores keep the order of the classes; a class without a label is called "class 3".

    Raises:
        DataError: as `probabilities`.
    """
    shares = probabilities(scores)
    order = np.argsort(-shares, axis=1, kind="stable")[:, :k]
    return tuple(
        tuple((name_of(int(index), labels), float(row[index])) for index in best)
        for row, best in zip(shares, order, strict=True)
    )


def name_of(index: int, labels: Sequence[str]) -> str:
    """The label of a class, or "class 3" when it has none."""
    return labels[index] if index < len(labels) and labels[index] else f"class {index}"
