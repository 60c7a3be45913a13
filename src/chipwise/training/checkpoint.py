"""One file that holds all of a training run: tensors as safetensors, the rest as JSON in the same file's header.

Written whole or not at all, hashed, and free of pickle. Randomness needs no place in it: it follows from the seed and
the epoch (`seeds`).

>>> import tempfile, pathlib
>>> path = pathlib.Path(tempfile.mkdtemp()) / "last.safetensors"
>>> save(path, Checkpoint(State(identity={"network": "a"}), {"model.weight": torch.zeros(2)}))
>>> load(path).state.identity["network"]
'a'
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open

from chipwise.codec.files import atomic_path
from chipwise.codec.records import decode, encode
from chipwise.core.epoch import Epoch
from chipwise.core.errors import ChipwiseError, InputError
from chipwise.core.training_memory import ChosenMesh
from chipwise.training.lying import bytes_of, in_safetensors, write_safetensors
from chipwise.training.settings import OF_PLACE, OF_READING, as_json

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from chipwise.core.network import Network
    from chipwise.datasets.dataset import Dataset
    from chipwise.training.lying import Somewhere
    from chipwise.training.settings import Settings
    from chipwise.training.teacher import Teacher

_FORMAT = "chipwise.checkpoint/1"


@dataclass(frozen=True, slots=True)
class State:
    """Where a run stands, apart from its tensors.

    Attributes:
        identity: network, data and settings; a checkpoint continues only the run that wrote it.
        history: one row a finished epoch; best_epoch: the one with the kept weights, 0 before the first.
        stopped: why training ended; empty while it goes on.
        wall_s: time that it took so far, over all resumed runs, seconds; None where that is not known.
        mesh: that was chosen by what fits; None where it was not chosen.
        stored: SHA-256 of the file beside it with the optimizer's state, where that lies on disk; else empty.
    """

    identity: dict[str, str | int | float | bool | None]
    history: tuple[Epoch, ...] = ()
    best_epoch: int = 0
    stopped: str = ""
    wall_s: float | None = None
    mesh: ChosenMesh | None = None
    stored: str = ""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A state and its tensors, by name: "model.*", "optimizer.INDEX.*", "best.*", and "average.*" if there is one.

    Where weights are on disk, `lying` are those tensors that are.
    """

    state: State
    tensors: dict[str, Tensor] = field(default_factory=dict)
    lying: dict[str, Somewhere] = field(default_factory=dict)

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors under `prefix`, with the prefix taken off."""
        return {name[len(prefix) :]: value for name, value in self.tensors.items() if name.startswith(prefix)}

    def lying_part(self, prefix: str) -> dict[str, Somewhere]:
        """Those that lie in files under `prefix`, with the prefix taken off."""
        return {name[len(prefix) :]: value for name, value in self.lying.items() if name.startswith(prefix)}


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; the one before stays whole until the new one is on disk.

    Raises:
        StorageError: when it cannot be written.
    """
    tensors: dict[str, Somewhere] = {**checkpoint.tensors, **checkpoint.lying}
    text = encode(checkpoint.state)
    header = {"format": _FORMAT, "state": text.decode(), "sha256": _digest(text, tensors)}
    with atomic_path(path) as part:
        write_safetensors(tensors, part, header)


def load(path: Path, lying: Mapping[str, Tensor] | None = None) -> Checkpoint:
    """Read a checkpoint and verify it.

    Args:
        path: of the file.
        lying: tensors by name; what is like one of them stays in the file.

    Raises:
        InputError: when it is damaged or no checkpoint of chipwise.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            names, apart = set(file.keys()), lying or {}
            tensors = {name: file.get_tensor(name) for name in names - apart.keys()}
        there = {name: in_safetensors(path, name, apart[name]) for name in names & apart.keys()}
        text = header["state"].encode()
        sound = header["format"] == _FORMAT and header["sha256"] == _digest(text, tensors | there)
        state = decode(text, State, "its state") if sound else None
    except (SafetensorError, OSError, KeyError, UnicodeError, ChipwiseError) as error:
        raise _damaged(path, str(error)) from error
    if state is None:
        raise _damaged(path, "its content does not match its hash")
    return Checkpoint(state, tensors, dict(there))


def state_of(path: Path) -> State | None:
    """Where the run of a checkpoint stands, without reading tensors; None where there is none, or it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            return decode((file.metadata() or {})["state"].encode(), State, "its state")
    except (SafetensorError, OSError, KeyError, ChipwiseError):
        return None


def identity_of(
    module: nn.Module, network: Network, data: Dataset, settings: Settings, teacher: Teacher | None
) -> dict[str, str | int | float | bool | None]:
    """What must be equal for a checkpoint to be continued."""
    about: dict[str, str | int | float | bool | None] = {
        "network": network.name,
        "digest": network.digest,
        "parameters": sum(value.numel() for value in module.parameters()),
        "data": data.digest,
    }
    about |= {name: value for name, value in as_json(settings).items() if name not in OF_READING | OF_PLACE}
    if teacher is not None:
        about |= {
            "teacher": teacher.digest,
            "teacher_share": teacher.share,
            "teacher_temperature": teacher.temperature,
        }
    return about


def check_identity(path: Path, found: State, wanted: State) -> None:
    """Refuse to continue the run of another network, data set or settings.

    Raises:
        InputError: naming what differs.
    """
    names = sorted(found.identity.keys() | wanted.identity.keys())
    differ = [name for name in names if found.identity.get(name) != wanted.identity.get(name)]
    if not differ:
        return
    told = ", ".join(f"{name} {_short(found, name)} there, {_short(wanted, name)} now" for name in differ[:3])
    raise InputError(
        f"{path.parent.parent} holds another training run: {told}",
        hint="name another folder, or start over with --fresh",
    )


def model_tensors(module: nn.Module, but: Collection[str] = ()) -> dict[str, Tensor]:
    """A copy of the module's state, parameters and buffers, by name, in main memory wherever the module is.

    Args:
        module: whose.
        but: names that are left out.
    """
    return {
        name: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, value in _named(module)
        if name not in but
    }


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's tensors as "INDEX.NAME", in main memory; its numbers follow from the settings."""
    states = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": value.cpu()
        for index, row in states.items()
        for name, value in row.items()
        if torch.is_tensor(value)
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` took."""
    rows: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        rows.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": rows, "param_groups": optimizer.state_dict()["param_groups"]})


def _named(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [(name, value) for name, value in module.state_dict().items() if torch.is_tensor(value)]


def _digest(text: bytes, tensors: Mapping[str, Somewhere]) -> str:
    digest = hashlib.sha256(text)
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(bytes_of(value))
    return digest.hexdigest()


def _short(state: State, name: str) -> str:
    value = state.identity.get(name)
    return "not set" if value is None else value[:12] if isinstance(value, str) else str(value)


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(
        f"the checkpoint {path} is damaged: {reason.splitlines()[0] if reason else 'it cannot be read'}",
        hint="start over with --fresh, or name another folder",
    )
