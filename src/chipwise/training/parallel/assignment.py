"""What processes that train are told, and what they tell, as JSON files: nothing is executed, nothing is pickled.

>>> from chipwise.codec.records import decode, encode
>>> told = Status(0.5, "epoch 1/2, loss 0.100", 0, ())
>>> decode(encode(told), Status, "status") == told
True
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chipwise.codec.files import atomic_write
from chipwise.codec.records import decode, encode
from chipwise.core import errors
from chipwise.core.errors import ChipwiseError, MissingExtraError
from chipwise.core.training_memory import ChosenMesh, RankMemory
from chipwise.training.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

INITIAL, DATA, STATUS = "initial.safetensors", "data.safetensors", "status.json"
MEMORY = "memory.json"
_REFUSAL = "refusal.json"


@dataclass(frozen=True, slots=True)
class Assignment:
    """What all processes of a training do.

    Attributes:
        factory, arguments: "package.module:callable" that makes the network, and JSON values for it.
        work: folder of this machine, with initial weights and samples, where the first process tells how far it is.
        folder: of the run, which all machines see.
        mesh: as "dp2,tp2"; microbatches: of a pipeline.
        settings: of training, resolved; identity: what a checkpoint must be of.
        layout, channels: of pictures, for augmentation.
        before_s: time that earlier calls spent; None where it is not known; began_s: when this one began, Unix time.
        timeout_s: how long a process waits for another.
        twist: "package.module:callable", a context manager that breaks something on purpose; only tests set it.
        chosen: the mesh and what it was chosen for; None where it was not chosen.
    """

    factory: str
    arguments: dict[str, Any]
    work: str
    folder: str
    mesh: str
    microbatches: int
    settings: Settings
    identity: dict[str, str | int | float | bool | None]
    layout: str
    channels: int
    before_s: float | None
    began_s: float
    timeout_s: float
    twist: str = ""
    chosen: ChosenMesh | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """How far a training is: 0..1, in words, how often all processes were started again, and what was found to run."""

    fraction: float
    message: str
    restarts: int
    running: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Taken:
    """What each process took of memory, in order of their numbers."""

    ranks: tuple[RankMemory, ...]


@dataclass(frozen=True, slots=True)
class _Refusal:
    """An error that was raised on purpose in a process."""

    kind: str
    message: str
    hint: str


def refuse(checkpoints: Path, error: ChipwiseError) -> None:
    """Leave an error for whoever started the processes, and for these when they are started again."""
    atomic_write(checkpoints / _REFUSAL, encode(_Refusal(type(error).__name__, error.message, error.hint)))


def refusal_in(checkpoints: Path) -> ChipwiseError | None:
    """The error that a process left; None where there is none."""
    file = checkpoints / _REFUSAL
    if not file.exists():
        return None
    found = decode(file.read_bytes(), _Refusal, "the refusal")
    kind = getattr(errors, found.kind, ChipwiseError)
    if not (isinstance(kind, type) and issubclass(kind, ChipwiseError)) or kind is MissingExtraError:
        kind = ChipwiseError
    return kind(found.message, hint=found.hint)


def forget_refusal(checkpoints: Path) -> None:
    """Remove what a process of an earlier call left."""
    (checkpoints / _REFUSAL).unlink(missing_ok=True)
