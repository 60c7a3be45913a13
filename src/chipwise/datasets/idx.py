"""IDX files, the format of MNIST (http://yann.lecun.com/exdb/mnist), plain or gzip-compressed.

The header says how many bytes follow; never more than those and one are read, and none before the header is known to
be possible, so that a lying header or a compression bomb costs nothing.

>>> import pathlib, tempfile
>>> path = pathlib.Path(tempfile.mkdtemp()) / "labels-idx1-ubyte"
>>> _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
>>> read_idx(path, dimensions=1).tolist()
[7, 2, 1]
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np

from chipwise.core.errors import DataError
from chipwise.datasets.dataset import Dataset, make
from chipwise.datasets.memory import require_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from chipwise.core.events import Progress

_UBYTE = 0x08
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_LIMIT = 1032  # deflate cannot expand further than this (zlib's technical notes)


def load(argument: str, progress: Progress) -> Dataset:  # noqa: ARG001 (every source has this signature)
    """Read the IDX files of a folder: MNIST's four, or any one pair of images and labels.

    File names are MNIST's (`train-images-idx3-ubyte`, `t10k-labels-idx1-ubyte`, with or without .gz and a prefix such
    as `emnist-letters-`). With a train pair and a t10k or test pair the latter is the official test set. Classes are
    named "0", "1", ...

    Raises:
        DataError: when the folder holds no such pair or several, or a file is damaged.
        MachineError: when the data does not fit into memory.
    """
    return load_pairs(f"idx:{argument}", find_pairs(Path(argument)))


def load_pairs(name: str, pairs: Sequence[tuple[Path, Path]], class_names: Sequence[str] | None = None) -> Dataset:
    """Read one pair (images, labels), or two of which the second is the official test set.

    Raises:
        DataError: when a file is damaged or the files do not fit together.
    """
    parts = [_read_pair(*pair) for pair in pairs]
    shapes = {images.shape[1:] for images, _ in parts}
    if len(shapes) > 1:
        raise DataError(f"{name}: train and test images differ in size: {sorted(shapes)}")
    images, labels = (np.concatenate(column) if len(parts) > 1 else column[0] for column in zip(*parts, strict=True))
    return make(name, images, labels, class_names, test_count=len(parts[1][1]) if len(parts) > 1 else 0)


def find_pairs(folder: Path) -> list[tuple[Path, Path]]:
    """Find the image files of a folder and the label file of each; train first.

    Raises:
        DataError: when there is none, a label file is missing, or it is not clear which belong together.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder", hint="idx: takes the folder that holds the MNIST files")
    found = {path.name.removesuffix(".gz"): path for path in sorted(folder.iterdir(), reverse=True) if path.is_file()}
    names = sorted(name for name in found if "images" in name and "idx3" in name)
    if not names:
        raise DataError(f"{folder} holds no IDX images", hint="expected a name like train-images-idx3-ubyte[.gz]")
    for name in names:
        if _labels_of(name) not in found:
            raise DataError(f"{found[name]} has no labels beside it", hint=f"expected {_labels_of(name)}[.gz]")
    pairs = [(found[name], found[_labels_of(name)]) for name in names]
    if len(pairs) == 1:
        return pairs
    train = [pair for pair in pairs if "train" in pair[0].name]
    test = [pair for pair in pairs if "t10k" in pair[0].name or "test" in pair[0].name]
    if len(train) == len(test) == 1 and len(pairs) == 2:
        return train + test
    raise DataError(
        f"{folder} holds several data sets: {', '.join(names)}", hint="put one train and one t10k pair there"
    )


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes.

    Args:
        path: the file; whether it is gzip-compressed is seen from its first bytes.
        dimensions: 3 for images [N, H, W], 1 for labels [N].

    Raises:
        DataError: when it is missing, has another magic number, is shorter or longer than its header says, says zero
            size, or is a damaged gzip file.
        MachineError: when the header asks for more memory than there is.
    """
    try:
        stored = path.stat().st_size
        with path.open("rb") as plain:
            packed = plain.read(2) == _GZIP_MAGIC
        with gzip.open(path) if packed else path.open("rb") as file:
            limit = stored * _GZIP_LIMIT if packed else stored
            return _read(cast("BinaryIO", file), path, dimensions, limit)
    except FileNotFoundError as error:
        raise DataError(f"no such file: {path}") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}", hint="it is damaged or was cut short") from error


def _read(file: BinaryIO, path: Path, dimensions: int, limit: int) -> NDArray[np.uint8]:
    header = file.read(4 + 4 * dimensions)
    expected = bytes([0, 0, _UBYTE, dimensions])
    if header[:4] != expected:
        received = header[:4].hex() or "nothing"
        raise DataError(f"{path} starts with {received}, not {expected.hex()}", hint="it is no IDX file of this kind")
    if len(header) < 4 + 4 * dimensions:
        raise DataError(f"{path} is short: its header has {len(header)} of {4 + 4 * dimensions} bytes")
    shape = struct.unpack(f">{dimensions}I", header[4:])
    size = math.prod(shape)
    if size == 0:
        raise DataError(f"{path} says {list(shape)}: zero size", hint="it needs at least one sample of one pixel")
    if size > limit:
        raise DataError(f"{path} is short: it says {list(shape)}, which its size cannot hold", hint="it was cut short")
    require_memory(size, str(path))
    body = file.read(size + 1)
    if len(body) != size:
        received = f"{len(body):,}" if len(body) < size else "more"
        raise DataError(f"{path} says {list(shape)}: {size:,} bytes, but has {received}", hint="it is damaged")
    return np.frombuffer(body, np.uint8).reshape(shape)


def _read_pair(images_file: Path, labels_file: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    images, labels = read_idx(images_file, 3), read_idx(labels_file, 1)
    if len(images) != len(labels):
        counts = f"{len(images):,} images but {len(labels):,} labels"
        raise DataError(f"{images_file.name} and {labels_file.name} do not belong together: {counts}")
    return images, labels


def _labels_of(name: str) -> str:
    return name.replace("images", "labels").replace("idx3", "idx1")
