"""What several devices add to the estimate of one: their step, how that scales, and what each keeps and costs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from chipwise.api.choosing import chosen, joined
from chipwise.core.errors import InputError
from chipwise.core.formats import ROW_BYTES
from chipwise.core.what_if import ChoiceError

if TYPE_CHECKING:
    from chipwise.api.targets import Target
    from chipwise.core.estimate import Estimate, Interval, MemoryUse
    from chipwise.core.estimation import Forecast
    from chipwise.core.layer import Layer
    from chipwise.core.network import Network
    from chipwise.core.what_if import Money, ScalePoint
    from chipwise.cost.staged import Stages
    from chipwise.cost.together import Sharing

_LEAST_SHOWN = 8  # devices that the curve goes to, at least


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for, once it was found to go together: `micro` items go through at a time."""

    network: Network
    on: Target
    count: int
    micro: int
    rows: tuple[Layer, ...]
    sharing: Sharing
    pipeline: bool = False


def step_of(asked: Asked, expected: Estimate) -> Interval:
    """Seconds of a step of all devices.

    Raises:
        ChoiceError: nothing can be told of several.
    """
    with chosen("count"):
        found = _point(asked, expected, asked.count)
    if found is not None:
        return found[1]
    name = asked.on.device.name
    if expected.time_s.mid is None:
        raise ChoiceError("count", f"only a floor is known of one {name}, and so nothing of several", hint="choose 1")
    raise ChoiceError("link", f"no link between several {name} is known", hint="choose one")


def scaling_of(asked: Asked, expected: Estimate) -> tuple[ScalePoint, ...]:
    """Powers of two up to twice what was asked for, and that itself; a pipeline ends where layers do."""
    if asked.on.system is None:  # one device: as if there were more, where something joins them
        asked = replace(asked, on=joined(asked.on))
    most = max(2 * asked.count, _LEAST_SHOWN)
    found = []
    for count in sorted({2**power for power in range(most.bit_length())} | {asked.count}):
        try:
            point = _point(asked, expected, count)
        except InputError:
            break
        found += [point[0]] if point is not None and count <= most else []
    return tuple(found)


def memory_of_each(asked: Asked, expected: Estimate) -> tuple[MemoryUse, Interval | None]:
    """What one device keeps: the fullest stage of a pipeline, or a copy with what it does not share out."""
    from chipwise.cost.memory import memory_interval
    from chipwise.cost.sharding import sharded
    from chipwise.cost.staged import stage_memory

    workload, held = expected.workload, expected.memory_bytes
    if asked.pipeline:
        stages = _stages(asked, expected, asked.count)
        assert stages is not None, "its step is known by now"
        times = asked.count * asked.sharing.micro_batches
        return stage_memory(asked.rows, asked.on.device, workload, stages.bounds, times)
    if asked.sharing.micro_batches > 1:  # gradients stay from one to the next
        adding = replace(workload, techniques=(*workload.techniques, "accumulation"))
        held = memory_interval(asked.rows, asked.on.device, adding, expected.memory)
    largest = ROW_BYTES * max((row.parameters for row in asked.rows), default=0)
    return sharded(expected.memory, held, stage=asked.sharing.zero, count=asked.count, largest=largest)


def energy_of_all(asked: Asked, forecast: Forecast, step_s: Interval) -> Interval | None:
    """Joules of all devices, each at the power that it has by itself, over the time of the step."""
    from chipwise.core.estimate import Interval

    alone, energy = forecast.estimate.time_s, forecast.estimate.energy_j
    if energy is None:
        return None

    def longer(joules: float | None, alone_s: float | None, together_s: float | None) -> float | None:
        if joules is None or not alone_s or together_s is None:
            return None
        return asked.count * joules * together_s / alone_s

    return Interval(
        longer(energy.low, alone.low, step_s.low), longer(energy.mid, alone.mid, step_s.mid),
        longer(energy.high, alone.high, step_s.high), energy.coverage,
    )  # fmt: skip


def money_of_all(asked: Asked, step_s: Interval, items: int) -> tuple[Money, ...]:
    """Each way to have the devices: a system at its own price where it is sold as one, else so many devices."""
    from chipwise.core.what_if import Money
    from chipwise.cost.money import by_way, price_basis, price_of

    device, system = asked.on.device, asked.on.system
    found = []
    for way in ("rent", "buy"):
        sold, times = by_way(device, way), asked.count
        if system is not None and by_way(replace(device, prices=system.prices), way).prices:
            whole = replace(device, name=system.name, prices=system.prices, power_w=system.power_w or device.power_w)
            sold, times = by_way(whole, way), 1
        price = price_of(sold, step_s.times(times))
        if price is not None:
            found.append(Money(way, price, price.rate(items), price_basis(sold)))
    return tuple(found)


def _point(asked: Asked, expected: Estimate, count: int) -> tuple[ScalePoint, Interval] | None:
    """So many devices, and their step; None for training on several that nothing is known to join.

    Raises:
        InputError: there are fewer layers than stages of a pipeline.
    """
    from chipwise.core.estimate import Interval
    from chipwise.core.what_if import ScalePoint
    from chipwise.cost.together import copies_of, side_by_side

    times, workload, alone_s = asked.sharing.micro_batches, expected.workload, expected.time_s
    nothing = Interval(0.0, 0.0, 0.0)
    if count == 1:
        step_s = alone_s.times(times)
        return ScalePoint(1, step_s.rate(times * workload.batch), Interval(1.0, 1.0, 1.0), nothing), step_s
    if asked.on.system is None or alone_s.mid is None:
        return None
    system = replace(asked.on.system, count=count)
    if asked.pipeline:
        stages = _stages(asked, expected, count)
        found = stages.together if stages else None
    elif workload.phase == "training":
        found = copies_of(workload, alone_s, asked.rows, system, asked.sharing)
    else:
        found = side_by_side(workload, alone_s, system)
    if found is None:
        return None
    return ScalePoint(count, found.items_s, found.efficiency, found.communication or nothing), found.step_s


def _stages(asked: Asked, expected: Estimate, count: int) -> Stages | None:
    """A pipeline of so many devices, through which as many micro-batches go for each of them."""
    from chipwise.cost.staged import stages_of

    assert asked.on.system is not None, "one device is no pipeline"
    return stages_of(
        expected.workload, expected.time_s, expected.rows, asked.rows, replace(asked.on.system, count=count),
        micro_batches=count * asked.sharing.micro_batches,
    )  # fmt: skip
