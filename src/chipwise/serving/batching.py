"""Which batch sizes keep a latency bound, and requests joined into one call and split again. Pure functions.

A request that arrives just after a call began waits for it, and then takes a call of its own: so a batch whose call
takes half of the bound at most keeps it, and a worker that is free never waits for more requests to come.

>>> largest(((1, 0.001), (8, 0.002), (64, 0.02)), 0.01)
8
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Arrays = Sequence[NDArray[Any]]

_HARDLY_FEWER = 0.9  # a call costs more than its time in the runtime
SIZES = (1, 2, 4, 8, 16, 32, 64)  # that are measured, as far as the bound allows


def largest(batches: Sequence[tuple[int, float]], max_latency_s: float | None) -> int:
    """The batch that answers the most items a second among those whose call takes half of the bound at most.

    Args:
        batches: (items, seconds a call), as measured.
        max_latency_s: the bound; None for no batches.

    Returns:
        items; 1 where none keeps the bound, or nothing was measured.
    """
    if max_latency_s is None:
        return 1
    kept = [(items / seconds, items) for items, seconds in batches if seconds <= max_latency_s / 2]
    return max(kept, default=(0.0, 1))[1]


def call_items(waiting: int, batches: Sequence[tuple[int, float]]) -> int:
    """Items of the next call: a size that was measured, for which the runtime is prepared.

    Args:
        waiting: items that could be in it.
        batches: (items, seconds a call), as measured; the smallest of one item.

    Returns:
        the largest size that answers hardly fewer items a second than the best; what is missing to it are zeros.

    >>> call_items(31, ((1, 0.001), (16, 0.004), (32, 0.006))), call_items(20, ((1, 0.001), (16, 0.004), (32, 0.006)))
    (32, 16)
    """
    rates = {items: min(waiting, items) / seconds for items, seconds in batches}
    best = max(rates.values(), default=0.0)
    return max((items for items, rate in rates.items() if rate >= _HARDLY_FEWER * best), default=waiting)


def key_of(arrays: Arrays) -> tuple[tuple[int, ...], ...] | None:
    """What requests must have in common to be joined: all shapes without the batch; None where it cannot be joined."""
    if not arrays or any(not array.ndim or len(array) != len(arrays[0]) for array in arrays):
        return None
    return tuple(array.shape[1:] for array in arrays)


def joined(calls: Sequence[Arrays], items: int = 0) -> tuple[NDArray[Any], ...]:
    """The tensors of several requests as one call's, filled up with zeros to so many items."""
    missing = items - sum(len(arrays[0]) for arrays in calls) if items else 0
    if len(calls) == 1 and missing <= 0:
        return tuple(calls[0])
    columns = [list(arrays) for arrays in zip(*calls, strict=True)]
    if missing > 0:
        for column in columns:
            column.append(np.zeros((missing, *column[0].shape[1:]), column[0].dtype))
    return tuple(map(np.concatenate, columns))


def split(outputs: Arrays, sizes: Sequence[int]) -> list[tuple[NDArray[Any], ...]]:
    """One call's outputs as those of each request, in the order that they were joined."""
    if len(sizes) == 1:
        return [tuple(outputs)]
    ends = np.cumsum(sizes)
    return [tuple(out[end - size : end] for out in outputs) for end, size in zip(ends, sizes, strict=True)]
