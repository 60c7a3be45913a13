"""Add a line to a file that others add to at the same time: each line is there whole or not at all.

>>> import tempfile, pathlib
>>> path = pathlib.Path(tempfile.mkdtemp()) / "rows.jsonl"
>>> append_line(path, b'{"id": 1}'), append_line(path, b'{"id": 1}', unless=b'"id": 1')
(True, False)
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from chipwise.codec.files import storage_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where appending in one write has to do
    fcntl = None  # type: ignore[assignment]


def append_line(path: Path, line: bytes, *, unless: bytes = b"") -> bool:
    """Append one line and flush it to disk.

    Written at once, at the end, under a lock; a line that a full disk cut short is taken back, and what a crash left
    without an end gets one.

    Args:
        path: made when absent, with its folder.
        line: without a newline.
        unless: append nothing where the file holds these bytes already.

    Returns:
        whether it was appended.

    Raises:
        StorageError: when it cannot be written; the file is as it was.
    """
    assert b"\n" not in line, "one line"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path) as file:
            known = _content(file)
            if unless and unless in known:
                return False
            torn = known and not known.endswith(b"\n")
            _write(file, (b"\n" if torn else b"") + line + b"\n", len(known))
    except OSError as error:
        raise storage_error(path, error) from error
    return True


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """A file descriptor to read and append with, for this process alone until the end."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)  # gives the lock back


def _content(file: int) -> bytes:
    with os.fdopen(os.dup(file), "rb") as stream:
        stream.seek(0)
        return stream.read()


def _write(file: int, data: bytes, before: int) -> None:
    """Write in one call; what is cut short is taken back."""
    written = 0
    try:
        written = os.write(file, data)
        if written == len(data):
            os.fsync(file)
            return
        os.write(file, data[written:])  # says why: a full disk takes a part first
    except OSError:
        os.ftruncate(file, before)
        raise
    os.fsync(file)
