"""Segmentation: a class for each pixel, as a map and as shares of the picture.

>>> class_maps(np.array([[[[0.1, 0.9]], [[0.8, 0.2]]]])).tolist()
[[[1, 0]]]
>>> areas(np.array([[1, 0, 0, 0]]), ("none", "cat"))
(('none', 0.75), ('cat', 0.25))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise.core.errors import DataError
from chipwise.tasks.classify import name_of
from chipwise.tasks.placement import OUTSIDE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_MOST_CLASSES = 65536


def class_maps(output: NDArray[Any], layout: str = "NCHW") -> NDArray[np.int32]:
    """The class of every pixel, for each item of a batch.

    Args:
        output: scores [N, K, h, w] ("NCHW") or [N, h, w, K] ("NHWC"), classes as integers [N, h, w] (with or without
            an axis of one), or one score [N, 1, h, w] for a single class against the background: above 0.5 where all
            lie between 0 and 1, above 0 otherwise.
        layout: which of them the network's pictures have.

    Returns:
        int32 [N, h, w].

    Raises:
        DataError: when it is none of these, or holds NaN.
    """
    if output.ndim not in (3, 4) or not output.size or output.dtype.kind not in "fiub":
        raise DataError(f"{output.dtype} {list(output.shape)} is no map of classes", hint="give another --task")
    if output.dtype.kind == "f" and np.isnan(output).any():
        raise DataError("the map of classes holds NaN", hint="was the picture prepared as the network wants it?")
    if output.ndim == 3:
        return _checked(output)
    axis = 3 if layout == "NHWC" else 1
    if output.shape[axis] > 1:
        classes: NDArray[np.int32] = output.argmax(axis=axis).astype(np.int32)
        return classes
    single = output.take(0, axis=axis)
    return _checked(single) if single.dtype.kind in "iub" else _above(single)


def areas(classes: NDArray[np.integer], labels: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """Share of the picture (0..1) that each class covers, largest first; what was not seen counts for none."""
    kinds, counts = np.unique(classes[classes != OUTSIDE], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return tuple((name_of(int(kinds[index]), labels), float(counts[index] / classes.size)) for index in order)


def _checked(classes: NDArray[Any]) -> NDArray[np.int32]:
    if classes.min() < 0 or classes.max() >= _MOST_CLASSES or (classes.dtype.kind == "f" and (classes % 1).any()):
        raise DataError("the map holds what are no classes: they are whole numbers from 0")
    whole: NDArray[np.int32] = classes.astype(np.int32)
    return whole


def _above(scores: NDArray[Any]) -> NDArray[np.int32]:
    share = bool((scores >= 0).all() and (scores <= 1).all())
    marked: NDArray[np.int32] = (scores > (0.5 if share else 0.0)).astype(np.int32)
    return marked
