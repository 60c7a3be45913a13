"""A stretch of training in this process, compared step by step with the weights of the one process that lie on disk."""

from __future__ import annotations

import math
import sys
from contextlib import nullcontext
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file
from torch import Tensor, optim
from torch.distributed.checkpoint.state_dict import get_model_state_dict
from torch.distributed.tensor import DTensor
from torch.nn import functional

from chipwise.training.parallel.checkpoint import load_checkpoint, save_checkpoint
from chipwise.training.parallel.grid import make_grid, place_of, share_of
from chipwise.training.parallel.held import Held, bytes_of
from chipwise.training.parallel.job import DATA, INITIAL, RankAnswer, StepAnswer, reference_file
from chipwise.training.parallel.likeness import compared, made_repeatable
from chipwise.training.parallel.mesh import parse_mesh
from chipwise.training.parallel.strategy import Method, Strategy, build_strategy, names_of
from chipwise.training.parallel.traffic import Listening

if TYPE_CHECKING:
    from chipwise.training.parallel.job import Job, Leg


def run_leg(job: Job, leg: Leg, rank: int) -> RankAnswer:
    """Train one leg, and say how it went.

    Args:
        job: what all legs share.
        leg: which batches, on which mesh; where that has several processes, each calls this.
        rank: of this process.
    """
    broken: Any = resolve_name(leg.twist)() if leg.twist else nullcontext()
    with broken:
        return _run(job, leg, rank)


def _run(job: Job, leg: Leg, rank: int) -> RankAnswer:
    folder, mesh = Path(job.folder), parse_mesh(leg.mesh)
    grid = make_grid(mesh) if mesh.sizes else None
    module = made_repeatable(resolve_name(job.factory)(**job.arguments))[0]
    module.load_state_dict(load_file(folder / INITIAL))
    whole, everything = bytes_of(module.parameters()), tuple(name for name, _ in module.named_parameters())
    share = share_of(mesh, grid)
    data = load_file(folder / DATA)
    inputs, labels = (data[name].chunk(mesh.shares, dim=1)[share] for name in ("inputs", "labels"))
    rates = {"lr": job.learning_rate, "momentum": job.momentum, "foreach": False}
    method = Method(
        lambda given, wanted: (functional.cross_entropy(given, wanted),) * 2,
        optim.SGD,
        lambda part: ([*part.parameters()], rates),
        schedule=leg.schedule,
        microbatches=leg.microbatches,
    )
    strategy = build_strategy(module, mesh, method, grid, inputs[0])
    del module  # a stage of a pipeline is all that its process is to have
    if leg.load:
        load_checkpoint(strategy, folder / leg.load, grid)
    loaded = _difference(strategy, job, leg.first)[0]
    held = Held(strategy)
    steps, traffic = [], Listening()
    for step in range(leg.first, leg.first + leg.steps):
        for optimizer in strategy.optimizers:
            optimizer.zero_grad(set_to_none=True)
        with traffic if step == leg.first else nullcontext():
            loss = strategy.learn(inputs[step], labels[step])
            for optimizer in strategy.optimizers:
                optimizer.step()
        steps.append(StepAnswer(None if loss is None else _written(loss.item()), *_difference(strategy, job, step + 1)))
    if leg.save:
        save_checkpoint(strategy, folder / leg.save, grid)
    return RankAnswer(
        rank,
        place_of(mesh, grid),
        share,
        loaded,
        tuple(steps),
        *held.now(),
        whole,
        tuple(names_of(strategy.parts)),
        everything,
        traffic.heard,
        strategy.running,
        tuple(strategy.check()),
    )


def _difference(strategy: Strategy, job: Job, step: int) -> tuple[float, str]:
    """The largest difference from the one process's weights after so many steps, and where it is."""
    wanted = load_file(Path(job.folder) / reference_file(step))
    worst = (0.0, "")
    for part in strategy.parts:
        state = get_model_state_dict(part)
        for name in compared(state, running_statistics=job.running_statistics):
            value = state[name]
            assert isinstance(value, Tensor)
            found = _apart(value.full_tensor() if isinstance(value, DTensor) else value, wanted[name])
            if not found <= worst[0]:  # NaN is worse than anything
                worst = (found, name)
    return _written(worst[0]), worst[1]


def _written(value: float) -> float:
    """The value itself; the largest there is for what is not finite, which JSON does not know."""
    return value if math.isfinite(value) else sys.float_info.max


def _apart(found: Tensor, wanted: Tensor) -> float:
    if found.shape != wanted.shape:
        return float("inf")
    return (found.detach().double() - wanted.double()).abs().max().item() if wanted.numel() else 0.0
