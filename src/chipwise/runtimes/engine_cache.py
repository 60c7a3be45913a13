"""Compiled engines of this user on this machine: files named by their own hash, found by what they were made from.

`KEY.json` says which `HASH.suffix` belongs to a key. A file is given out only if its bytes still have that hash and it
belongs to this user; anything else counts as absent and is made again. The hash detects damage, not malice: whoever can
write into the folder can run code as this user anyway.

>>> import tempfile
>>> cache = EngineCache(Path(tempfile.mkdtemp()), ".txt")
>>> path = cache.get_or_make("key", lambda target: target.write_text("slow"))
>>> path.read_text(), cache.get_or_make("key", lambda target: 1 / 0) == path
('slow', True)
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chipwise.codec.files import atomic_write, storage_error
from chipwise.codec.hashes import sha256_file

_LIMIT_BYTES = 4 << 30  # of all files together; those that were not used for longest go first


@dataclass(frozen=True, slots=True)
class EngineCache:
    """One kind of compiled engine.

    Attributes:
        folder: where they lie; suffix: of their files, with the dot.
        limit_bytes: how much is kept.
    """

    folder: Path
    suffix: str
    limit_bytes: int = _LIMIT_BYTES

    def get_or_make(self, key: str, make: Callable[[Path], object]) -> Path:
        """The verified file for `key`; where there is none, `make` writes it to the path that it is given.

        Raises:
            StorageError: when it cannot be kept. Whatever `make` raises.
        """
        found = self._verified(key)
        if found is not None:
            return found
        try:
            with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
                made = Path(scratch) / f"engine{self.suffix}"
                make(made)
                made.chmod(0o600)
                digest = sha256_file(made)
                path = self.folder / f"{digest}{self.suffix}"
                made.replace(path)
        except OSError as error:
            raise storage_error(self.folder, error) from error
        atomic_write(self._entry(key), json.dumps({"schema": 1, "key": key, "sha256": digest}).encode())
        self._trim(keep=path)
        return path

    def drop(self, key: str) -> None:
        """Forget what is kept for `key`."""
        self._entry(key).unlink(missing_ok=True)

    def _entry(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def _verified(self, key: str) -> Path | None:
        try:
            entry = json.loads(self._entry(key).read_bytes()[:4096])
            if not isinstance(entry, dict) or entry.get("key") != key or not _is_hash(entry.get("sha256")):
                return None
            path = self.folder / f"{entry['sha256']}{self.suffix}"
            if not _ours(path) or sha256_file(path) != entry["sha256"]:
                return None
            os.utime(path)
        except (OSError, ValueError):  # absent, or no JSON
            return None
        return path

    def _trim(self, keep: Path) -> None:
        files = [(path.stat(), path) for path in self.folder.glob(f"*{self.suffix}")]
        total = sum(facts.st_size for facts, _ in files)
        for facts, path in sorted(files, key=lambda each: each[0].st_mtime):
            if total <= self.limit_bytes:
                return
            if path != keep:
                path.unlink(missing_ok=True)
                total -= facts.st_size


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


def _ours(path: Path) -> bool:
    """A file of this user's that nobody else may write."""
    facts = path.lstat()
    return not hasattr(os, "getuid") or (facts.st_uid == os.getuid() and not facts.st_mode & 0o022)
