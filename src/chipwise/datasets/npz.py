"""NumPy's .npz files, read without pickle and without trusting their headers.

Names of the arrays: `x` and `y`, or `images` and `labels`, or `data` and `target`; with an official test set `x_train`,
`y_train`, `x_test`, `y_test` (as Keras' mnist.npz) or `train_images`, `train_labels`, `test_images`, `test_labels`,
and optionally `x_val`, `y_val` (`val_images`, `val_labels`), which join the training rows. `class_names` (text) is
optional.

uint8 [N, H, W], [N, H, W, 1|3] and [N, 1|3, H, W] are pictures, so is uint8 [N, H * H] from 8 x 8 on; every other
number type is an array that is fed as it is, as float32.

>>> import numpy as np, pathlib, tempfile
>>> from chipwise.core.events import silent
>>> file = pathlib.Path(tempfile.mkdtemp()) / "toy.npz"
>>> np.savez(file, x=np.zeros((4, 8, 8), np.uint8), y=np.array([0, 1, 0, 1]))
>>> load(str(file), silent).inputs.shape
(4, 8, 8, 1)
"""

from __future__ import annotations

import lzma
import math
import struct
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np

from chipwise.codec.npy import read_body, read_header
from chipwise.core.errors import DataError
from chipwise.datasets.dataset import Dataset, make
from chipwise.datasets.memory import require_memory

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chipwise.core.events import Progress

_WHOLE = (("x", "y"), ("images", "labels"), ("data", "target"))
_PARTS = (
    (("x_train", "y_train"), ("x_val", "y_val"), ("x_test", "y_test")),
    (("train_images", "train_labels"), ("val_images", "val_labels"), ("test_images", "test_labels")),
)
_MIN_FLAT_SIDE = 8
_DAMAGE = (
    OSError, EOFError, ValueError, struct.error, zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError,
    RuntimeError,
)  # fmt: skip
_Part = tuple["NDArray[np.generic]", "NDArray[np.generic]"]


def load(argument: str, progress: Progress) -> Dataset:  # noqa: ARG001 (every source has this signature)
    """Read one .npz file.

    Raises:
        DataError: when it is missing, damaged, holds pickled objects, or no arrays by these names.
        MachineError: when an array does not fit into memory.
    """
    path, name = Path(argument), f"npz:{argument}"
    try:
        with zipfile.ZipFile(path) as archive:
            parts, test = _read_parts(archive, path)
            members = {_stem(info): info for info in archive.infolist()}
            names = _class_names(archive, members["class_names"], path) if "class_names" in members else None
    except FileNotFoundError as error:
        raise DataError(f"no such file: {path}") from error
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"{path} cannot be read: {reason}", hint="it is damaged, or no .npz file") from error
    kinds = {f"{'x'.join(map(str, inputs.shape[1:]))} {inputs.dtype}" for inputs, _ in parts}
    if len(kinds) > 1:
        raise DataError(f"{name}: train and test samples differ: {' and '.join(sorted(kinds))}")
    inputs, labels = (np.concatenate(column) if len(parts) > 1 else column[0] for column in zip(*parts, strict=True))
    return make(name, inputs, labels, names, test_count=test)


def _read_parts(archive: zipfile.ZipFile, path: Path) -> tuple[list[_Part], int]:
    """Train, validation and test pairs that are there, in this order, and the number of official test samples."""
    members = {_stem(info): info for info in archive.infolist()}

    def read(pair: tuple[str, str]) -> _Part:
        inputs, labels = (_read_array(archive, members[name], path) for name in pair)
        labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
        if labels.ndim != 1 or labels.shape != inputs.shape[:1]:
            shapes = f"{list(inputs.shape)} and {list(labels.shape)}"
            raise DataError(f"{path}: {pair[0]} and {pair[1]} have shapes {shapes}", hint="needs one label for each")
        return _as_pictures(inputs), labels

    for pair in _WHOLE:
        if members.keys() >= set(pair):
            return [read(pair)], 0
    for train, validation, test in _PARTS:
        if members.keys() >= {*train, *test}:
            middle = [read(validation)] if members.keys() >= set(validation) else []
            parts = [read(train), *middle, read(test)]
            return parts, len(parts[-1][1])
    received = ", ".join(sorted(members)) or "nothing"
    raise DataError(f"{path} holds {received}", hint="name the arrays x and y, or x_train, y_train, x_test, y_test")


def _read_array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> NDArray[np.generic]:
    """Read one array after checking that its header, the zip's directory and the memory agree on its size."""
    what = f"{path}: array {_stem(info)}"
    with archive.open(info) as member:
        file = cast("BinaryIO", member)
        header = read_header(file, info.file_size, what)
        require_memory(header.size_bytes, what)
        return read_body(file, header, what)


def _as_pictures(inputs: NDArray[np.generic]) -> NDArray[np.generic]:
    """Bring uint8 [N, 1|3, H, W] and square [N, H * H] to [N, H, W, C]."""
    if inputs.dtype != np.uint8:
        return inputs
    if inputs.ndim == 4 and inputs.shape[3] not in (1, 3) and inputs.shape[1] in (1, 3):
        return inputs.transpose(0, 2, 3, 1)
    side = math.isqrt(inputs.shape[1]) if inputs.ndim == 2 else 0
    square = side >= _MIN_FLAT_SIDE and side * side == inputs.shape[1]
    return inputs.reshape(-1, side, side, 1) if square else inputs


def _class_names(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> tuple[str, ...]:
    array = _read_array(archive, info, path)
    if array.ndim != 1 or array.dtype.kind != "U" or not array.size:
        raise DataError(f"{path}: class_names is {array.dtype} {list(array.shape)}", hint="give a list of texts")
    return tuple(str(name) for name in array)


def _stem(info: zipfile.ZipInfo) -> str:
    return info.filename.removesuffix(".npy")
