"""The board's file: one JSON line a trial, only ever added to, by many processes at once.

A row is on disk when `append` returns. A line that a crash cut short is left behind by the next writer, and told and
left out by every reader.

>>> import tempfile
>>> from chipwise.core.trial import Rung
>>> path = Path(tempfile.mkdtemp()) / "board.jsonl"
>>> name = identity("d", "GaussianNB()", 0, Rung())
>>> row = Trial(data="digits", data_digest="d", model="GaussianNB()", state="finished", id=name)
>>> append(path, row), append(path, row), len(read(path).trials)
(True, False, 1)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chipwise.codec.append import append_line
from chipwise.codec.files import read_bounded
from chipwise.codec.records import decode, encode
from chipwise.core.errors import InputError
from chipwise.core.trial import Trial, identity

if TYPE_CHECKING:
    from collections.abc import Iterable

FILE = "board.jsonl"  # in the folder of a search
LIMIT_BYTES = 1 << 30
_TOLD = 3  # lines that are named


def ledger_file(given: Path) -> Path:
    """The file that is meant by a path, which may be the folder of a search.

    >>> ledger_file(Path("runs/search")).parent, ledger_file(Path("board.jsonl"))
    (PosixPath('runs/search'), PosixPath('board.jsonl'))
    """
    return given / FILE if given.is_dir() or not given.suffix else given


@dataclass(frozen=True, slots=True)
class Board:
    """What a ledger holds.

    Attributes:
        trials: each once, in the order in which they came: the first finished row of an id, or the last row where none
            finished; of a claim the last row.
        notes: what was left out, a sentence each.
    """

    trials: tuple[Trial, ...]
    notes: tuple[str, ...] = ()

    def finished(self) -> dict[str, Trial]:
        """Trials that finished, by their id."""
        return {trial.id: trial for trial in self.trials if trial.state == "finished"}


def append(path: Path, trial: Trial) -> bool:
    """Add a row, and return when it is on disk.

    Args:
        path: made when absent, with its folder.
        trial: where one of its id has finished already, a finished one is not added again.

    Returns:
        whether it was added.

    Raises:
        StorageError: when it cannot be written; the file is as it was.
    """
    assert trial.id == _id_of(trial), "its own id"
    line = encode(trial)
    assert row_of(line) is not None, "what is written can be read"
    once = f'"state":"finished","id":"{trial.id}"}}'.encode() if trial.state == "finished" else b""
    assert line.endswith(once), "fields are written in order"
    return append_line(path, line, unless=once)


def read(path: Path) -> Board:
    """Read every row; none where there is no file yet.

    Raises:
        InputError: it cannot be read, or holds lines and no trial at all.
    """
    if not path.exists():
        return Board(())
    lines = read_bounded(path, LIMIT_BYTES, "ledger").split(b"\n")
    rows: list[Trial] = []
    unread: list[int] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        row = row_of(line)
        if row is None:
            unread.append(number)
        else:
            rows.append(row)
    if unread and not rows and (len(unread) > 1 or lines[-1] == b""):
        raise InputError(f"{path} is no ledger: none of its lines is a trial", hint="search and leaderboard write one")
    torn = lines[-1] != b"" and len(lines) in unread
    return Board(counted_once(rows), _notes(unread, torn=torn))


def row_of(line: bytes) -> Trial | None:
    """The trial in a line; None where the line was cut short, or is of something else."""
    try:
        trial = decode(line, Trial, "row")
    except InputError:
        return None
    return trial if trial.id == _id_of(trial) else None


def counted_once(rows: Iterable[Trial]) -> tuple[Trial, ...]:
    """Rows without those that another one of the same trial, or of the same claim, takes the place of."""
    kept: dict[tuple[object, ...], Trial] = {}
    for row in rows:
        key = key_of(row)
        if key not in kept or kept[key].state != "finished":
            kept[key] = row
    return tuple(kept.values())


def key_of(row: Trial) -> tuple[object, ...]:
    """What rows of the same trial, or of the same claim, have in common."""
    if row.state != "claimed":
        return (row.id,)
    return (row.id, row.group, row.when, None if row.score is None else row.score.value)


def _id_of(row: Trial) -> str:
    return identity(row.data_digest or row.data, row.model, row.seed, row.rung, row.metric)


def _notes(unread: list[int], *, torn: bool) -> tuple[str, ...]:
    whole = unread[:-1] if torn else unread
    notes = []
    if whole:
        named = ", ".join(map(str, whole[:_TOLD])) + ", ..." * (len(whole) > _TOLD)
        notes.append(f"left out what is no whole row (lines {named}): a writer ended in the midst of it")
    if torn:
        notes.append("left out the last line, which has no end: its writer ended in the midst of it, or writes it now")
    return tuple(notes)
