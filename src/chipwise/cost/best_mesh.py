"""Which mesh of copies, tensor groups and pipeline stages trains quickest on all devices of a system: a search.

All meshes are tried whose three numbers multiply to the devices, with every micro-batch that halves the one before;
copies by themselves in the stages of ZeRO, too. A tensor group cuts products with weights (Shoeybi et al.,
"Megatron-LM", 2019) where they are half of the work. Times are those of `chipwise.cost.together` for copies, of
`chipwise.cost.mesh_step` for what is cut; memory is that of the fullest device, of which a group shares out weights,
gradients and the optimizer's state, and no activations.

>>> sorted(shapes(4, tensor=True))
[(1, 1, 4), (1, 2, 2), (1, 4, 1), (2, 1, 2), (2, 2, 1), (4, 1, 1)]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from chipwise.core.device import Device, System
from chipwise.core.estimate import Estimate, Interval
from chipwise.core.estimation import MeshForecast
from chipwise.core.formats import ROW_BYTES
from chipwise.core.layer import Layer
from chipwise.cost.memory import memory_of
from chipwise.cost.mesh_step import Layout, MeshStep, Part, Wires, cut, mesh_step
from chipwise.cost.parallel import GRADIENT_BYTES
from chipwise.cost.sharding import STAGES, sharded
from chipwise.cost.staged import gathered, stage_memory
from chipwise.cost.step_memory import kept_scale
from chipwise.cost.together import LOST, Sharing, copies_of, wires_of

# From this share of the FLOPs in products with weights on, cutting those is worth a look.
TENSOR_SHARE = 0.5
_WEIGHTED = frozenset({"Gemm", "MatMul"})
_FORWARD = 1 / 3  # of a step
_COPIES = ("dp", "zero1", "zero2", "fsdp")  # by what copies share out

Made = Callable[[int], tuple[Sequence[Layer], Estimate]]


def meshes_of(made: Made, system: System, device: Device, batch: int) -> tuple[MeshForecast, ...]:
    """Every mesh with its quickest micro-batch that fits, the quickest mesh first, those that do not fit last.

    Args:
        made: layer rows and the estimate of one device's training step, for so many items at a time.
        system: of two devices or more.
        device: each of them.
        batch: items of a step of all devices.

    Returns:
        nothing where no link between the devices is known, or only a floor of one device's time.
    """
    largest = math.ceil(batch / system.count)
    rows, alone = made(largest)
    if system.link is None or alone.time_s.mid is None or system.count < 2:
        return ()
    found = []
    for copies, group, stages in shapes(system.count, tensor=weighted_share(rows) >= TENSOR_SHARE):
        share = math.ceil(batch / copies)
        for kind in STAGES if group == stages == 1 else STAGES[:1]:
            layout = Layout(copies, group, stages)
            tried = list(_tried(made, system, device, layout, kind, share=share, largest=largest))
            if tried:
                found.append(min(tried, key=_place))
    return tuple(sorted(found, key=_place))


def shapes(count: int, *, tensor: bool) -> Iterator[tuple[int, int, int]]:
    """Copies, devices of a tensor group and stages, that multiply to the count."""
    for copies in _divisors(count):
        for group in _divisors(count // copies) if tensor else [1]:
            yield copies, group, count // copies // group


def halves(share: int) -> Iterator[int]:
    """It, half of it, and so on, to 1."""
    while share >= 1:
        yield share
        share //= 2


def weighted_share(rows: Sequence[Layer]) -> float:
    """Share of all FLOPs in products with weights, which a tensor group can cut."""
    return sum(row.flops for row in rows if _is_cut(row)) / max(1, sum(row.flops for row in rows))


def parts_of(layers: Sequence[Layer], alone: Estimate, whole_s: float, group: int) -> list[Part]:
    """Layers with their share of a step's time; every second product of a tensor group ends in a sum.

    Args:
        layers: rows of the network at a micro-batch.
        alone: of one device, whose layers' times tell the shares.
        whole_s: of both passes on one device.
        group: devices that each layer is cut among.
    """
    times = {row.name: row.time_s for row in alone.rows}
    started = {row.name for row in alone.rows if row.bound == "launch"}
    total = sum(times.get(layer.name, 0.0) for layer in layers) or 1.0
    scale = kept_scale(alone.workload)
    parts, products = [], 0
    for layer in layers:
        seconds = whole_s * times.get(layer.name, 0.0) / total
        seconds /= 1 if layer.name in started else group  # a part takes as long to start as the whole
        products += _is_cut(layer)
        summed = group > 1 and _is_cut(layer) and products % 2 == 0
        parts.append(
            Part(
                seconds * _FORWARD,
                seconds * (1 - _FORWARD),
                exchanged_bytes=scale * layer.write_bytes if summed else 0.0,
                handed_bytes=scale * layer.write_bytes,
                gradient_bytes=layer.parameters * GRADIENT_BYTES / group,
            )
        )
    return parts


def _is_cut(row: Layer) -> bool:
    return row.op in _WEIGHTED and row.parameters > 0


def _divisors(count: int) -> list[int]:
    return [each for each in range(1, count + 1) if count % each == 0]


def _place(found: MeshForecast) -> tuple[bool, float]:
    """Quickest first of those that fit, then what is nearest to fitting."""
    full = found.fits is False
    return full, found.memory_bytes if full else found.step_s.mid or math.inf


def _tried(
    made: Made, system: System, device: Device, layout: Layout, zero: int, *, share: int, largest: int
) -> Iterator[MeshForecast]:
    """One mesh with each micro-batch; copies need no smaller one than the first that fits."""
    for micro in halves(min(share, largest)):
        layers, alone = made(micro)
        parts = math.ceil(share / micro)
        if len(layers) < layout.stages:
            return
        way = replace(layout, micro_batches=parts)
        plain = layout.group == layout.stages == 1
        found = _copied(system, device, way, zero, layers, alone) if plain else _cut(system, device, way, layers, alone)
        if found is None:
            continue
        step_s, communication, held = found
        fits = None if device.memory_bytes is None else held <= device.memory_bytes
        name = f"{_COPIES[zero]}{layout.copies}" if plain else _name(layout)
        yield MeshForecast(name, system.count, layout.copies * share, parts, micro, step_s, communication, held, fits)
        if plain and fits is not False:
            return


def _name(layout: Layout) -> str:
    """As `--mesh` takes it."""
    axes = (("dp", layout.copies), ("tp", layout.group), ("pp", layout.stages))
    return ",".join(f"{axis}{size}" for axis, size in axes if size > 1)


def _copied(  # noqa: PLR0917 (where, how, and what)
    system: System, device: Device, layout: Layout, zero: int, layers: Sequence[Layer], alone: Estimate
) -> tuple[Interval, float | None, int] | None:
    """The step of copies, the share of it that is talking, and what each keeps."""
    found = copies_of(alone.workload, alone.time_s, layers, system, Sharing(layout.micro_batches, zero))
    if found is None:
        return None
    use = alone.memory
    if layout.micro_batches > 1:  # gradients stay from one to the next
        adding = replace(alone.workload, techniques=(*alone.workload.techniques, "accumulation"))
        use = memory_of(layers, device, adding)
    largest = ROW_BYTES * max(layer.parameters for layer in layers)
    kept, _ = sharded(use, None, stage=zero, count=layout.copies, largest=largest)
    return found.step_s, found.communication.mid if found.communication else None, kept.device_bytes


def _cut(
    system: System, device: Device, layout: Layout, layers: Sequence[Layer], alone: Estimate
) -> tuple[Interval, float | None, int] | None:
    """The step of devices that hold a network together, the share of it that is talking, and what the fullest keeps."""
    assert system.link is not None
    places = gathered(alone.rows, layers)
    if len(places) < layout.stages:
        return None
    bounds = cut([share for _, _, share in places], layout.stages)
    ends: list[MeshStep | None] = []
    times = (alone.time_s.low, alone.time_s.mid, alone.time_s.high)
    for seconds, lost, wire in zip(times, LOST, wires_of(system.link), strict=True):
        whole_s = (seconds or 0.0) * (1 + lost * math.log2(system.count))
        fine = parts_of(layers, alone, whole_s, layout.group)
        parts = [_merged(fine[first:last]) for first, last, _ in places]
        ends.append(None if seconds is None else mesh_step(parts, layout, Wires(wire, wire, wire), bounds))
    low, mid, high = ends
    assert mid is not None, "a floor alone is turned away before"
    step_s = Interval(None if low is None else low.step_s, mid.step_s, None if high is None else high.step_s)
    stages = tuple((places[first][0], places[last - 1][1]) for first, last in bounds)
    use, _ = stage_memory(layers, device, alone.workload, stages, layout.micro_batches)
    shared = use.weights + use.gradients + use.optimizer + use.copies
    return step_s, mid.communication_share, use.device_bytes - round(shared * (1 - 1 / layout.group))


def _merged(parts: Sequence[Part]) -> Part:
    """Layers in a row as one part."""
    summed = sum(part.exchanged_bytes > 0 for part in parts)
    return Part(
        sum(part.forward_s for part in parts),
        sum(part.backward_s for part in parts),
        sum(part.exchanged_bytes for part in parts),
        max(summed, 1),
        parts[-1].handed_bytes,
        sum(part.gradient_bytes for part in parts),
    )
