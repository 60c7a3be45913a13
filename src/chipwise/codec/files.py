"""Write files so that nothing is ever half written: to a temporary name beside the target, then renamed.

>>> import tempfile, pathlib
>>> target = pathlib.Path(tempfile.mkdtemp()) / "note.txt"
>>> atomic_write(target, b"whole"); target.read_bytes()
b'whole'
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from chipwise.core.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator


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
