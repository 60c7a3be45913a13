"""Fetch the files of a published data set into the cache, with checksums. Only ever called for a set asked for by name.

>>> archive = Archive("toy", ("https://example.org/",), {"a.gz": "md5:0cc175b9c0f1b6a831c399e269772661"})
>>> archive.mirrors
('https://example.org/',)
"""

from __future__ import annotations

import hashlib
import http.client
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chipwise.codec.cache import cache_folder
from chipwise.codec.files import atomic_write
from chipwise.core.errors import MachineError

if TYPE_CHECKING:
    from pathlib import Path

    from chipwise.core.events import Progress

TIMEOUT_S = 30.0
MAX_FILE_BYTES = 256 * 2**20
_BLOCK_BYTES = 256 * 2**10


@dataclass(frozen=True, slots=True)
class Archive:
    """A data set that can be downloaded.

    Attributes:
        name: as the user types it, and the folder in the cache.
        mirrors: address prefixes ending in "/", tried in order.
        files: file name -> "sha256:HEX" or "md5:HEX".
    """

    name: str
    mirrors: tuple[str, ...]
    files: dict[str, str]


def fetch(archive: Archive, progress: Progress) -> Path:
    """Make sure that every file of the archive is in the cache, undamaged; download those that are not.

    Returns:
        The folder they are in.

    Raises:
        MachineError: when a file cannot be had from any mirror.
        StorageError: when the cache cannot be written.
    """
    folder = cache_folder("data") / archive.name
    for name, checksum in archive.files.items():
        path = folder / name
        if not (path.is_file() and _matches(path.read_bytes(), checksum)):
            atomic_write(path, _download(archive, name, progress))
    return folder


def _download(archive: Archive, name: str, progress: Progress) -> bytes:
    failures = []
    for mirror in archive.mirrors:
        try:
            data = _get(mirror + name, progress)
        except (OSError, ValueError, http.client.HTTPException) as error:
            failures.append(f"{mirror}{name}: {' '.join(str(error).split()) or type(error).__name__}")
            continue
        if _matches(data, archive.files[name]):
            return data
        failures.append(f"{mirror}{name}: its checksum is not that of the published file")
    files = ", ".join(archive.files)
    hint = f"check the connection, or put {files} into a folder yourself and use idx:FOLDER"
    raise MachineError(f"cannot download {'; '.join(failures)}", hint=hint)


def _get(url: str, progress: Progress) -> bytes:
    """Read one address, at most MAX_FILE_BYTES; OSError, ValueError or HTTPException when that fails."""
    stage = f"downloading {url.rpartition('/')[2]}"
    request = urllib.request.Request(url, headers={"User-Agent": "chipwise"})  # noqa: S310 (addresses are our own)
    blocks, got = [], 0
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
        total = int(answer.headers.get("Content-Length") or 0)
        while block := answer.read(_BLOCK_BYTES):
            blocks.append(block)
            got += len(block)
            if got > MAX_FILE_BYTES:
                raise ValueError(f"more than {MAX_FILE_BYTES:,} bytes")
            progress.update(stage, min(got / total, 0.999) if total else 0.0, f"{got / 1e6:.1f} MB")
    if got < total:
        raise ValueError(f"ended after {got:,} of {total:,} bytes")
    progress.update(stage, 1.0)
    return b"".join(blocks)


def _matches(data: bytes, checksum: str) -> bool:
    algorithm, _, wanted = checksum.partition(":")
    return hashlib.new(algorithm, data, usedforsecurity=False).hexdigest() == wanted
