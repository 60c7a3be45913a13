"""What if: one network on so many devices, whether it fits, how long a step takes, and what it costs.

All numbers of a device are those of `estimate`; what several devices add to them comes from `chipwise.cost`.

>>> answer = what_if("resnet50", on="dgx-a100", batch=64, precision="amp")
>>> answer.count, answer.batch, answer.fits
(8, 512, True)
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from chipwise.api.estimating import estimate, loaded_network
from chipwise.api.targets import Target, check_asked, target, workload_on
from chipwise.core.errors import InputError
from chipwise.core.formats import ROW_BYTES
from chipwise.core.what_if import ChoiceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chipwise.api.given import NetworkLike
    from chipwise.core.device import Device, Link, System
    from chipwise.core.estimate import Estimate, Interval, MemoryUse, Workload
    from chipwise.core.estimation import Estimation, Forecast
    from chipwise.core.layer import Layer
    from chipwise.core.network import Network
    from chipwise.core.what_if import Money, Roof, ScalePoint, WhatIf
    from chipwise.cost.staged import Stages
    from chipwise.cost.together import Sharing

USUAL_DEVICE = "GeForce RTX 4090"
MOST_DEVICES, MOST_ITEMS = 4096, 2**24
_LEAST_SHOWN = 8  # devices that the curve goes to, at least
_PICTURE_RANK = 4


@dataclass(frozen=True, slots=True)
class _Asked:
    """What was asked for, once it was found to go together: `micro` items go through at a time."""

    network: Network
    on: Target
    count: int
    micro: int
    rows: tuple[Layer, ...]
    sharing: Sharing
    pipeline: bool = False


def what_if(
    network: NetworkLike,
    *,
    on: str | Device | System | Target = USUAL_DEVICE,
    count: int | None = None,
    link: str | None = None,
    phase: str = "training",
    batch: int = 32,
    micro_batches: int = 1,
    zero: int = 0,
    pipeline: bool = False,
    precision: str | None = None,
    compiled: bool = False,
    techniques: Sequence[str] = (),
) -> WhatIf:
    """Tell what so many devices do with a network: memory, time, energy and money of a step, and how that scales.

    Args:
        network: as `estimate` takes it.
        on: a device or a system, as there.
        count: of devices; None for one, or for those of the system.
        link: between them, by its name in the catalogue; None for the system's, or the fastest that the device has.
        phase: "inference" or "training".
        batch: items of a step, of each device.
        micro_batches: that these are cut into; gradients add up over them.
        zero: stage of ZeRO, 0 to 3: what the devices share out of what each of them would keep.
        pipeline: the devices are stages that micro-batches go through, instead of copies; a step has as many of them
            for each stage.
        precision: as of `estimate`, and so are compiled and techniques.
        compiled: likewise.
        techniques: likewise.

    Raises:
        ChoiceError: what was chosen cannot be, or not with the rest. InputError, MissingExtraError: as of `estimate`.
    """
    from chipwise.cost.together import Sharing

    with chosen("network"):
        loaded = loaded_network(network)
    _check_counts(count=count, batch=batch, micro_batches=micro_batches)
    check_chosen(phase, precision, techniques)
    on = _devices(on, count, link)
    settings: dict[str, Any] = {"phase": phase, "compiled": compiled, "precision": precision}
    settings["techniques"] = tuple(techniques)
    asked = _asked(
        loaded, on, batch, Sharing(micro_batches, zero), phase=_workload(on, settings).phase, pipeline=pipeline
    )
    with chosen("precision"):
        estimation = estimate(loaded, on=[on], batch=asked.micro, **settings)
    return _answer(asked, estimation.forecasts[0], estimation)


def _answer(asked: _Asked, forecast: Forecast, estimation: Estimation) -> WhatIf:
    from chipwise.core.what_if import WhatIf

    expected, system = forecast.estimate, asked.on.system
    step_s = _step(asked, expected)
    memory, held = _memory(asked, expected)
    items = asked.count * asked.sharing.micro_batches * expected.workload.batch
    fits = expected.fits
    if held is not expected.memory_bytes and forecast.capacity_bytes and held is not None and held.mid is not None:
        fits = held.mid <= forecast.capacity_bytes
    return WhatIf(
        estimation=estimation,
        item=_item(asked.network),
        count=asked.count,
        link=system.link.name if system and system.link and expected.workload.phase == "training" else "",
        micro_batches=asked.sharing.micro_batches,
        zero=asked.sharing.zero,
        pipeline=asked.pipeline,
        batch=items,
        step_s=step_s,
        items_s=step_s.rate(items),
        energy_j=_energy(asked, forecast, step_s),
        money=_money(asked, step_s, items),
        memory=memory,
        memory_bytes=held,
        capacity_bytes=forecast.capacity_bytes,
        fits=fits,
        roofs=_roofs(asked.on.device, expected.workload.precision),
        bandwidth_bytes_s=asked.on.device.bandwidth_bytes_s,
        scaling=_scaling(asked, expected),
        notes=_notes(asked, forecast, estimation.notes),
    )


def _memory(asked: _Asked, expected: Estimate) -> tuple[MemoryUse, Interval | None]:
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


def check_chosen(phase: str, precision: str | None, techniques: Sequence[str]) -> None:
    """Refuse what no device can run.

    Raises:
        ChoiceError: the phase, the number format or a technique is not known, or they do not go together.
    """
    with chosen("phase"):
        check_asked(phase, None, ())
    with chosen("techniques"):
        check_asked(phase, None, techniques)
    with chosen("precision"):
        check_asked(phase, precision, techniques)


def _workload(on: Target, settings: dict[str, Any]) -> Workload:
    """The workload on a device, of one item.

    Raises:
        ChoiceError: the device, or its number format, cannot be.
    """
    with chosen("on"):
        workload_on(on, batch=1, runtime="", **settings | {"precision": None})
    with chosen("precision"):
        return workload_on(on, batch=1, runtime="", **settings)[0]


def _asked(network: Network, on: Target, batch: int, sharing: Sharing, *, phase: str, pipeline: bool) -> _Asked:
    """Put together what goes together.

    Raises:
        ChoiceError: something does not.
    """
    from chipwise.cost.sharding import STAGES
    from chipwise.networks.layers import fixed_batch, layer_rows

    count, times, zero = on.system.count if on.system else 1, sharing.micro_batches, sharing.zero
    if batch % times:
        hint = "choose a divisor of the batch"
        raise ChoiceError("micro_batches", f"a batch of {batch} cannot be cut into {times} equal parts", hint=hint)
    if zero not in STAGES:
        raise ChoiceError("zero", f"there is no stage {zero} of ZeRO", hint="stages are 0 to 3")
    names = {"zero": (zero, "ZeRO"), "micro_batches": (times > 1, "accumulation"), "pipeline": (pipeline, "a pipeline")}
    for name, (chosen_too, what) in names.items():
        if chosen_too and phase == "inference":
            raise ChoiceError(name, f"{what} is a matter of training here")
        if chosen_too and count == 1 and name != "micro_batches":
            raise ChoiceError(name, "one device has nobody to share with", hint="choose two devices or more")
    if zero and pipeline:
        raise ChoiceError("zero", "stages of a pipeline have nothing alike to share out", hint="choose one of them")
    micro, fixed = batch // times, fixed_batch(network)
    if fixed not in (None, micro):
        raise ChoiceError("batch", f"the network has a fixed batch of {fixed}, not {micro}", hint=f"choose {fixed}")
    return _Asked(network, on, count, micro, layer_rows(network, micro), sharing, pipeline)


def _check_counts(**counts: int | None) -> None:
    for name, value in counts.items():
        most = MOST_DEVICES if name == "count" else MOST_ITEMS
        if value is not None and not 1 <= value <= most:
            raise ChoiceError(name, f"{name} is {value}", hint=f"from 1 to {most}")


def _devices(on: str | Device | System | Target, count: int | None, link: str | None) -> Target:
    """The device, in a system of as many as were asked for; alone where that is one."""
    from chipwise.core.device import System

    with chosen("on"):
        found = target(on)
    given = found.system
    count = count or (given.count if given else 1)
    if count == 1:
        return replace(found, system=None)
    if given is not None:  # that an estimate is of one of them
        found = replace(found, notes=tuple(note for note in found.notes if not note.startswith(given.name)))
    joined = _link(found, link)
    if given is not None and (count, joined) == (given.count, given.link):
        return found
    return replace(found, system=System(f"{count} x {found.device.name}", found.device, count=count, link=joined))


def _link(found: Target, name: str | None) -> Link | None:
    """What joins several: what was named, the system's, the fastest between two devices, or the way over their host."""
    from chipwise.devices import known

    if name:
        with chosen("link"):
            return known.link(name)
    if found.system is not None and found.system.link is not None:
        return found.system.link
    names = found.device.links or ((found.device.host_link,) if found.device.host_link else ())
    return max(map(known.link, names), key=lambda each: each.bandwidth_bytes_s, default=None)


def _step(asked: _Asked, expected: Estimate) -> Interval:
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


def _point(asked: _Asked, expected: Estimate, count: int) -> tuple[ScalePoint, Interval] | None:
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


def _stages(asked: _Asked, expected: Estimate, count: int) -> Stages | None:
    """A pipeline of so many devices, through which as many micro-batches go for each of them."""
    from chipwise.cost.staged import stages_of

    assert asked.on.system is not None, "one device is no pipeline"
    return stages_of(
        expected.workload, expected.time_s, expected.rows, asked.rows, replace(asked.on.system, count=count),
        micro_batches=count * asked.sharing.micro_batches,
    )  # fmt: skip


def _scaling(asked: _Asked, expected: Estimate) -> tuple[ScalePoint, ...]:
    """Powers of two up to twice what was asked for, and that itself; a pipeline ends where layers do."""
    if asked.on.system is None:  # one device: as if there were more, where something joins them
        asked = replace(asked, on=_joined(asked.on))
    most = max(2 * asked.count, _LEAST_SHOWN)
    found = []
    for count in sorted({2**power for power in range(most.bit_length())} | {asked.count}):
        try:
            point = _point(asked, expected, count)
        except InputError:
            break
        found += [point[0]] if point is not None and count <= most else []
    return tuple(found)


def _joined(on: Target) -> Target:
    from chipwise.core.device import System

    return replace(on, system=System(on.device.name, on.device, count=1, link=_link(on, None)))


def _energy(asked: _Asked, forecast: Forecast, step_s: Interval) -> Interval | None:
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


def _money(asked: _Asked, step_s: Interval, items: int) -> tuple[Money, ...]:
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


def _roofs(device: Device, precision: str) -> tuple[Roof, ...]:
    from chipwise.core.what_if import Roof
    from chipwise.views.layer_dots import roofs

    return tuple(Roof(each.name, each.flops_s) for each in roofs(device, precision))


def _notes(asked: _Asked, forecast: Forecast, said: Sequence[str]) -> tuple[str, ...]:
    """What several devices and the roof add to the notes of one, then those."""
    from chipwise.views.layer_dots import above_roof, dots, roofs

    expected, device = forecast.estimate, asked.on.device
    roof = above_roof(dots(expected), roofs(device, expected.workload.precision), device.bandwidth_bytes_s)
    added = [roof] if roof else []
    system = asked.on.system
    if system is not None and system.link is not None and expected.workload.phase == "training":
        added.append(f"the curve takes every number of devices to be joined as these are: by {system.link.name}")
        added.append("while devices wait for each other they are charged with the power they have while they compute")
    if asked.pipeline:
        added.append("of a pipeline nothing is counted that goes around layers across the border of two stages")
    if asked.sharing.micro_batches > 1:
        added.append("each micro-batch is charged with a whole step, the optimizer's part of it too")
    return tuple(dict.fromkeys([*added, *said, *expected.notes]))


def _item(network: Network) -> str:
    """What one is called: pictures are images."""
    first = network.inputs[0].shape if network.inputs else ()
    return "image" if len(first) == _PICTURE_RANK else "item"


@contextmanager
def chosen(name: str) -> Iterator[None]:
    """Say of which choice an error speaks."""
    try:
        yield
    except ChoiceError:
        raise
    except InputError as error:
        raise ChoiceError(name, error.message, hint=error.hint) from error
