"""Distributed checkpoints: torch.distributed.checkpoint writes what each process holds, and cuts it anew on reading.

Names are the network's, so that any mesh reads what any other wrote, one process alone included. Files are safetensors:
torch's usual ones hold pickles.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, optim
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict import get_model_state_dict, set_model_state_dict
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.tensor import DTensor

from chipwise.cost.mesh_memory import FILE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch.distributed.device_mesh import DeviceMesh

    from chipwise.training.parallel.strategy import Strategy

MODEL, OPTIMIZER, BEST = "model.", "optimizer.", "best."
_MOMENTS = {
    optim.SGD: ("momentum_buffer",),
    optim.Adam: ("step", "exp_avg", "exp_avg_sq"),
    optim.AdamW: ("step", "exp_avg", "exp_avg_sq"),
}


def save_checkpoint(
    strategy: Strategy, folder: Path, grid: DeviceMesh | None, best: Mapping[str, Tensor] | None = None
) -> None:
    """Write weights, the optimizer's state, and the best weights so far; all processes together.

    Args:
        strategy: after a step at least.
        folder: is created.
        grid: torch's mesh of all processes; None for one process.
        best: as `model_state` gives it; None for none.

    Raises:
        CheckpointException, OSError: it cannot be written.
    """
    state = {MODEL + name: value for name, value in model_state(strategy).items()}
    for names, optimizer in _named(strategy):
        state |= {
            f"{OPTIMIZER}{names[value]}.{slot}": row[slot]
            for value, row in optimizer.state.items()
            for slot in _slots(optimizer)
        }
    state |= {BEST + name: value for name, value in (best or {}).items()}
    write_tensors(state, folder, alone=grid is None)


def load_checkpoint(strategy: Strategy, folder: Path, grid: DeviceMesh | None, *, best: bool = False) -> dict[str, Any]:
    """Read weights and the optimizer's state into freshly built parts; all processes together.

    Returns:
        the best weights, where they are asked for.

    Raises:
        CheckpointException, OSError, SafetensorError: it cannot be read.
    """
    models: list[dict[str, Any]] = [get_model_state_dict(part) for part in strategy.parts]
    state = {MODEL + name: value for model in models for name, value in model.items()}
    rows: list[tuple[optim.Optimizer, Tensor, dict[str, Tensor]]] = []
    written = HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
    for names, optimizer in _named(strategy):
        for value in (value for group in optimizer.param_groups for value in group["params"]):
            places = {slot: f"{OPTIMIZER}{names[value]}.{slot}" for slot in _slots(optimizer)}
            row = {slot: _room(value, slot) for slot, place in places.items() if place in written}
            if row:  # else all steps so far overflowed
                state |= {places[slot]: room for slot, room in row.items()}
                rows.append((optimizer, value, row))
    kept = {name: torch.empty_like(value) for model in models for name, value in model.items()} if best else {}
    state |= {BEST + name: value for name, value in kept.items()}
    read_tensors(state, folder, alone=grid is None)
    for part, model in zip(strategy.parts, models, strict=True):
        set_model_state_dict(part, {name: state[MODEL + name] for name in model})
    for optimizer, value, row in rows:
        optimizer.state[value] = row
    return kept


def model_state(strategy: Strategy) -> dict[str, Any]:
    """Parameters and buffers of this process's parts, by the network's names; parts of them where they are cut."""
    return {name: value for part in strategy.parts for name, value in get_model_state_dict(part).items()}


def write_tensors(state: dict[str, Any], folder: Path, *, alone: bool) -> None:
    """Write tensors, or what each process holds of them, as safetensors.

    torch makes the bytes of a file before it writes them, twice: so there are several files.
    """
    writer = HuggingFaceStorageWriter(
        str(folder), fqn_to_index_mapping=_files(state, alone=alone), save_distributed=True
    )
    with _alone_is_meant():
        save(_apart(state), storage_writer=writer, no_dist=alone)


def read_tensors(state: dict[str, Any], folder: Path, *, alone: bool) -> None:
    """Fill tensors with what was written under their names."""
    with _alone_is_meant():
        load(state, storage_reader=HuggingFaceStorageReader(str(folder)), no_dist=alone)


def _files(state: dict[str, Any], *, alone: bool) -> dict[str, int]:
    """The number of the file, from 1, that each tensor goes into, of those that any process holds."""
    mine = {name: _local(value).nbytes for name, value in state.items()}
    every = [mine]
    if not alone:
        every = [mine] * dist.get_world_size()
        dist.all_gather_object(every, mine)
    made: dict[str, int] = {}
    number, filled = 1, 0
    for name in sorted(set().union(*every)):
        size = max(each.get(name, 0) for each in every)
        if filled and filled + size > FILE_BYTES:
            number, filled = number + 1, 0
        made[name], filled = number, filled + size
    return made


def _local(value: Tensor) -> Tensor:
    """What of a tensor lies in this process."""
    return value.to_local() if isinstance(value, DTensor) else value


def _apart(state: dict[str, Any]) -> dict[str, Any]:
    """The same values as safetensors takes them: in order in memory, and no memory twice, as weights that are tied."""
    made, seen = {}, set()
    for name, value in state.items():
        ordered = value.detach().contiguous()
        place = _local(ordered).data_ptr()
        made[name] = ordered.clone() if place and place in seen else ordered
        seen.add(place)
    return made


@contextmanager
def _alone_is_meant() -> Iterator[None]:
    """Silence torch's warning that one process reads or writes alone."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled, unavailable or uninitialized")
        yield


def _named(strategy: Strategy) -> Iterator[tuple[dict[Any, str], optim.Optimizer]]:
    """The optimizer of each part with the names of its parameters; of ZeRO-1 that of this process's own parameters."""
    for part, optimizer in zip(strategy.parts, strategy.optimizers, strict=True):
        names = {value: name.removeprefix("module.") for name, value in part.named_parameters()}
        yield names, getattr(optimizer, "optim", optimizer)


def _slots(optimizer: optim.Optimizer) -> tuple[str, ...]:
    """What the optimizer keeps for each parameter."""
    momentum = optimizer.defaults.get("momentum", 1.0)
    return _MOMENTS[type(optimizer)] if momentum else ()


def _room(value: Tensor, slot: str) -> Tensor:
    """Where a part of the optimizer's state is read to."""
    return torch.zeros((), dtype=torch.float32) if slot == "step" else torch.zeros_like(value.detach())
