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


def key_of(arrays: Arrays) -> tuple[tuple[int, ...], ...] | None:
    """What requests must have in common to be joined: all shapes without the batch; None where it cannot be joined."""
    if not arrays or any(not array.ndim or len(array) != len(arrays[0]) for array in arrays):
        return None
    return tuple(array.shape[1:] for array in arrays)


def joined(calls: Sequence[Arrays]) -> tuple[NDArray[Any], ...]:
    """The tensors of several requests as one call's."""
    if len(calls) == 1:
        return tuple(calls[0])
    return tuple(np.concatenate(arrays) for arrays in zip(*calls, strict=True))


def split(outputs: Arrays, sizes: Sequence[int]) -> list[tuple[NDArray[Any], ...]]:
    """One call's outputs as those of each request, in the order that they were joined."""
    if len(sizes) == 1:
        return [tuple(outputs)]
    ends = np.cumsum(sizes)
    return [tuple(out[end - size : end] for out in outputs) for end, size in zip(ends, sizes, strict=True)]
