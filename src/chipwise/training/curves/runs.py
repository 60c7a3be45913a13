"""Runs that curves are made of, and the journal that keeps them, so that an interrupted curve goes on.

>>> import tempfile
>>> run = CurveRun("id", 100, 10, (Errors(1, 0, 100, 0.1, 0.2, bytes(1)),))
>>> journal = Path(tempfile.mkdtemp()) / "curve.jsonl"
>>> keep(journal, run)
>>> kept(journal)["id"] == run
True
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chipwise.codec.append import append_line
from chipwise.codec.hashes import sha256_bytes
from chipwise.codec.records import decode, encode
from chipwise.core.errors import InputError
from chipwise.training.settings import as_json

if TYPE_CHECKING:
    from chipwise.core.network import Network
    from chipwise.datasets.dataset import Dataset
    from chipwise.training.settings import Settings

JOURNAL = "curve.jsonl"
_RULES = 1  # raised when runs would learn or be judged in another way


@dataclass(frozen=True, slots=True)
class Errors:
    """What was wrong after an epoch.

    Attributes:
        epoch: its number.
        train_wrong: of the training samples that were judged; judged: how many.
        train_loss, validation_loss: mean loss of both, in evaluation mode.
        wrong: a bit for each validation sample in order, 1 where the answer is wrong, as `numpy.packbits` packs them.
    """

    epoch: int
    train_wrong: int
    judged: int
    train_loss: float
    validation_loss: float
    wrong: bytes


@dataclass(frozen=True, slots=True)
class CurveRun:
    """One network that learned: what it was, of how many samples and parameters, and its errors."""

    identity: str
    samples: int
    parameters: int
    rows: tuple[Errors, ...]


def identity_of(network: Network, train: Dataset, validation: Dataset, settings: Settings, *, every: bool) -> str:
    """What makes a run what it is, 64 hex digits.

    Args:
        network: fitted to the data, with the weights that it begins with.
        train: what it learns from.
        validation: what judges it.
        settings: resolved.
        every: errors are counted after every epoch rather than at the end alone.
    """
    facts = (_RULES, network.digest, train.digest, validation.digest, as_json(settings), every)
    return sha256_bytes(encode(facts))


def keep(journal: Path, run: CurveRun) -> None:
    """Add a run.

    Raises:
        StorageError: the journal cannot be written.
    """
    append_line(journal, encode(run))


def kept(journal: Path) -> dict[str, CurveRun]:
    """All runs of a journal by their identity; lines that a crash cut short are left out, and their runs done anew.

    Raises:
        InputError: the journal cannot be read.
    """
    try:
        lines = journal.read_bytes().splitlines() if journal.exists() else []
    except OSError as error:
        raise InputError(f"cannot read {journal}: {error.strerror}") from error
    runs = {}
    for line in lines:
        try:
            run = decode(line, CurveRun, str(journal))
        except InputError:
            continue
        runs[run.identity] = run
    return runs
