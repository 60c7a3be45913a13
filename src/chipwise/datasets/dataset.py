"""A labelled data set, in memory or with its pictures in their files, and its seeded, stratified split.

>>> import numpy as np
>>> data = make("toy", np.zeros((10, 4), np.float32), np.arange(10) % 2, ("no", "yes"))
>>> [len(part) for part in (data.split().train, data.split().validation, data.split().test)]
[6, 2, 2]
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from chipwise.core.errors import DataError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from chipwise.datasets.picture_files import PictureFiles

MAX_CLASSES = 1_000_000  # a label beyond this is a mistake in the file, not a class


@dataclass(frozen=True, slots=True)
class Splits:
    """Three parts of one data set that share no sample."""

    train: Dataset
    validation: Dataset
    test: Dataset


@dataclass(frozen=True, slots=True)
class Dataset:
    """Samples with one class each. Build it with `make`, which checks it.

    Attributes:
        name: for tables, as the user typed it.
        inputs: uint8 pictures [N, H, W, 1 or 3], which may be in their files, or float32 arrays [N, ...].
        labels: int64 [N], each an index into `class_names`.
        class_names: in the order of the labels.
        digest: sha256 over inputs, labels and names; hex.
        test_count: the last so many rows are the official test set (MNIST's t10k); 0 when there is none.
        validation_count: so many rows before the test set are the official validation set; 0 when there is none.
        skipped: files that could not be read and were left out, because somebody asked for that.
    """

    name: str
    inputs: NDArray[np.uint8] | NDArray[np.float32] | PictureFiles
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    digest: str
    test_count: int = 0
    validation_count: int = 0
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def pictures(self) -> bool:
        """True when `inputs` are uint8 pictures, which go through the network's preprocessing."""
        return self.inputs.dtype == np.uint8

    @property
    def lazy(self) -> bool:
        """True when pictures stay in their files."""
        return not isinstance(self.inputs, np.ndarray)

    @property
    def arrays(self) -> NDArray[np.uint8] | NDArray[np.float32]:
        """`inputs` in memory: read now, where they are in files."""
        return self.inputs if isinstance(self.inputs, np.ndarray) else np.asarray(self.inputs, np.uint8)

    @property
    def numbered(self) -> bool:
        """True when the classes have no names but "0", "1", ..., so that they may be anybody's."""
        return self.class_names == tuple(str(number) for number in range(self.classes))

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def in_memory(self) -> Dataset:
        """The same, its pictures read where they are in files."""
        return replace(self, inputs=self.arrays)

    def take(self, rows: NDArray[np.int64]) -> Dataset:
        """The samples at these row numbers, as a data set with no official parts; files are not read for that."""
        digest = hashlib.sha256(self.digest.encode() + np.ascontiguousarray(rows, "<i8").tobytes()).hexdigest()
        picked = replace(self, inputs=self.inputs[rows], labels=self.labels[rows], digest=digest)
        return replace(picked, test_count=0, validation_count=0)

    def split(self, seed: int = 0, validation: float | None = None, test: float = 0.2) -> Splits:
        """Divide the samples, class by class, so that every part has about the same share of each class.

        The same seed gives the same parts on every machine: samples are ordered by raw PCG64 output, whose stream
        NumPy guarantees. A class of three or more samples is in all three parts; of two, in train and test; of one,
        in train. Rows keep their order.

        Args:
            seed: of the division, at least 0.
            validation: share of the samples to choose models on; 0.2 by default, or 0.1 of the training rows where
                there is an official test set; ignored where there is an official validation set.
            test: share held out; ignored where there is an official test set, which is then the test part.

        Raises:
            InputError: when the shares are negative or leave nothing to train on, or the seed is negative.
        """
        official = self.test_count > 0
        validation = (0.1 if official else 0.2) if validation is None else validation
        test = 0.0 if official else test
        validation = 0.0 if self.validation_count else validation
        if seed < 0 or min(validation, test) < 0 or not validation + test < 1:
            received = f"seed={seed}, validation={validation}, test={test}"
            raise InputError(f"cannot split with {received}", hint="shares from 0, together below 1; seed from 0")
        tested = len(self) - self.test_count
        rest = tested - self.validation_count
        part = _assign(self.labels[:rest], seed, (test, validation))
        rows = [np.flatnonzero(part == number) for number in range(3)]
        if official:
            rows[1] = np.arange(tested, len(self))
        if self.validation_count:
            rows[2] = np.arange(rest, tested)
        return Splits(train=self.take(rows[0]), test=self.take(rows[1]), validation=self.take(rows[2]))


def make(
    name: str,
    inputs: NDArray[np.generic],
    labels: NDArray[np.generic],
    class_names: Sequence[str] | None = None,
    test_count: int = 0,
    *,
    validation_count: int = 0,
) -> Dataset:
    """Check the parts of a data set and put them together.

    Args:
        name: for tables.
        inputs: uint8 pictures [N, H, W] or [N, H, W, 1|3]; any other number type and shape [N, ...] becomes float32.
        labels: integers [N].
        class_names: None to name the classes "0", "1", ... up to the highest label.
        test_count: how many of the last rows are the official test set.
        validation_count: how many of the rows before these are the official validation set.

    Raises:
        DataError: when there is no sample, the counts differ, a picture has no pixels, a label is out of range, or
            an array is not finite.
    """
    if inputs.ndim < 2 or len(inputs) == 0 or inputs.size == 0:
        raise DataError(f"{name}: inputs of shape {list(inputs.shape)}", hint="needs samples of at least one value")
    if labels.shape != inputs.shape[:1] or labels.dtype.kind not in "iub":
        received = f"{labels.dtype} labels of shape {list(labels.shape)} for {len(inputs)} samples"
        raise DataError(f"{name}: {received}", hint="needs one integer for each sample")
    checked = _checked_inputs(name, inputs)
    highest = MAX_CLASSES if class_names is None else len(class_names)
    numbers = labels.astype(np.int64)
    wrong = np.flatnonzero((numbers < 0) | (numbers >= highest))
    if wrong.size:
        message = f"{name}: label {labels[wrong[0]]} of sample {wrong[0]} is out of range"
        raise DataError(message, hint=f"labels are 0 to {highest - 1}")
    named = tuple(class_names or (str(number) for number in range(int(numbers.max()) + 1)))
    digest = _digest((checked,), checked, numbers, named)
    return Dataset(name, checked, numbers, named, digest, test_count, validation_count)


def in_files(
    name: str,
    files: PictureFiles,
    blocks: Iterable[NDArray[np.uint8]],
    labels: NDArray[np.int64],
    class_names: tuple[str, ...],
    *,
    test_count: int = 0,
) -> Dataset:
    """A data set of pictures that stay in their files; its digest is the one that it has in memory.

    Args:
        name: for tables.
        files: the pictures.
        blocks: all of them once, in order, some at a time.
        labels: [N], each an index into `class_names`.
        class_names: in the order of the labels.
        test_count: how many of the last rows are the official test set.

    Raises:
        DataError: when one of `blocks` cannot be read.
    """
    return Dataset(name, files, labels, class_names, _digest(blocks, files, labels, class_names), test_count)


def _checked_inputs(name: str, inputs: NDArray[np.generic]) -> NDArray[np.uint8] | NDArray[np.float32]:
    if inputs.dtype == np.uint8 and inputs.ndim in (3, 4):
        stack = inputs[..., None] if inputs.ndim == 3 else inputs
        if stack.shape[3] not in (1, 3):
            raise DataError(f"{name}: pictures of shape {list(stack.shape[1:])}", hint="needs 1 or 3 channels, last")
        return np.ascontiguousarray(stack, dtype=np.uint8)
    if inputs.dtype.kind not in "iufb":
        raise DataError(f"{name}: inputs of type {inputs.dtype}", hint="needs numbers")
    with np.errstate(over="ignore"):  # what is too large for float32 is reported below
        floats = np.ascontiguousarray(inputs, dtype=np.float32)
    finite = np.isfinite(floats.reshape(len(floats), -1)).all(axis=1)
    if not finite.all():
        raise DataError(f"{name}: sample {int(np.argmin(finite))} holds a value that is not finite")
    return floats


def _digest(
    blocks: Iterable[NDArray[np.generic]],
    inputs: NDArray[np.generic] | PictureFiles,
    labels: NDArray[np.int64],
    class_names: tuple[str, ...],
) -> str:
    total = hashlib.sha256(repr((inputs.dtype.str, inputs.shape, class_names)).encode())
    for block in blocks:
        total.update(block.data)
    total.update(labels.data)
    return total.hexdigest()


def _assign(labels: NDArray[np.int64], seed: int, shares: tuple[float, ...]) -> NDArray[np.int64]:
    """Give each sample a part: 0 for what is left (train), 1, 2, ... for the shares in order."""
    present, sizes = np.unique(labels, return_counts=True)
    keys = np.random.PCG64(seed).random_raw(len(labels))
    shuffled = np.lexsort((keys, labels))
    starts = np.cumsum(sizes) - sizes
    part = np.zeros(len(labels), np.int64)
    used = np.zeros(len(present), np.int64)
    for number, share in enumerate(shares, start=1):
        left = sizes - used - 1  # one stays for training, and one for each part to come where there are enough
        later = sum(other > 0 for other in shares[number:])
        counts = _quota(sizes, share, np.maximum(left - later, np.clip(left, 0, 1)))
        for start, count in zip(starts + used, counts, strict=True):
            part[shuffled[start : start + count]] = number
        used += counts
    return part


def _quota(sizes: NDArray[np.int64], share: float, room: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many samples of each class make up `share` of all: at least one of each, rounded by largest remainder.

    The total is `share` of all samples rounded up, or more where one of each class already is.
    """
    if share == 0:
        return np.zeros_like(sizes)
    exact = sizes * share
    counts: NDArray[np.int64] = np.maximum(np.floor(exact + 1e-9).astype(np.int64), 1)
    counts = np.minimum(counts, room)
    missing = math.ceil(float(sizes.sum()) * share - 1e-9) - int(counts.sum())
    for index in np.argsort(counts - exact, kind="stable"):
        if missing > 0 and counts[index] < room[index]:
            counts[index] += 1
            missing -= 1
    return counts
