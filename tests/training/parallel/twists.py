"""Parallel training that is broken on purpose, one way each: a proof that does not see it proves nothing.

Every function gives a context manager that a process enters around its leg (`Leg.twist`).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed._functional_collectives import all_gather_tensor_autograd
from torch.distributed.fsdp import FSDPModule
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.parallel import RowwiseParallel
from torch.nn import functional

from chipwise.core.errors import MachineError
from chipwise.training.parallel import (
    channels,
    checkpoint,
    fully_sharded,
    halo,
    leg,
    norms,
    pipeline,
    spatial,
    step,
    strategy,
)


def _local(value: Tensor) -> Tensor:
    return value.to_local() if isinstance(value, DTensor) else value


def gradients_not_averaged() -> Any:
    """DDP without its all-reduce."""

    def learn(module: nn.Module, inputs: Tensor, labels: Tensor, method: Any) -> Tensor:
        with module.no_sync():
            loss = functional.cross_entropy(module(inputs), labels)
            loss.backward()
        return loss.detach()

    return patch.object(strategy, "_learn", learn)


def same_samples() -> Any:
    """Every process learns the first share of the batch."""
    return patch.object(leg, "share_of", lambda mesh, grid: 0)


def not_wrapped() -> Any:
    """Data parallelism is asked for, and the module trains alone."""
    return patch.object(strategy, "copied", lambda module, grid: module)


def another_seed() -> Any:
    """One process begins with other weights."""
    wrap = strategy._wrapped

    def wrapped(module: nn.Module, *rest: Any) -> nn.Module:
        if dist.get_rank() == 1:
            for value in module.parameters():
                value.data.add_(0.01)
        return wrap(module, *rest)

    return patch.object(strategy, "_wrapped", wrapped)


def never_sharded() -> Any:
    """FSDP is asked for, and fully_shard does nothing."""
    return patch.object(fully_sharded, "fully_shard", lambda module, **_: module)


def not_reduced() -> Any:
    """FSDP that keeps its gradients for itself."""
    cut = strategy.sharded

    def sharded(module: nn.Module, grid: Any, *, reshard: bool) -> nn.Module:
        made = cut(module, grid, reshard=reshard)
        assert isinstance(made, FSDPModule)
        made.set_requires_gradient_sync(False)
        return made

    return patch.object(strategy, "sharded", sharded)


def kept_whole() -> Any:
    """ZeRO-2 in the place of ZeRO-3: every number is right, and memory is not saved."""
    return patch.object(strategy, "sharded", partial(_other_reshard, strategy.sharded))


def _other_reshard(cut: Any, module: nn.Module, grid: Any, *, reshard: bool) -> nn.Module:
    return cut(module, grid, reshard=not reshard)


def plain_optimizer() -> Any:
    """ZeRO-1 is asked for, and every process keeps all momentum: every number is right."""
    return patch.object(strategy, "zero_optimizer", lambda values, grid, kind, **rest: kind(values, **rest))


def weights_not_sent() -> Any:
    """ZeRO-1 whose processes do not tell each other the weights that they updated."""
    return patch.object(ZeroRedundancyOptimizer, "_sync_params", lambda self: None)


def sum_left_out() -> Any:
    """The second layer of a pair gives its part of the sum."""

    def part(layouts: Any, local: Any, module: Any, outputs: Any, mesh: Any) -> Any:
        return outputs.to_local()

    return patch.object(RowwiseParallel, "_prepare_output_fn", staticmethod(part))


def nothing_cut() -> Any:
    """Tensor parallelism is asked for, and all layers stay whole: every number is right."""
    return patch.object(strategy, "cut_pairs", lambda module, pairs, grid: module)


def microbatch_dropped() -> Any:
    """The last microbatch teaches nothing."""
    return patch.object(pipeline, "Schedule1F1B", partial(_forgetful, pipeline.Schedule1F1B))


def _forgetful(make: Any, stage: Any, microbatches: int, loss_fn: Any) -> Any:
    seen = 0

    def loss(scores: Tensor, labels: Tensor) -> Tensor:
        nonlocal seen
        seen += 1
        found: Tensor = loss_fn(scores, labels)
        return found if seen % microbatches else found - found + found.detach()

    return make(stage, microbatches, loss_fn=loss)


def microbatches_summed() -> Any:
    """Gradients of microbatches are summed, not averaged."""
    return patch.object(pipeline, "Schedule1F1B", partial(pipeline.Schedule1F1B, scale_grads=False))


def stages_kept() -> Any:
    """Every process keeps the whole network in memory, and runs its stages: every number is right."""
    kept: list[Any] = []
    measure = strategy.boundaries

    def measured(stages: Any, example: Tensor) -> Any:
        kept.extend(stages)
        return measure(stages, example)

    return patch.object(strategy, "boundaries", measured)


def stage_frozen() -> Any:
    """A process forgets to train a layer of its stage."""
    wrap = strategy._wrapped

    def wrapped(module: nn.Module, *rest: Any) -> nn.Module:
        made = wrap(module, *rest)
        layer = next(layer for layer in made if any(True for _ in layer.parameters()))
        for name, value in list(layer.named_parameters()):
            delattr(layer, name)
            setattr(layer, name, value.detach())
        return made

    return patch.object(strategy, "_wrapped", wrapped)


def halo_left_out() -> Any:
    """What neighbours have counts as padding."""

    def own(value: Tensor, dim: int, have: Any, want: Any, group: Any) -> Tensor:
        made = halo.exchange(value, dim, have, want, group)
        rank = dist.get_rank(group)
        first, end = max(have[rank][0], want[rank][0]), min(have[rank][1], want[rank][1])
        mask = torch.zeros_like(made)
        mask.narrow(dim, first - want[rank][0], end - first).fill_(1.0)
        return made * mask

    return patch.object(spatial, "exchange", own)


def halo_learns_nothing() -> Any:
    """Gradients of rows that came from neighbours are not sent back: the forward pass is right."""

    def own(value: Tensor, dim: int, have: Any, want: Any, group: Any) -> Tensor:
        made = halo.exchange(value.detach(), dim, have, want, group)
        rank = dist.get_rank(group)
        first, end = max(have[rank][0], want[rank][0]), min(have[rank][1], want[rank][1])
        place = [0, 0] * (made.ndim - 1 - dim) + [first - want[rank][0], want[rank][1] - end]
        mine = value.narrow(dim, first - have[rank][0], end - first)
        return made + functional.pad(mine - mine.detach(), place)

    return patch.object(spatial, "exchange", own)


def statistics_apart() -> Any:
    """Batch-norms see the region of their process alone."""
    return patch.object(norms, "total", lambda value, group: value * group.size())


def gathered_backwards() -> Any:
    """Shares of channels are put together the last one first."""
    gather = channels.gathered

    def turned(value: Tensor, grid: Any) -> Tensor:
        return torch.cat(gather(value, grid).chunk(grid.size(), dim=1)[::-1], dim=1)

    return patch.object(channels, "gathered", turned)


def gathered_gradients_added() -> Any:
    """Every process's gradient of the channels is added up, though all have the same: what torch's all-gather does."""

    def added(value: Tensor, grid: Any) -> Tensor:
        return all_gather_tensor_autograd(value.contiguous(), 1, grid)

    return patch.object(channels, "gathered", added)


def inputs_learn_apart() -> Any:
    """Layers in front learn from this process's channels alone: the forward pass is right."""

    def own(value: Tensor, grid: Any, groups: int) -> Tensor:
        return value.chunk(grid.size(), dim=1)[grid.get_local_rank()] if groups > 1 else value

    return patch.object(channels, "taken", own)


def channels_not_added() -> Any:
    """The second convolution of a pair gives its part of the sum."""
    return patch.object(channels, "added_up", lambda value, grid: value)


def channels_whole() -> Any:
    """Channels are to be cut, and all layers stay whole: every number is right."""
    return patch.object(strategy, "cut_channels", lambda module, cuts, grid: module)


@contextmanager
def stale_shard() -> Iterator[None]:
    """One process keeps the shards that it had before the checkpoint was read."""
    load = checkpoint.load_checkpoint

    def stale(made: Any, *rest: Any) -> None:
        before = [[_local(value.data).clone() for value in part.parameters()] for part in made.parts]
        load(made, *rest)
        if dist.get_rank() == 1:
            for part, kept in zip(made.parts, before, strict=True):
                for value, old in zip(part.parameters(), kept, strict=True):
                    _local(value.data).copy_(old)

    with patch.object(leg, "load_checkpoint", stale):
        yield


def momentum_lost() -> Any:
    """A checkpoint is read without the optimizer's state."""
    load = checkpoint.load_checkpoint

    def forgetful(made: Any, *rest: Any) -> None:
        load(made, *rest)
        for optimizer in made.optimizers:
            optimizer.state.clear()

    return patch.object(leg, "load_checkpoint", forgetful)


def not_a_number() -> Any:
    """A weight becomes NaN, which compares with nothing."""
    cut = strategy._wrapped

    def wrapped(module: nn.Module, *rest: Any) -> nn.Module:
        next(module.parameters()).data[0] = torch.nan
        return cut(module, *rest)

    return patch.object(strategy, "_wrapped", wrapped)


@contextmanager
def killed() -> Iterator[None]:
    """One process is killed in the middle."""
    if dist.get_rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    yield


@contextmanager
def raising() -> Iterator[None]:
    """One process raises."""
    if dist.get_rank() == 1:
        raise ValueError("twisted")
    yield


STEPS = 9  # an epoch of `runs`


def _at_step(number: int, act: Any) -> Any:
    """Do something in front of a step of training, counted over all epochs from 1, in the processes started first."""
    learn, seen = step.Learner.__call__, 0

    def counted(self: Any, lesson: Any, *rest: Any) -> float:
        nonlocal seen
        seen += 1
        if seen == number and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
            act()
        return learn(self, lesson, *rest)

    return patch.object(step.Learner, "__call__", counted)


def _kill_one() -> None:
    if dist.get_rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)


def _kill_parent() -> None:
    if dist.get_rank() == 1:
        os.kill(int(os.environ["TEST_PARENT"]), signal.SIGKILL)
        time.sleep(60)


def _stop() -> None:
    raise MachineError("stopped")


def dies_once() -> Any:
    """A process is killed in the third epoch, and not again."""
    return _at_step(2 * STEPS + 4, _kill_one)


def all_killed() -> Any:
    """The process that started all is killed in the third epoch."""
    return _at_step(2 * STEPS + 4, _kill_parent)


def stops() -> Any:
    """Training ends in its third epoch, with an error that is meant."""
    return _at_step(2 * STEPS + 1, _stop)
