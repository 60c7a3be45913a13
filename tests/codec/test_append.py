"""Lines are appended whole, by several processes at once, and taken back where the disk is full."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chipwise.codec.append import append_line
from chipwise.core.errors import StorageError

WRITER = """
import json, sys
from pathlib import Path
from chipwise.codec.append import append_line
for row in range(40):
    line = json.dumps({"writer": sys.argv[2], "row": row, "text": sys.argv[2] * 20000})
    append_line(Path(sys.argv[1]), line.encode())
"""


def test_lines_of_several_writers_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rows.jsonl"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in "abc"]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for name in "abc":
        assert [row["row"] for row in rows if row["writer"] == name] == list(range(40))
    assert all(row["text"] == row["writer"] * 20000 for row in rows)


def test_what_is_there_is_not_added_twice_and_a_torn_line_is_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    assert append_line(path, b'{"id":"a"}', unless=b'"id":"a"')
    assert not append_line(path, b'{"id":"a"}', unless=b'"id":"a"')
    path.write_bytes(path.read_bytes() + b'{"id":"b", "to')
    assert append_line(path, b'{"id":"c"}')
    assert path.read_bytes().splitlines() == [b'{"id":"a"}', b'{"id":"b", "to', b'{"id":"c"}']


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.jsonl"
    append_line(path, b"first")
    write = os.write

    def full(file: int, data: bytes) -> int:
        if data.startswith(b"second"):
            return write(file, data[:3])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("chipwise.codec.append.os.write", full)
    with pytest.raises(StorageError, match=r"cannot write .*rows\.jsonl: No space left on device"):
        append_line(path, b"second")
    assert path.read_bytes() == b"first\n"


def test_a_folder_in_the_way_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write"):
        append_line(tmp_path, b"row")
