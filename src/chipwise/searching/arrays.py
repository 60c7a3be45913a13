"""The data of a search as files that all its processes map into memory: read once, held once.

No file has the labels of the test split: no trial can see them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise.codec.files import atomic_path
from chipwise.datasets.nested import nested

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from chipwise.datasets.dataset import Splits
    from chipwise.searching.job import Part


def written(folder: Path, splits: Splits, shares: Sequence[float], seed: int) -> None:
    """Write the arrays, and for each share the rows of the training split that it has.

    Raises:
        StorageError: they cannot be written.
    """
    for name, part in (("train", splits.train), ("validation", splits.validation), ("test", splits.test)):
        _save(folder / f"{name}-inputs.npy", part.arrays)
        if name != "test":
            _save(folder / f"{name}-labels.npy", part.labels)
    for share, rows in zip(shares, nested(splits.train, shares, seed), strict=True):
        _save(folder / rows_file(share), rows)


def rows_file(share: float) -> str:
    """Name of the file with the rows of a share.

    >>> rows_file(0.25)
    'rows-0.25.npy'
    """
    return f"rows-{share:.9g}.npy"


def learned_from(folder: Path, rows: str) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Samples and labels of some rows of the training split; of all of it and validation where `rows` is empty."""
    inputs, labels = _map(folder / "train-inputs.npy"), _map(folder / "train-labels.npy")
    if rows:
        chosen = np.load(folder / rows)
        return (inputs, labels) if len(chosen) == len(labels) else (inputs[chosen], labels[chosen])
    both = (np.concatenate([each, _map(folder / f"validation-{name}.npy")])
            for name, each in (("inputs", inputs), ("labels", labels)))  # fmt: skip
    return next(both), next(both)


def asked(folder: Path, part: Part) -> NDArray[Any]:
    """Samples that are predicted."""
    return _map(folder / f"{part}-inputs.npy")


def labels_of(folder: Path) -> NDArray[np.int64]:
    """Labels of the validation split."""
    return _map(folder / "validation-labels.npy")


def _save(path: Path, array: NDArray[Any]) -> None:
    with atomic_path(path) as part, part.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def _map(path: Path) -> NDArray[Any]:
    mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped
