"""Bytes in, bytes out."""

from __future__ import annotations

import os
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import pytest

from chipwise.codec.cache import cache_folder
from chipwise.codec.files import atomic_path, atomic_write, check_writable, read_bounded
from chipwise.codec.hashes import sha256_bytes, sha256_file
from chipwise.codec.records import decode, encode
from chipwise.core.errors import DataError, InputError, StorageError
from chipwise.core.measure import Accuracy, PairedDrop

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1


def test_hashes_are_the_standards(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_bytes(b"abc") == sha256_file(tmp_path / "abc") == ABC


def test_files_are_read_up_to_a_limit(tmp_path):
    path = tmp_path / "note.txt"
    for data in (b"", b"12345"):
        path.write_bytes(data)
        assert read_bounded(path, 5, "note") == data
    path.write_bytes(b"123456")
    with pytest.raises(InputError, match=r"cannot read note .*note\.txt: it has more than 5 bytes") as caught:
        read_bounded(path, 5, "note", hint="write less")
    assert caught.value.hint == "write less"
    for wrong, says in (("", "is a folder"), ("none", "No such file"), ("a\0b", "null")):
        with pytest.raises(DataError, match=says):
            read_bounded(tmp_path / wrong, 5, "note", DataError)


def test_a_large_limit_reserves_no_memory(tmp_path):
    path = tmp_path / "note.txt"
    for data in (b"", b"12345"):
        path.write_bytes(data)
        tracemalloc.start()
        assert read_bounded(path, 2_000_000_000, "note") == data
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 10_000_000


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="POSIX only")
def test_devices_and_pipes(tmp_path):
    with pytest.raises(InputError, match="is a device"):
        read_bounded(Path("/dev/zero"), 5, "note")
    for length in (5, 6):  # a pipe has no size that could be looked at before
        source, sink = os.pipe()
        os.write(sink, b"x" * length)
        os.close(sink)
        path = Path(f"/dev/fd/{source}")
        if length == 5:
            assert read_bounded(path, 5, "note") == b"xxxxx"
        else:
            with pytest.raises(InputError, match="more than 5 bytes"):
                read_bounded(path, 5, "note")
        os.close(source)
    if Path("/proc/self/stat").exists():  # said to be empty, and is not
        assert read_bounded(Path("/proc/self/stat"), 10_000, "facts").endswith(b"\n")


def test_atomic_write_makes_folders_and_replaces(tmp_path):
    path = tmp_path / "deep" / "note.txt"
    atomic_write(path, b"first")
    atomic_write(path, b"second")
    assert path.read_bytes() == b"second"
    assert [entry.name for entry in path.parent.iterdir()] == ["note.txt"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "note.txt"
    path.write_bytes(b"old")

    def write_half():
        with atomic_path(path) as part:
            part.write_bytes(b"half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_half()
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["note.txt"]


def test_a_file_in_the_way_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot write"):
        atomic_write(tmp_path / "file" / "below", b"x")
    with pytest.raises(StorageError, match="cannot write"):
        check_writable(tmp_path / "file" / "below")
    with pytest.raises(StorageError, match="folder"):
        check_writable(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_a_storage_error(tmp_path):
    def fill():
        with atomic_path(tmp_path / "a") as part:
            part.symlink_to("/dev/full")
            part.write_bytes(b"x")

    with pytest.raises(StorageError, match="No space left"):
        fill()
    assert list(tmp_path.iterdir()) == []


def test_check_writable_leaves_nothing(tmp_path):
    check_writable(tmp_path / "new" / "file")
    assert list((tmp_path / "new").iterdir()) == []


def test_the_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("CHIPWISE_CACHE", str(tmp_path / "here"))
    assert cache_folder("data") == tmp_path / "here" / "data"
    assert cache_folder("data").is_dir()
    monkeypatch.setenv("CHIPWISE_CACHE", "/dev/null")
    with pytest.raises(StorageError):
        cache_folder("data")


def test_the_cache_has_a_place_of_its_own_by_default(tmp_path, monkeypatch):
    monkeypatch.delenv("CHIPWISE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder("x").is_relative_to(tmp_path)


@dataclass(frozen=True)
class Note:
    place: Path
    values: tuple[float, ...]


def test_records_come_back_equal():
    share = Accuracy(9, 10, 0.5, 1.0)
    record = PairedDrop(share, share, 1, 1, 0.0, 0.1, 3)
    assert decode(encode(record), PairedDrop, "drop") == record
    assert decode(encode(record, pretty=True), PairedDrop, "drop") == record
    assert encode(Note(Path("a/b"), (1.0,))) == b'{"place":"a/b","values":[1.0]}'


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b'{"correct": 1}', b'{"correct":"1","count":2,"low":0,"high":1}', b"\xff", b"[" * 100_000],
)
def test_records_that_do_not_fit_name_what_they_are(data):
    with pytest.raises(InputError, match="accuracy cannot be read"):
        decode(data, Accuracy, "accuracy")
