"""What a mesh asks for, put together: how this process's part of the network is wrapped, stepped and checked.

Layers are cut first, then data parallelism wraps, then pipeline schedules call: the order of torch's own
recipes for several dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import ref

import torch
from torch import Tensor, nn, optim
from torch.nn.parallel import DistributedDataParallel

from chipwise.training.parallel.channels import (
    channel_cuts,
    channels_told,
    channels_wrong,
    cut_channels,
    whole_convolutions,
)
from chipwise.training.parallel.data_parallel import copied, copies_wrong, zero_optimizer
from chipwise.training.parallel.fully_sharded import sharded, shards_wrong
from chipwise.training.parallel.grid import WHOLE
from chipwise.training.parallel.pipeline import (
    boundaries,
    cut_chain,
    make_schedule,
    own_stages,
    passed_on,
    stages_of,
    stages_wrong,
)
from chipwise.training.parallel.spatial import AXES, Regions, regions_wrong
from chipwise.training.parallel.tensor_parallel import Pair, cut_pairs, found_wrong, linear_pairs
from chipwise.training.precision import autocast, scaler_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch.amp import GradScaler
    from torch.distributed.device_mesh import DeviceMesh

    from chipwise.training.parallel.mesh import Mesh


@dataclass(frozen=True, slots=True)
class Method:
    """How parts learn, whatever the mesh.

    Attributes:
        losses: of what the network gives and what is wanted: the mean loss that is reported, and what is made small.
        kind: of torch's optimizers.
        settings: parameters, or groups of them, of a part, and the optimizer's settings.
        schedule, microbatches: of a pipeline.
        precision: of the forward pass, as in the settings of training; scaler: of the loss, as it needs it.
    """

    losses: Callable[[Any, Tensor], tuple[Tensor, Tensor]]
    kind: type[optim.Optimizer]
    settings: Callable[[nn.Module], tuple[list[Any], dict[str, Any]]]
    schedule: str = "1f1b"
    microbatches: int = 1
    precision: str = "fp32"
    scaler: GradScaler = field(default_factory=lambda: scaler_of("fp32"))


@dataclass(frozen=True, slots=True)
class _Cut:
    """Which layers of a part are cut.

    Attributes:
        pairs: of Linear layers; channels: convolutions and what is between them, with what is done; whole: convolutions
            that are not.
    """

    pairs: list[Pair]
    channels: dict[str, str]
    whole: list[str]


@dataclass(frozen=True, slots=True)
class Strategy:
    """A process's part of parallel training.

    Attributes:
        parts: the network as it is wrapped, or this process's stages of it; names of parameters are the network's.
        optimizers: one a part.
        learn: takes this process's inputs and what is wanted of them, leaves gradients, and gives the mean loss where
            it is known here.
        score: takes this process's inputs, and gives scores where they are known here, without gradients; for parts in
            evaluation mode, a stage each.
        running: what was wrapped how, in words.
        check: gives what was asked for and does not run, after some steps.
    """

    parts: tuple[nn.Module, ...]
    optimizers: tuple[optim.Optimizer, ...]
    learn: Callable[[Tensor, Tensor], Tensor | None]
    score: Callable[[Tensor], Any]
    running: tuple[str, ...]
    check: Callable[[], list[str]]


def build_strategy(module: nn.Module, mesh: Mesh, method: Method, grid: DeviceMesh | None, inputs: Tensor) -> Strategy:
    """Wrap a network as a mesh says.

    Args:
        module: with its initial weights, the same on all processes; is changed in place.
        mesh: how processes are laid out.
        method: how it learns.
        grid: torch's mesh of all processes; None for one process.
        inputs: this process's share of a batch, for shapes.
    """
    if grid is not None and mesh.has("pp"):
        return _pipelined(module, mesh, method, grid, inputs)
    cut = _cut_of(module, mesh)
    regions = Regions(module, grid, inputs.shape[-2:]) if grid is not None and mesh.has(*AXES) else None
    part = module if grid is None else _wrapped(regions or module, mesh, grid, cut)
    seen = regions.region if regions is not None else _all_of_it
    return Strategy(
        (part,),
        (_optimizer(part, method, mesh, grid),),
        lambda given, wanted: _learn(part, seen(given), wanted, method),
        lambda given: _unwrapped(part)(seen(given)),
        _words(mesh, [cut]),
        lambda: _wrong((part,), mesh, [cut]),
    )


def _pipelined(module: nn.Module, mesh: Mesh, method: Method, grid: DeviceMesh, inputs: Tensor) -> Strategy:
    """Wrap this process's stages, and forget the others."""
    count = stages_of(method.schedule, mesh.size("pp"))
    stages = cut_chain(module, count)
    between = boundaries(stages, inputs[: len(inputs) // method.microbatches])
    own = own_stages(grid.get_local_rank("pp"), mesh.size("pp"), count)
    wanted = names_of(tuple(stages[number] for number in own))
    others = {
        name: ref(value)
        for number, stage in enumerate(stages)
        for name, value in stage.named_parameters()
        if number not in own
    }
    cuts = [_cut_of(stages[number], mesh) for number in own]
    parts = tuple(_wrapped(stages[number], mesh, grid, cut) for number, cut in zip(own, cuts, strict=True))
    schedule = make_schedule(
        list(zip(own, parts, strict=True)),
        between,
        grid["pp"],
        lambda given, wanted: method.losses(given, wanted)[1],
        schedule=method.schedule,
        microbatches=method.microbatches,
    )
    lists = ", ".join(f"stage {number} of {count}" for number in own)
    return Strategy(
        parts,
        tuple(_optimizer(part, method, mesh, grid) for part in parts),
        lambda given, labels: _pass(schedule, given, labels, first=0 in own, last=count - 1 in own),
        lambda given: passed_on(_unwrapped(parts[0]), own[0], between, grid["pp"], given),
        (*_words(mesh, cuts), f"pp: {lists}, schedule {method.schedule}"),
        lambda: _wrong(parts, mesh, cuts) + stages_wrong(names_of(parts), wanted, others),
    )


def names_of(parts: tuple[nn.Module, ...]) -> list[str]:
    """Names that a process's parameters have in the network."""
    return [name.removeprefix("module.") for part in parts for name, _ in part.named_parameters()]


def _cut_of(module: nn.Module, mesh: Mesh) -> _Cut:
    """What of the network, or a stage, is to be cut."""
    pairs = linear_pairs(module, mesh.size("tp")) if mesh.has("tp") else []
    channels = channel_cuts(module, mesh.size("oc")) if mesh.has("oc") else {}
    return _Cut(pairs, channels, whole_convolutions(module, channels))


def _wrapped(module: nn.Module, mesh: Mesh, grid: DeviceMesh, cut: _Cut) -> nn.Module:
    """Layers are cut first, data parallelism is around them."""
    if mesh.has("oc"):
        module = cut_channels(module, cut.channels, grid["oc"])
    if mesh.has("tp"):
        module = cut_pairs(module, cut.pairs, grid["tp"])
    if mesh.has(*AXES):
        return copied(module)
    names = _fsdp_names(mesh)
    if names:
        return sharded(module, grid[names], reshard=not mesh.has("zero2"))
    if mesh.has("dp", "zero1"):
        return copied(module, grid["dp" if mesh.has("dp") else "zero1"])
    return module


def _fsdp_names(mesh: Mesh) -> tuple[str, ...]:
    """Dimensions that FSDP2 takes: copies, and parts; empty where it has none."""
    parts = tuple(name for name in ("zero2", "fsdp") if mesh.has(name))
    copies = ("dp",) if mesh.has("dp") else ()
    if parts:
        return copies + parts
    return (*copies, WHOLE) if copies and mesh.has("oc", "tp") else ()


def _optimizer(part: nn.Module, method: Method, mesh: Mesh, grid: DeviceMesh | None) -> optim.Optimizer:
    parameters, settings = method.settings(part)
    if grid is not None and mesh.has("zero1"):
        return zero_optimizer(parameters, grid["zero1"], method.kind, **settings)
    return method.kind(parameters, **settings)


def _all_of_it(inputs: Tensor) -> Tensor:
    return inputs


def _unwrapped(part: nn.Module) -> nn.Module:
    """What is called where nothing is learned: DistributedDataParallel would only talk."""
    return part.module if isinstance(part, DistributedDataParallel) else part


def _learn(module: nn.Module, inputs: Tensor, wanted: Tensor, method: Method) -> Tensor:
    with autocast(method.precision):
        given = module(inputs)
    loss, whole = method.losses(given, wanted)
    method.scaler.scale(whole).backward()  # type: ignore[no-untyped-call]
    return loss.detach()


def _pass(schedule: Any, inputs: Tensor, labels: Tensor, *, first: bool, last: bool) -> Tensor | None:
    """One step of a pipeline; its last stage knows the loss."""
    losses: list[Tensor] = []
    given = (inputs,) if first else ()
    schedule.step(*given, target=labels if last else None, losses=losses if last else None)
    return torch.stack(losses).mean().detach() if last else None


def _bands(mesh: Mesh) -> list[str]:
    return [name for name in AXES if mesh.has(name)]


def _wrong(parts: tuple[nn.Module, ...], mesh: Mesh, cuts: list[_Cut]) -> list[str]:
    """What was asked for and does not run."""
    found: list[str] = []
    names = _fsdp_names(mesh)
    for part, cut in zip(parts, cuts, strict=True):
        if mesh.has(*AXES):
            found += regions_wrong(part, mesh.processes)
        elif names:
            found += shards_wrong(part, names)
        elif mesh.has("dp", "zero1"):
            found += copies_wrong(part, mesh.shares)
        if mesh.has("tp"):
            found += found_wrong(part, cut.pairs, "tp")
        if mesh.has("oc"):
            found += channels_wrong(part, cut.channels, mesh.size("oc"))
    return found


def _words(mesh: Mesh, cuts: list[_Cut]) -> tuple[str, ...]:
    """What runs, a line a strategy."""
    names = _fsdp_names(mesh)
    found = []
    if mesh.has(*AXES):
        tiles = " x ".join(
            f"{mesh.size(name)} bands of {'rows' if name == 'sph' else 'columns'}" for name in _bands(mesh)
        )
        found.append(f"sp: {tiles}; DistributedDataParallel over {mesh.processes} processes")
    elif names and WHOLE in names:
        found.append(f"dp: FSDP2 over {mesh.size('dp')} copies of one part, which takes layers that are cut")
    elif names:
        kept = "whole between forward and backward" if mesh.has("zero2") else "whole only while they are used"
        copies = f"{mesh.size('dp')} copies of " if mesh.has("dp") else ""
        found.append(f"{names[-1]}: FSDP2, {copies}{mesh.size(names[-1])} parts; weights are {kept}")
    elif mesh.has("dp", "zero1"):
        found.append(f"{'dp' if mesh.has('dp') else 'zero1'}: DistributedDataParallel over {mesh.shares} processes")
    if mesh.has("zero1"):
        found.append("zero1: ZeroRedundancyOptimizer")
    if mesh.has("oc"):
        found += [f"oc: {channels_told(cut.channels, cut.whole)}" for cut in cuts]
    if mesh.has("tp"):
        here = [pair for cut in cuts for pair in cut.pairs]
        told = "; ".join(f"{first} by columns, {second} by rows" for first, second in here) or "nothing to cut here"
        found.append(f"tp: {told}")
    return tuple(found)
