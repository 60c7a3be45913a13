"""Pipeline parallelism: consecutive layers on each process, microbatches on the way through, by torch's schedules.

>>> chain = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 3), nn.Linear(3, 2))
>>> [list(dict(stage.named_parameters())) for stage in cut_chain(chain, 2)]
[['0.weight', '0.bias', '2.weight', '2.bias'], ['3.weight', '3.bias']]
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe, ScheduleInterleaved1F1B

from chipwise.core.errors import InputError, NetworkError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from weakref import ref

    from torch.distributed.device_mesh import DeviceMesh

# Name: stages on each process.
SCHEDULES = {"gpipe": 1, "1f1b": 1, "interleaved": 2}


def check_schedule(schedule: str, processes: int, microbatches: int) -> None:
    """Refuse a schedule that is not known, or that the number of microbatches does not fit.

    Raises:
        UnknownNameError, InputError.
    """
    if schedule not in SCHEDULES:
        raise unknown_name("pipeline schedule", schedule, SCHEDULES)
    if schedule == "interleaved" and microbatches % processes:
        raise InputError(
            f"{microbatches} microbatches do not go round {processes} processes",
            hint=f"interleaved takes a multiple of {processes}",
        )
    if schedule == "1f1b" and microbatches < processes:
        raise InputError(
            f"{microbatches} microbatches for {processes} stages", hint=f"1f1b takes {processes} or more, gpipe any"
        )


def stages_of(schedule: str, processes: int) -> int:
    """Stages that a network is cut into."""
    return SCHEDULES[schedule] * processes


def cut_chain(module: nn.Module, stages: int) -> list[nn.Module]:
    """Cut a Sequential into stages of consecutive layers; parameters keep their names.

    Layers without weights stay with the one before them. Stages hold the same number of layers with weights, or one
    more, the earlier ones.

    Args:
        module: an nn.Sequential, whose layers are shared with the stages.
        stages: how many.

    Raises:
        NetworkError: it is no chain, or has fewer layers with weights than stages.
    """
    if type(module).forward is not nn.Sequential.forward:
        raise NetworkError(
            f"pp cuts a chain of layers, and the network is a {type(module).__name__}, not a torch.nn.Sequential",
            hint="dp, fsdp and tp take other networks",
        )
    groups: list[list[tuple[str, nn.Module]]] = []
    for name, layer in module.named_children():
        weighs = any(True for _ in layer.parameters())
        begins = weighs and any(True for _, before in (groups or [[]])[-1] for _ in before.parameters())
        if not groups or begins:
            groups.append([])
        groups[-1].append((name, layer))
    if len(groups) < stages:
        raise NetworkError(
            f"the network has {len(groups)} layers with weights, too few for {stages} stages",
            hint=f"{len(groups)} stages at most; interleaved takes two a process",
        )
    share, more = divmod(len(groups), stages)
    ends = [stage * share + min(stage, more) for stage in range(stages + 1)]
    return [
        nn.Sequential(OrderedDict(pair for group in groups[first:last] for pair in group))
        for first, last in pairwise(ends)
    ]


def own_stages(index: int, processes: int, stages: int) -> list[int]:
    """Which stages a process has: every so-manieth, as interleaved schedules want them."""
    return list(range(index, stages, processes))


def boundaries(stages: Sequence[nn.Module], example: Tensor) -> list[Tensor]:
    """What goes into each stage and out of the last, for one microbatch: zeros of those shapes and types.

    All but the first ask for gradients: where the examples do not, torch sends none back.
    """
    found = [example]
    for stage in stages:
        still = copy.deepcopy(stage).eval()  # batch-norms must not learn from it
        with torch.no_grad():
            found.append(torch.zeros_like(still(found[-1])).requires_grad_())
    return found


def make_schedule(
    parts: Sequence[tuple[int, nn.Module]],
    between: Sequence[Tensor],
    grid: DeviceMesh,
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    schedule: str,
    microbatches: int,
) -> Any:
    """Build torch's schedule over this process's stages.

    Args:
        parts: number and module of each stage, wrapped as it runs.
        between: as `boundaries` gives it.
        grid: the pipeline's dimension of the mesh.
        loss: mean over a microbatch.
        schedule: one of `SCHEDULES`.
        microbatches: pieces of the share of a batch that a pipeline gets.
    """
    stages = [
        PipelineStage(
            part,
            number,
            len(between) - 1,
            torch.device("cpu"),
            input_args=between[number],
            output_args=between[number + 1],
            group=grid.get_group(),
        )
        for number, part in parts
    ]
    if schedule == "interleaved":
        return ScheduleInterleaved1F1B(stages, microbatches, loss_fn=loss)  # type: ignore[arg-type]
    made = ScheduleGPipe if schedule == "gpipe" else Schedule1F1B
    return made(stages[0], microbatches, loss_fn=loss)


def passed_on(module: nn.Module, number: int, between: Sequence[Tensor], grid: DeviceMesh, inputs: Tensor) -> Any:
    """What the last stage gives for some samples, there, and None on the others; nothing is learned.

    Args:
        module: this process's stage, the only one.
        number: of it.
        between: as `boundaries` gives it.
        grid: the pipeline's dimension of the mesh.
        inputs: of the network, as many on all processes.
    """
    group, value = grid.get_group(), inputs
    if number:
        like = between[number]
        value = like.new_empty((len(inputs), *like.shape[1:]), requires_grad=False)
        dist.recv(value, dist.get_global_rank(group, number - 1), group)
    made = module(value)
    if number == len(between) - 2:
        return made
    dist.send(made.contiguous(), dist.get_global_rank(group, number + 1), group)
    return None


def stages_wrong(held: Sequence[str], wanted: Sequence[str], others: Mapping[str, ref[nn.Parameter]]) -> list[str]:
    """What a process holds that is not of its stages, and what of them it lacks.

    Args:
        held: names of the parameters that it trains.
        wanted: names of those of its stages, before they were wrapped.
        others: those of the other stages, which should be gone from memory.
    """
    extra, lacking = sorted(set(held) - set(wanted)), sorted(set(wanted) - set(held))
    alive = sorted(name for name, value in others.items() if value() is not None)
    found = [f"pp: holds {', '.join(extra)} of other stages"] if extra else []
    found += [f"pp: lacks {', '.join(lacking)}"] if lacking else []
    return found + ([f"pp: still has {', '.join(alive)} of other stages in memory"] if alive else [])
