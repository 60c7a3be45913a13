"""Compiled engines that are kept: found again, verified, and made again where they cannot be trusted."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from chipwise.core.errors import StorageError
from chipwise.runtimes.engine_cache import EngineCache


class Maker:
    """Counts how often something is made."""

    def __init__(self, content: bytes = b"native code") -> None:
        self.count, self.content = 0, content

    def __call__(self, path: Path) -> None:
        self.count += 1
        path.write_bytes(self.content)


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path, ".so")


def test_made_once_and_found_again(cache: EngineCache) -> None:
    make = Maker()
    paths = {cache.get_or_make("key", make) for _ in range(3)}
    assert make.count == 1
    (path,) = paths
    assert path.read_bytes() == b"native code"
    assert path.suffix == ".so"
    assert cache.get_or_make("other", Maker(b"other")).read_bytes() == b"other"


@pytest.mark.parametrize("damage", [b"", b"native c0de", b"native code and more"])
def test_damaged_code_is_made_again(cache: EngineCache, damage: bytes) -> None:
    make = Maker()
    cache.get_or_make("key", make).write_bytes(damage)
    assert cache.get_or_make("key", make).read_bytes() == b"native code"
    assert make.count == 2


@pytest.mark.parametrize(
    "entry", [b"", b"[]", b"{}", b"\xff", b'{"key": "key", "sha256": "../../x"}', b'{"key": "key", "sha256": 5}']
)
def test_a_damaged_entry_is_made_again(cache: EngineCache, entry: bytes) -> None:
    make = Maker()
    cache.get_or_make("key", make)
    (cache.folder / "key.json").write_bytes(entry)
    assert cache.get_or_make("key", make).read_bytes() == b"native code"
    assert make.count == 2


def test_an_entry_of_another_key_does_not_count(cache: EngineCache) -> None:
    cache.get_or_make("foreign", Maker(b"foreign"))
    (cache.folder / "key.json").write_bytes((cache.folder / "foreign.json").read_bytes())
    assert cache.get_or_make("key", Maker()).read_bytes() == b"native code"


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="permissions as on Unix")
def test_what_others_may_write_does_not_count(cache: EngineCache) -> None:
    make = Maker()
    cache.get_or_make("key", make).chmod(0o666)
    cache.get_or_make("key", make)
    assert make.count == 2


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="links as on Unix")
def test_a_link_in_place_of_code_does_not_count(cache: EngineCache, tmp_path: Path) -> None:
    make = Maker()
    path = cache.get_or_make("key", make)
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    assert not cache.get_or_make("key", make).is_symlink()


def test_nothing_is_left_of_what_could_not_be_made(cache: EngineCache) -> None:
    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise RuntimeError("no compiler")

    with pytest.raises(RuntimeError, match="no compiler"):
        cache.get_or_make("key", fail)
    assert list(cache.folder.iterdir()) == []


def test_forgetting(cache: EngineCache) -> None:
    make = Maker()
    cache.get_or_make("key", make)
    cache.drop("key")
    cache.drop("key")
    cache.get_or_make("key", make)
    assert make.count == 2


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path, ".so", limit_bytes=25)
    first, second = cache.get_or_make("1", Maker(b"1" * 10)), cache.get_or_make("2", Maker(b"2" * 10))
    os.utime(first, (1, 1))
    os.utime(second, (2, 2))
    cache.get_or_make("1", Maker())  # used, so the second is now the oldest
    third = cache.get_or_make("3", Maker(b"3" * 10))
    assert (first.exists(), second.exists(), third.exists()) == (True, False, True)
    huge = cache.get_or_make("4", Maker(b"4" * 99))
    assert huge.exists()
    assert json.loads((tmp_path / "4.json").read_bytes())["key"] == "4"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        EngineCache(tmp_path / "absent", ".so").get_or_make("key", Maker())
