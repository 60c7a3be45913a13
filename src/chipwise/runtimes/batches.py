"""Samples in batches as an engine takes them: a free batch is cut to a size, a fixed one filled up.

>>> from chipwise.core.network import TensorSpec
>>> [(fed.tolist(), count) for fed, count in batches(TensorSpec("x", (2,)), np.arange(3), 100)]
[([0, 1], 2), ([2, 2], 1)]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from chipwise.core.network import TensorSpec


def batches(spec: TensorSpec, inputs: NDArray[Any], size: int) -> Iterator[tuple[NDArray[Any], int]]:
    """Cut samples into batches, C-contiguous.

    Args:
        spec: of the input, with its batch dimension.
        inputs: [N, ...].
        size: samples at once, where the batch is free.

    Yields:
        a batch, and how many of its rows are samples: behind them a fixed batch repeats the last one.
    """
    step = size if spec.dynamic_batch else int(spec.shape[0])
    for start in range(0, len(inputs), step):
        rows = inputs[start : start + step]
        lacking = 0 if spec.dynamic_batch else step - len(rows)
        yield np.ascontiguousarray(np.concatenate([rows, np.repeat(rows[-1:], lacking, axis=0)])), len(rows)
