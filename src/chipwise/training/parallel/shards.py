"""Checkpoints of a training in several processes: a folder each, written under another name and then renamed.

`checkpoint/shards-000012/` holds what each process had after 12 epochs, as safetensors with the names of the network,
and `state.json`: where the run stands, and a hash of each file. Any mesh reads it, and so does one process.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from safetensors import SafetensorError
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from chipwise.codec.files import atomic_write, storage_error
from chipwise.codec.hashes import sha256_file
from chipwise.codec.records import decode, encode
from chipwise.core.errors import InputError, first_line
from chipwise.training import checkpoint as checkpoints
from chipwise.training.checkpoint import Checkpoint, State
from chipwise.training.optimizer import build_optimizer
from chipwise.training.parallel.checkpoint import BEST, MODEL, OPTIMIZER, read_tensors, save_checkpoint, write_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn
    from torch.distributed.device_mesh import DeviceMesh

    from chipwise.training.parallel.strategy import Strategy
    from chipwise.training.settings import Settings

LAST = "last.safetensors"
_SHARDS, _STATE = "shards-", "state.json"


@dataclass(frozen=True, slots=True)
class _Facts:
    """What `state.json` says: where the run stands, and the hash of each file beside it."""

    state: State
    files: dict[str, str]


def newest(folder: Path) -> Path | None:
    """The checkpoint of the most epochs; None where there is none.

    Args:
        folder: "checkpoint" of a run.
    """
    return max(folder.glob(f"{_SHARDS}*"), default=None)


def state_of(path: Path) -> State:
    """Where the run stands, once all files are known to be whole.

    Raises:
        InputError: they are not.
    """
    try:
        facts = decode((path / _STATE).read_bytes(), _Facts, str(path / _STATE))
        found = {file.name: sha256_file(file) for file in path.iterdir() if file.name != _STATE}
    except (OSError, InputError) as error:
        raise _damaged(path, first_line(error)) from error
    if found != facts.files:
        raise _damaged(path, "its files do not match their hashes")
    return facts.state


def write(
    strategy: Strategy, grid: DeviceMesh, folder: Path, state: State, best: Mapping[str, Tensor], *, first: bool
) -> None:
    """Write a checkpoint, all processes together; the one before stays until the new one is on disk.

    Args:
        strategy: what is written.
        grid: all processes.
        folder: "checkpoint" of the run.
        state: where it stands.
        best: the best weights so far.
        first: whether this is the process that does what is done once.

    Raises:
        StorageError: it cannot be written.
    """
    part = folder / f".{_name(state)}.part"
    if first:
        shutil.rmtree(part, ignore_errors=True)
    dist.barrier()
    try:
        save_checkpoint(strategy, part, grid, best)
    except (CheckpointException, OSError) as error:
        raise storage_error(part, _cause(error)) from error
    dist.barrier()
    if first:
        _finish(part, state)
    dist.barrier()


def remove(folder: Path, *, but: Path | None = None) -> None:
    """Remove all checkpoints of several processes, whole ones and begun ones, but one."""
    for path in folder.glob(f"*{_SHARDS}*"):
        if path != but:
            shutil.rmtree(path, ignore_errors=True)


def together(module: nn.Module, settings: Settings, path: Path) -> Checkpoint:
    """A checkpoint of several processes as one process's.

    Args:
        module: the network, for the order of its parameters.
        settings: for that of the optimizer.
        path: as `newest` gives it.

    Raises:
        InputError: it is damaged.
    """
    state = state_of(path)
    try:
        whole = _read(path)
    except (SafetensorError, CheckpointException, OSError, ValueError) as error:
        raise _damaged(path, first_line(error)) from error
    indices = {name: index for index, name in enumerate(_in_order(module, settings))}
    made: dict[str, Tensor] = {}
    for name, value in whole.items():
        if not name.startswith(OPTIMIZER):
            made[name] = value
            continue
        owner, _, slot = name.removeprefix(OPTIMIZER).rpartition(".")
        made[f"{OPTIMIZER}{indices.get(owner, -1)}.{slot}"] = value
    return Checkpoint(state, made)


def best_of(path: Path) -> Checkpoint:
    """Where the run stands, with the best weights alone.

    Args:
        path: as `newest` gives it.

    Raises:
        InputError: it is damaged.
    """
    state = state_of(path)
    try:
        return Checkpoint(state, _read(path, BEST))
    except (SafetensorError, CheckpointException, OSError, ValueError) as error:
        raise _damaged(path, first_line(error)) from error


def apart(module: nn.Module, settings: Settings, found: Checkpoint, folder: Path) -> None:
    """Write one process's checkpoint as several processes read it.

    Args:
        module: as in `together`.
        settings: as in `together`.
        found: the checkpoint.
        folder: "checkpoint" of the run.

    Raises:
        StorageError: it cannot be written.
    """
    names = _in_order(module, settings)
    tensors = {name: value for name, value in found.tensors.items() if name.startswith((MODEL, BEST))}
    for name, value in found.part(OPTIMIZER).items():
        index, _, slot = name.partition(".")
        tensors[f"{OPTIMIZER}{names[int(index)]}.{slot}"] = value
    part = folder / f".{_name(found.state)}.part"
    shutil.rmtree(part, ignore_errors=True)
    try:
        write_tensors(tensors, part, alone=True)
    except (CheckpointException, OSError) as error:
        raise storage_error(part, _cause(error)) from error
    _finish(part, found.state)


def bring_together(module: nn.Module, settings: Settings, folder: Path) -> None:
    """Let one process go on where several left off: write `last.safetensors`, where theirs went further.

    Args:
        module: as in `together`.
        settings: as in `together`.
        folder: "checkpoint" of the run.

    Raises:
        InputError: their checkpoint is damaged. StorageError: it cannot be written.
    """
    path = newest(folder)
    if path is None:
        return
    before = checkpoints.state_of(folder / LAST)
    if before is None or len(before.history) < len(state_of(path).history):
        checkpoints.save(folder / LAST, together(module, settings, path))


def _finish(part: Path, state: State) -> None:
    """Say what a folder of tensors holds, give it its name, and remove those before."""
    try:
        files = {file.name: sha256_file(file) for file in part.iterdir()}
        atomic_write(part / _STATE, encode(_Facts(state, files)))
        path = part.with_name(_name(state))
        shutil.rmtree(path, ignore_errors=True)
        part.rename(path)
        _flush(path.parent)
    except OSError as error:
        raise storage_error(part, error) from error
    remove(path.parent, but=path)


def _flush(folder: Path) -> None:
    """Let names in a folder reach the disk."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _read(path: Path, prefix: str = "") -> dict[str, Tensor]:
    """Whole tensors whose names begin so, of what processes had parts."""
    found = HuggingFaceStorageReader(str(path)).read_metadata().state_dict_metadata
    made = {
        name: torch.empty(each.size, dtype=each.properties.dtype)
        for name, each in found.items()
        if isinstance(each, TensorStorageMetadata) and name.startswith(prefix)
    }
    read_tensors(made, path, alone=True)
    return made


def _in_order(module: nn.Module, settings: Settings) -> list[str]:
    """Names of parameters in the order of the optimizer."""
    names = {value: name for name, value in module.named_parameters()}
    groups = build_optimizer(module, settings).param_groups
    return [names[value] for group in groups for value in group["params"]]


def _name(state: State) -> str:
    return f"{_SHARDS}{len(state.history):06d}"


def _cause(error: BaseException) -> OSError:
    """What went wrong in the first process that failed."""
    failed = getattr(error, "failures", {})
    causes = [pair[0] for pair in failed.values()] or [error]
    found = causes[0]
    return found if isinstance(found, OSError) else OSError(first_line(found))


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(
        f"the checkpoint {path} is damaged: {reason}", hint="start over with --fresh, or name another folder"
    )
