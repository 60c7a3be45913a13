"""NumPy's .npy format, read without trusting its header: nothing is allocated before the sizes are known to agree.

>>> import io
>>> file = io.BytesIO()
>>> np.save(file, np.arange(3, dtype=np.uint8)); size = file.tell(); _ = file.seek(0)
>>> read_npy(file, size, "a.npy").tolist()
[0, 1, 2]
"""

from __future__ import annotations

import math
import tokenize
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from chipwise.core.errors import DataError

# A header is Python text, which NumPy parses; one that is nested deep enough exhausts the parser's memory.
_BAD_HEADER = (
    ValueError, TypeError, SyntaxError, KeyError, OverflowError, MemoryError, RecursionError, tokenize.TokenError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class NpyHeader:
    """What a header says: shape, element type, and whether the first index runs fastest."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    column_major: bool

    @property
    def size_bytes(self) -> int:
        """Bytes of the body."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(stream: BinaryIO, stored_bytes: int, what: str) -> NpyHeader:
    """Read a header and check it against the bytes that there are; the stream then stands at the body.

    Args:
        stream: at the start of the array.
        stored_bytes: size of header and body together.
        what: what messages call it.

    Raises:
        DataError: when it is damaged, holds Python objects, or promises more or less than there is.
    """
    start = stream.tell()
    try:
        version = npy.read_magic(stream)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
        if read is None:
            raise DataError(f"{what} has format {version}", hint="save plain numbers with numpy.save or numpy.savez")
        shape, column_major, dtype = read(stream)
    except _BAD_HEADER as error:
        raise DataError(f"{what} has a header that cannot be read", hint="the file is damaged, or no array") from error
    header = NpyHeader(shape, dtype, column_major)
    left = stored_bytes - (stream.tell() - start)
    if header.dtype.hasobject:
        raise DataError(f"{what} holds pickled objects, which can run code when read", hint="save plain numbers")
    if header.size_bytes != left or min(header.shape, default=1) < 0:
        said = f"{list(header.shape)} of {header.dtype}, {header.size_bytes:,} bytes"
        raise DataError(f"{what} says {said}, but has {left:,}", hint="the file is damaged")
    return header


def read_body(stream: BinaryIO, header: NpyHeader, what: str) -> NDArray[np.generic]:
    """Read the array that a header announced.

    Raises:
        DataError: when the stream ends early.
    """
    body = stream.read(header.size_bytes)
    if len(body) != header.size_bytes:
        said = f"{len(body):,} of {header.size_bytes:,} bytes"
        raise DataError(f"{what} is short: {said}", hint="the file is damaged")
    return np.frombuffer(body, header.dtype).reshape(header.shape, order="F" if header.column_major else "C")


def read_npy(stream: BinaryIO, stored_bytes: int, what: str) -> NDArray[np.generic]:
    """Read header and body.

    Raises:
        DataError: as `read_header` and `read_body`.
    """
    return read_body(stream, read_header(stream, stored_bytes, what), what)
