"""What all devices of a system do as stages of a pipeline: each has a part of the layers, and micro-batches go through.

Stages are cut so that the slowest is quickest (`chipwise.cost.mesh_step`), and run 1F1B: as many micro-batches are on
their way in a stage as there are stages from it on (Narayanan et al., SC 2021, section 2.2.1). What a stage hands on is
the result of its last layer; what goes around layers (a residual) across a border is not counted. The interval is that
of one device, and of what links reach of their stated bandwidth; hosts and stragglers are not in it.

>>> from chipwise.core.device import Device, Link
>>> from chipwise.core.estimate import EstimateRow
>>> box = System("Box", Device("Chip", "gpu"), 2, Link("wire", 100e9))
>>> layers = [Layer(name, "Gemm", (), (), flops=1, write_bytes=4000) for name in "abcd"]
>>> rows = [EstimateRow(each.name, 0.01, "compute") for each in layers]
>>> found = stages_of(Workload("training", 8), Interval(0.03, 0.04, 0.05), rows, layers, box, micro_batches=2)
>>> found.together.batch, round(found.together.efficiency.mid, 2), found.bounds
(16, 0.67, ((0, 2), (2, 4)))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from chipwise.core.device import Device, System
from chipwise.core.errors import InputError
from chipwise.core.estimate import EstimateRow, Interval, MemoryUse, Workload
from chipwise.core.estimation import Together
from chipwise.core.layer import Layer
from chipwise.cost.memory import memory_interval, memory_of
from chipwise.cost.mesh_step import Layout, MeshStep, Part, Wires, cut, mesh_step
from chipwise.cost.parallel import Wire
from chipwise.cost.step_memory import kept_scale
from chipwise.cost.together import wires_of

_BACKWARD_SHARE = 2 / 3
# Parts that layers are gathered into before they are cut: finer ones would make no stage quicker by a per cent.
_PARTS = 128

Bounds = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Stages:
    """A pipeline: what it does, and [first, last) of the layers of each stage."""

    together: Together
    bounds: Bounds


def stages_of(
    workload: Workload,
    alone_s: Interval,
    rows: Sequence[EstimateRow],
    layers: Sequence[Layer],
    system: System,
    *,
    micro_batches: int,
) -> Stages | None:
    """Train with a stage of the network on each device of a system.

    Args:
        workload: training, of one micro-batch.
        alone_s: of a micro-batch on one device.
        rows: time of each layer.
        layers: rows of the network at that batch.
        system: of several devices.
        micro_batches: in a step.

    Returns:
        None where the link between its devices is not known, or nothing is known of one device's step.

    Raises:
        InputError: there are more devices than layers that take time.
    """
    if system.link is None or alone_s.mid is None or system.count < 2:
        return None
    places = gathered(rows, layers)
    if len(places) < system.count:
        raise InputError(f"{len(places)} parts of a network cannot be {system.count} stages", hint="fewer devices")
    bounds = cut([share for _, _, share in places], system.count)
    scale = kept_scale(workload)

    def step(time_s: float, wire: Wire) -> MeshStep:
        parts = [_part(share * time_s, scale * layers[last - 1].write_bytes) for _, last, share in places]
        layout = Layout(stages=system.count, micro_batches=micro_batches)
        return mesh_step(parts, layout, Wires(stages=wire), bounds)

    wires = wires_of(system.link)
    ends = zip((alone_s.low, alone_s.mid, alone_s.high), wires, strict=True)
    steps = [None if bound is None else step(bound, wire).step_s for bound, wire in ends]
    best, middle, worst = (step(alone_s.mid, wire) for wire in wires)
    ideal_s = micro_batches * alone_s.mid / system.count
    return Stages(
        Together(
            system.name, system.count, system.link.name, micro_batches * workload.batch, Interval(*steps),
            Interval(*(ideal_s / each.step_s for each in (worst, middle, best))),
            communication=Interval(*(each.communication_share for each in (best, middle, worst))),
        ),
        tuple((places[first][0], places[last - 1][1]) for first, last in bounds),
    )  # fmt: skip


def stage_memory(
    layers: Sequence[Layer], device: Device, workload: Workload, bounds: Bounds, micro_batches: int
) -> tuple[MemoryUse, Interval]:
    """What the fullest stage keeps, and its total as an interval.

    Args:
        layers: rows of the network at the batch of a micro-batch.
        device: of every stage.
        workload: training; gradients add up over micro-batches.
        bounds: [first, last) of the layers of each stage.
        micro_batches: in a step.
    """
    adding = replace(workload, techniques=(*workload.techniques, "accumulation"))
    found = []
    for place, (first, last) in enumerate(bounds):
        own = layers[first:last]
        use = memory_of(own, device, adding)
        held = memory_interval(own, device, adding, use)
        waiting = (min(len(bounds) - place, micro_batches) - 1) * use.saved
        found.append((replace(use, saved=use.saved + waiting), _more(held, waiting)))
    return max(found, key=lambda each: each[1].mid or 0.0)


def _more(held: Interval, size: int) -> Interval:
    low, mid, high = (None if bound is None else bound + size for bound in (held.low, held.mid, held.high))
    return Interval(low, mid, high, held.coverage)


def gathered(rows: Sequence[EstimateRow], layers: Sequence[Layer]) -> list[tuple[int, int, float]]:
    """Layers in a row, as [first, last) and their share of the time; no more than needed for one part in 128 of it."""
    times = {row.name: row.time_s for row in rows}
    total = sum(times.get(layer.name, 0.0) for layer in layers) or 1.0
    found: list[tuple[int, int, float]] = []
    first, share = 0, 0.0
    for place, layer in enumerate(layers, 1):
        share += times.get(layer.name, 0.0) / total
        if share >= 1 / _PARTS:
            found.append((first, place, share))
            first, share = place, 0.0
    if first < len(layers):  # what is left belongs to the last part
        start, _, before = found.pop() if found else (0, 0, 0.0)
        found.append((start, len(layers), before + share))
    return found


def _part(time_s: float, handed_bytes: float) -> Part:
    return Part(time_s * (1 - _BACKWARD_SHARE), time_s * _BACKWARD_SHARE, handed_bytes=handed_bytes)
