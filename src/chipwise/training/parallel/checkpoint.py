"""Distributed checkpoints: torch.distributed.checkpoint writes what each process holds, and cuts it anew on reading.

Names are the network's, so that any mesh reads what any other wrote, one process alone included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch.distributed.checkpoint as dcp
from torch import optim
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.optim import ZeroRedundancyOptimizer

from chipwise.training.parallel.data_parallel import gathered

if TYPE_CHECKING:
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
    dcp.save(state, checkpoint_id=folder, no_dist=grid is None)


def load_checkpoint(strategy: Strategy, folder: Path, grid: DeviceMesh | None) -> None:
    """Read weights and momentum into freshly built parts; all processes together."""
    parts = list(zip(strategy.parts, strategy.optimizers, strict=True))
    plain = [_fresh(part, optimizer) for part, optimizer in parts]
    models = [get_model_state_dict(part) for part, _ in parts]
    optimizers = [
        get_optimizer_state_dict(part, twin, options=_FLAT) for (part, _), twin in zip(parts, plain, strict=True)
    ]
    state: dict[str, Any] = {"model": {}, "optimizer": {}}
    for model, optimizer in zip(models, optimizers, strict=True):
        state["model"] |= model
        state["optimizer"] |= optimizer
    dcp.load(state, checkpoint_id=folder, no_dist=grid is None)
    for (part, optimizer), twin, model, told in zip(parts, plain, models, optimizers, strict=True):
        set_model_state_dict(part, {name: state["model"][name] for name in model})
        set_optimizer_state_dict(part, twin, {name: state["optimizer"][name] for name in told}, options=_PARTLY)
        if twin is not optimizer:
            optimizer.load_state_dict(twin.state_dict())


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
