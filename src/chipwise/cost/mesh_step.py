"""What a step takes on a mesh of data, tensor and pipeline parallelism: compute, exchanges, and the bubble.

Processes of a tensor group compute a share of each layer and add up their results; stages of a pipeline hand on
micro-batches; copies add up their gradients at the end. Times of layers and wires come from the caller. The schedule is
GPipe's or 1F1B's, which take equally long; the length of a pipeline of unequal stages is that of its slowest stage,
and of the way of one micro-batch through all others.

Huang et al., "GPipe", NeurIPS 2019; Narayanan et al., "Efficient large-scale language model training on GPU clusters
using Megatron-LM", SC 2021, sections 2.2 and 2.3.

>>> part = Part(forward_s=1.0, backward_s=2.0)
>>> found = mesh_step([part] * 8, Layout(stages=4, micro_batches=8), Wires())
>>> found.step_s, found.bubble_s, found.bubble_share
(66.0, 18.0, 0.375)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from chipwise.core.errors import InputError
from chipwise.cost.parallel import Wire, ring_s

_INSTANT = Wire(float("inf"))


@dataclass(frozen=True, slots=True)
class Part:
    """A layer, or several that stay together, as one process of a tensor group computes it for one micro-batch.

    Attributes:
        forward_s, backward_s: of its passes, without exchanges; activations computed again belong to the latter.
        exchanged_bytes: what the group adds up in the forward pass; exchanges: in how many sums. The backward pass
            has as many.
        handed_bytes: of its output, which the next stage gets, and whose gradient comes back.
        gradient_bytes: of the weights that the process holds.
    """

    forward_s: float
    backward_s: float
    exchanged_bytes: float = 0.0
    exchanges: int = 1
    handed_bytes: float = 0.0
    gradient_bytes: float = 0.0


@dataclass(frozen=True, slots=True)
class Layout:
    """How the processes share a step.

    Attributes:
        copies: that learn from samples of their own; group: processes that share each layer; stages: of the pipeline.
        micro_batches: that each copy's share of the batch is cut into.
        rounds: times that a micro-batch comes by each process; more than 1 is the interleaved schedule.
        sharded: whether copies hold a part of the weights each, and fetch the rest for both passes (ZeRO-3, FSDP).
    """

    copies: int = 1
    group: int = 1
    stages: int = 1
    micro_batches: int = 1
    rounds: int = 1
    sharded: bool = False


@dataclass(frozen=True, slots=True)
class Wires:
    """Connections: within a tensor group, from stage to stage, and among copies."""

    group: Wire = field(default=_INSTANT)
    stages: Wire = field(default=_INSTANT)
    copies: Wire = field(default=_INSTANT)


@dataclass(frozen=True, slots=True)
class MeshStep:
    """A step, by what the slowest stage spends it on; seconds.

    Attributes:
        compute_s: of all its micro-batches; exchange_s: adding up within its group meanwhile.
        bubble_s: waiting for the pipeline to fill and to drain.
        handing_s: micro-batches from stage to stage.
        reduce_s: adding up the gradients of all copies, and fetching what is sharded.
    """

    compute_s: float
    exchange_s: float
    bubble_s: float
    handing_s: float
    reduce_s: float

    @property
    def step_s(self) -> float:
        """Of the whole."""
        return self.compute_s + self.exchange_s + self.bubble_s + self.handing_s + self.reduce_s

    @property
    def bubble_share(self) -> float:
        """Of the time that the slowest stage works: (p-1)/m for p equal stages and m micro-batches."""
        worked_s = self.compute_s + self.exchange_s
        return self.bubble_s / worked_s if worked_s else 0.0

    @property
    def communication_share(self) -> float:
        """Of the step."""
        talked_s = self.exchange_s + self.handing_s + self.reduce_s
        return talked_s / self.step_s if self.step_s else 0.0


def mesh_step(
    parts: Sequence[Part], layout: Layout, wires: Wires, bounds: Sequence[tuple[int, int]] | None = None
) -> MeshStep:
    """Put a step together from the parts of a network.

    Args:
        parts: in the order of the forward pass.
        layout: how processes share it.
        wires: between them.
        bounds: [first, last) of the parts of each stage; None for those whose slowest stage is quickest.

    Raises:
        InputError: fewer parts than stages times rounds, bounds of another number of stages, or a number below 1.
    """
    _check(layout, len(parts))
    costs = [_cost(part, layout, wires) for part in parts]
    bounds = cut(costs, layout.stages) if bounds is None else bounds
    if len(bounds) != layout.stages:
        raise InputError(f"bounds of {len(bounds)} stages", hint=f"{layout.stages} of them")
    stages = [parts[first:last] for first, last in bounds]
    spans = [sum(costs[first:last]) for first, last in bounds]
    slowest = max(range(layout.stages), key=spans.__getitem__)
    exchange_s = layout.micro_batches * sum(_exchange(part, layout, wires) for part in stages[slowest])
    reduce_s = max(_reduced(stage, layout, wires) for stage in stages)
    return MeshStep(
        compute_s=layout.micro_batches * spans[slowest] - exchange_s,
        exchange_s=exchange_s,
        bubble_s=(sum(spans) - spans[slowest]) / layout.rounds,
        handing_s=_handing(stages, layout, wires),
        reduce_s=reduce_s,
    )


def cut(costs: Sequence[float], stages: int) -> list[tuple[int, int]]:
    """Bounds [first, last) of each stage, so that the dearest is as cheap as can be; none is empty.

    By dynamic programming over the last cut, O(n^2 stages): costs of n parts in their order.

    Raises:
        InputError: fewer parts than stages.
    """
    count = len(costs)
    if not 1 <= stages <= count:
        raise InputError(f"{count} parts cannot be {stages} stages", hint="a stage holds one layer at least")
    before = [0.0, *accumulate(costs)]
    best = list(before)  # the dearest stage of the first n parts, with the stages so far
    cuts: list[list[int]] = []
    for stage in range(2, stages + 1):
        ends = range(stage, count + 1)
        found = {
            end: min((max(best[place], before[end] - before[place]), place) for place in range(stage - 1, end))
            for end in ends
        }
        best = [found[end][0] if end in found else float("inf") for end in range(count + 1)]
        cuts.append([found[end][1] if end in found else 0 for end in range(count + 1)])
    bounds, last = [], count
    for places in reversed(cuts):
        bounds.append((places[last], last))
        last = places[last]
    return [(0, last), *reversed(bounds)]


def _cost(part: Part, layout: Layout, wires: Wires) -> float:
    """Seconds of both passes of a micro-batch."""
    return part.forward_s + part.backward_s + _exchange(part, layout, wires)


def _exchange(part: Part, layout: Layout, wires: Wires) -> float:
    """Seconds of adding up within the group, in both passes of a micro-batch."""
    if not part.exchanged_bytes:
        return 0.0
    return 2 * part.exchanges * ring_s(part.exchanged_bytes / part.exchanges, layout.group, wires.group)


def _handing(stages: Sequence[Sequence[Part]], layout: Layout, wires: Wires) -> float:
    """Seconds of handing on, there and back: all micro-batches of a stage, and the way of one through the others."""
    if layout.stages == 1:
        return 0.0
    slowest = max(wires.stages.message_s(stage[-1].handed_bytes) for stage in stages[:-1])
    return 2 * layout.rounds * (layout.micro_batches + layout.stages - 1) * slowest


def _reduced(stage: Sequence[Part], layout: Layout, wires: Wires) -> float:
    """Seconds of adding up a stage's gradients; sharded weights are fetched for each pass, half a sum each time."""
    whole_s = ring_s(sum(part.gradient_bytes for part in stage), layout.copies, wires.copies)
    return whole_s * (1.5 if layout.sharded else 1.0)


def _check(layout: Layout, parts: int) -> None:
    for name in ("copies", "group", "stages", "micro_batches", "rounds"):
        if getattr(layout, name) < 1:
            raise InputError(f"{name} is {getattr(layout, name)}", hint="1 or more")
    if layout.stages * layout.rounds > parts:
        raise InputError(
            f"{parts} parts cannot be {layout.stages} stages in {layout.rounds} rounds",
            hint="a stage holds one layer at least",
        )
