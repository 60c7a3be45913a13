"""Read files up to a limit, and write them so that nothing is ever half written.

>>> import tempfile, pathlib
>>> target = pathlib.Path(tempfile.mkdtemp()) / "note.txt"
>>> atomic_write(target, b"whole"); target.read_bytes()
b'whole'
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from chipwise.core.errors import InputError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator


def read_bounded(
    path: Path, limit_bytes: int, what: str, error: type[InputError] = InputError, *, hint: str = ""
) -> bytes:
    """Read a whole file that may be anything: never more than the limit, whatever its size is said to be.

    Args:
        path: a file, or a pipe.
        limit_bytes: the longest that is read.
        what: it should be, for messages ("labels", "pipeline").
        error: the class that is raised.
        hint: what to do where it is longer.

    Raises:
        InputError: of that class, when it cannot be read, is a folder or a device, or is longer.
    """
    try:
        facts = path.stat()
        reason = _not_to_be_read(facts.st_mode)
        if not reason and facts.st_size <= limit_bytes:
            with path.open("rb") as file:
                data = file.read(facts.st_size + 1)  # to ask for the limit would reserve as much
                # Pipes and what the system makes up have no size, and come in pieces.
                while facts.st_size < len(data) <= limit_bytes:
                    piece = file.read(min(len(data), limit_bytes + 1 - len(data)))
                    if not piece:
                        break
                    data += piece
            if len(data) <= limit_bytes:
                return data
    except (OSError, ValueError) as problem:  # ValueError: a name with a zero in it
        reason = (problem.strerror if isinstance(problem, OSError) else None) or str(problem)
        raise error(f"cannot read {what} {path}: {reason}") from problem
    if reason:
        raise error(f"cannot read {what} {path}: it {reason}")
    raise error(f"cannot read {what} {path}: it has more than {limit_bytes:,} bytes", hint=hint)


def _not_to_be_read(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "is a folder"
    return "is a device" if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else ""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` on success, remove it on failure.

    The data is flushed to disk before the rename, so that a crash leaves the old file or the new one.

    Raises:
        StorageError: when the folder cannot be made or written, or the disk is full.
    """
    part = path.with_name(f".{path.name}.{uuid4().hex[:8]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        with suppress(OSError):  # it was renamed, or could never be made
            part.unlink()


def atomic_write(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all.

    Raises:
        StorageError: when it cannot be written.
    """
    with atomic_path(path) as part:
        part.write_bytes(data)


def check_writable(path: Path) -> None:
    """Find out before long work whether `path` can be written at its end.

    Raises:
        StorageError: when it cannot.
    """
    if path.is_dir():
        raise StorageError(f"cannot write {path}: it is a folder", hint="name a file")
    probe = path.with_name(f".{path.name}.{uuid4().hex[:8]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        if probe.parent.is_dir():
            probe.unlink(missing_ok=True)


def storage_error(path: Path, error: OSError) -> StorageError:
    """Say in one line why `path` cannot be written."""
    reason = error.strerror or str(error)
    return StorageError(f"cannot write {path}: {reason}", hint="free space, or name another place")
