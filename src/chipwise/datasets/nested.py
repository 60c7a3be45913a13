"""Parts of a data set of which each holds the smaller ones, with about the same share of each class.

>>> import numpy as np
>>> from chipwise.datasets.dataset import make
>>> data = make("toy", np.zeros((100, 4), np.float32), np.arange(100) % 2)
>>> small, large = nested(data, (0.1, 0.5), seed=0)
>>> len(small), len(large), set(small) <= set(large)
(10, 50, True)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from chipwise.datasets.dataset import Dataset


def nested(dataset: Dataset, shares: Sequence[float], seed: int) -> list[NDArray[np.int64]]:
    """Choose samples.

    Args:
        dataset: whose samples are chosen from.
        shares: of its samples, each above 0 and at most 1.
        seed: of the choice, which is the same on every machine.

    Returns:
        row numbers of each part, ascending; at least one.
    """
    _, numbers, sizes = np.unique(dataset.labels, return_inverse=True, return_counts=True)
    keys = np.random.PCG64(seed).random_raw(len(dataset))
    shuffled = np.lexsort((keys, numbers))
    rank = np.empty(len(dataset), np.int64)
    rank[shuffled] = np.arange(len(dataset)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    # What stands as far along in its class comes at the same time: every beginning has the shares of the whole.
    order = np.lexsort((keys, (rank + 0.5) / sizes[numbers]))
    return [np.sort(order[: max(1, round(share * len(dataset)))]) for share in shares]
