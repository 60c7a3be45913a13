"""What a search has already found out, kept on disk so that one that was killed goes on where it stopped.

Quantized graphs and accuracies take long and do not depend on the noise of the machine: they are kept, in the cache,
under a key of everything they depend on. Timings are never kept: they are only comparable within one run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from chipwise.codec.cache import cache_folder
from chipwise.codec.files import atomic_write
from chipwise.codec.hashes import sha256_bytes
from chipwise.codec.records import decode, encode
from chipwise.core.errors import InputError

T = TypeVar("T")


class Workspace:
    """A folder of results under one key.

    Args:
        key: everything the results depend on, as one string.

    Attributes:
        reused: how many results an earlier search had left.
    """

    def __init__(self, key: str) -> None:
        self.folder: Path = cache_folder("compile") / sha256_bytes(key.encode())[:32]
        self.reused = 0
        self._known: set[str] = set()

    def read_bytes(self, name: str) -> bytes | None:
        """Return a stored result, or None when it is not there (or was damaged: its hash must fit)."""
        path = self.folder / name
        if not path.is_file():
            return None
        digest, _, data = path.read_bytes().partition(b"\n")
        if digest != sha256_bytes(data).encode():
            return None
        self.reused += name not in self._known
        self._known.add(name)
        return data

    def write_bytes(self, name: str, data: bytes) -> None:
        """Store a result, whole or not at all.

        Raises:
            StorageError: when the cache cannot be written.
        """
        self._known.add(name)
        atomic_write(self.folder / name, sha256_bytes(data).encode() + b"\n" + data)

    def read(self, name: str, kind: type[T]) -> T | None:
        """Return a stored record of type `kind`, or None."""
        data = self.read_bytes(name)
        try:
            return None if data is None else decode(data, kind, name)
        except InputError:
            return None

    def write(self, name: str, record: object) -> None:
        """Store a record."""
        self.write_bytes(name, encode(record))
