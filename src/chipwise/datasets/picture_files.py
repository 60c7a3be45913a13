"""Pictures that stay in their files: what looks like an array of them, and is read where it is asked for.

>>> import pathlib, tempfile
>>> from chipwise.tasks.pictures import png_bytes
>>> root = pathlib.Path(tempfile.mkdtemp())
>>> _ = (root / "1.png").write_bytes(png_bytes(np.zeros((9, 9, 1), np.uint8)))
>>> files = PictureFiles(root, np.array([b"1.png"] * 3), 9, 9, 3)
>>> files[1:].shape, np.asarray(files[1:]).shape
((2, 9, 9, 3), (2, 9, 9, 3))
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from chipwise.core.errors import DataError
from chipwise.tasks.pictures import open_picture, resize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_BLOCK = 256  # pictures read at a time by threads: bounds what is in memory
T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class PictureFiles:
    """An array uint8 [N, height, width, channels] of which only the files' names are in memory.

    Rows are chosen as in NumPy's arrays, which reads nothing; `numpy.asarray` reads all of them. The same file gives
    the same pixels each time.

    Attributes:
        root: the folder.
        names: bytes [N], of the files in it, as `os.fsencode` gives them: one array, which processes can share.
        height, width, channels: of every picture, once it is stretched; grey spreads over three channels.
    """

    root: Path
    names: NDArray[np.bytes_]
    height: int
    width: int
    channels: int

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> PictureFiles:
        return replace(self, names=self.names[rows])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read all of them.

        Raises:
            DataError: naming a file that cannot be read.
        """
        result = np.empty(self.shape, np.uint8)
        for index in range(len(self)):
            self.read_into(result, index)
        return result if dtype is None else result.astype(dtype, copy=False)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the array."""
        return len(self.names), self.height, self.width, self.channels

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """Of the array."""
        return np.dtype(np.uint8)

    @property
    def ndim(self) -> int:
        """Of the array."""
        return 4

    @property
    def nbytes(self) -> int:
        """What is in memory: the names."""
        return int(self.names.nbytes)

    @property
    def read_bytes(self) -> int:
        """What the pictures would take in memory."""
        return len(self) * self.height * self.width * self.channels

    def path(self, index: int) -> Path:
        """Where a picture is."""
        return self.root / os.fsdecode(bytes(self.names[index]))

    def read_into(self, result: NDArray[np.uint8], index: int) -> None:
        """Read one picture into its row of an array of this shape.

        Raises:
            DataError: naming the file, where it cannot be read, or has other channels than when it was checked.
        """
        picture = asked(open_picture, self.path(index))
        if picture.shape[2] not in (1, self.channels):
            told = f"{self.path(index)} has {picture.shape[2]} channels, and had {self.channels} when it was checked"
            raise DataError(told, hint="begin anew: the data have changed")
        result[index] = resize(picture, self.height, self.width)

    def blocks(self) -> Iterator[NDArray[np.uint8]]:
        """Read all of them, some at a time, by several threads: Pillow decodes without holding Python's lock.

        Raises:
            DataError: naming the first that cannot be read.
        """
        with ThreadPoolExecutor() as pool:
            for start in range(0, len(self), _BLOCK):
                part = self[start : start + _BLOCK]
                block = np.empty(part.shape, np.uint8)
                for _ in pool.map(lambda index, part=part, block=block: part.read_into(block, index), range(len(part))):
                    pass
                yield block


def each_of(function: Callable[[T], U], items: Sequence[T]) -> Iterator[U]:
    """What a function that reads a picture gives for each item, in their order, called by several threads."""
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(items), _BLOCK):
            yield from pool.map(function, items[start : start + _BLOCK])


def asked(read: Callable[[Path], T], path: Path) -> T:
    """Read something of a picture; where that fails, say what can be done about it.

    Raises:
        DataError: naming it.
    """
    try:
        return read(path)
    except DataError as error:
        raise DataError(error.message, hint=f"{error.hint}; train --skip-bad leaves such files out") from error
