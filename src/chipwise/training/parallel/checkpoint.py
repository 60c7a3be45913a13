"""Distributed checkpoints: torch.distributed.checkpoint writes what each process holds, and cuts it anew on reading.

Names are the network's, so that any mesh reads what any other wrote, one process alone included.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import optim
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.optim import ZeroRedundancyOptimizer

from chipwise.training.parallel.data_parallel import gathered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import nn
    from torch.distributed.device_mesh import DeviceMesh

    from chipwise.training.parallel.strategy import Strategy

# One key a parameter: groups of parameters differ from stage to stage.
_FLAT = StateDictOptions(flatten_optimizer_state_dict=True)
_PARTLY = StateDictOptions(flatten_optimizer_state_dict=True, strict=False)


def save_checkpoint(strategy: Strategy, folder: Path, grid: DeviceMesh | None) -> None:
    """Write weights and momentum; all processes together."""
    state: dict[str, Any] = {"model": {}, "optimizer": {}}
    for part, optimizer in zip(strategy.parts, strategy.optimizers, strict=True):
        state["model"] |= get_model_state_dict(part)
        state["optimizer"] |= get_optimizer_state_dict(part, _plain(part, optimizer, grid), options=_FLAT)
    with _alone_is_meant():
        save(state, checkpoint_id=folder, no_dist=grid is None)


def load_checkpoint(strategy: Strategy, folder: Path, grid: DeviceMesh | None) -> None:
    """Read weights and momentum into freshly built parts; all processes together."""
    parts = list(zip(strategy.parts, strategy.optimizers, strict=True))
    twins = [_fresh(part, optimizer) for part, optimizer in parts]
    models = [get_model_state_dict(part) for part, _ in parts]
    momenta = [
        get_optimizer_state_dict(part, twin, options=_FLAT) for (part, _), twin in zip(parts, twins, strict=True)
    ]
    state: dict[str, Any] = {"model": {}, "optimizer": {}}
    for model, momentum in zip(models, momenta, strict=True):
        state["model"] |= model
        state["optimizer"] |= momentum
    with _alone_is_meant():
        load(state, checkpoint_id=folder, no_dist=grid is None)
    for (part, optimizer), twin, model, momentum in zip(parts, twins, models, momenta, strict=True):
        set_model_state_dict(part, {name: state["model"][name] for name in model})
        set_optimizer_state_dict(part, twin, {name: state["optimizer"][name] for name in momentum}, options=_PARTLY)
        if twin is not optimizer:
            optimizer.load_state_dict(twin.state_dict())


@contextmanager
def _alone_is_meant() -> Iterator[None]:
    """Silence torch's warning that one process reads or writes alone."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled, unavailable or uninitialized")
        yield


def _plain(part: nn.Module, optimizer: optim.Optimizer, grid: DeviceMesh | None) -> optim.Optimizer:
    """The optimizer itself; for ZeRO-1, whose parts have names on no two processes, one with all of its state."""
    twin = _fresh(part, optimizer)
    if twin is not optimizer and grid is not None:
        twin.load_state_dict(gathered(optimizer, grid["zero1"]))
    return twin


def _fresh(part: nn.Module, optimizer: optim.Optimizer) -> optim.Optimizer:
    """The optimizer itself; for ZeRO-1 an SGD of the same settings over all parameters, without state."""
    if not isinstance(optimizer, ZeroRedundancyOptimizer):
        return optimizer
    settings = {name: optimizer.param_groups[0][name] for name in ("lr", "momentum", "foreach")}
    return optim.SGD(part.parameters(), **settings)
