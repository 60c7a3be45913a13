"""What if: one network on so many devices, whether it fits, how long a step takes, and what it costs.

All numbers of a device are those of `estimate`; what several devices add to them comes from `chipwise.cost`.

>>> answer = what_if("resnet50", on="dgx-a100", batch=64, precision="amp")
>>> answer.count, answer.batch, answer.fits
(8, 512, True)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chipwise.api.choosing import check_chosen, check_counts, chosen, devices_of
from chipwise.api.estimating import estimate, loaded_network
from chipwise.api.several import Asked, energy_of_all, memory_of_each, money_of_all, scaling_of, step_of
from chipwise.api.targets import Target, workload_on
from chipwise.core.what_if import ChoiceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.api.given import NetworkLike
    from chipwise.core.device import Device, System
    from chipwise.core.estimate import Workload
    from chipwise.core.estimation import Estimation, Forecast
    from chipwise.core.network import Network
    from chipwise.core.what_if import Roof, WhatIf
    from chipwise.cost.together import Sharing

USUAL_DEVICE = "GeForce RTX 4090"
_PICTURE_RANK = 4


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
    check_counts(count=count, batch=batch, micro_batches=micro_batches)
    check_chosen(phase, precision, techniques)
    on = devices_of(on, count, link)
    settings: dict[str, Any] = {"phase": phase, "compiled": compiled, "precision": precision}
    settings["techniques"] = tuple(techniques)
    asked = _asked(
        loaded, on, batch, Sharing(micro_batches, zero), phase=_workload(on, settings).phase, pipeline=pipeline
    )
    with chosen("precision"):
        estimation = estimate(loaded, on=[on], batch=asked.micro, **settings)
    return _answer(asked, estimation.forecasts[0], estimation)


def _answer(asked: Asked, forecast: Forecast, estimation: Estimation) -> WhatIf:
    from chipwise.core.what_if import WhatIf

    expected, system = forecast.estimate, asked.on.system
    step_s = step_of(asked, expected)
    memory, held = memory_of_each(asked, expected)
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
        energy_j=energy_of_all(asked, forecast, step_s),
        money=money_of_all(asked, step_s, items),
        memory=memory,
        memory_bytes=held,
        capacity_bytes=forecast.capacity_bytes,
        fits=fits,
        roofs=_roofs(asked.on.device, expected.workload.precision),
        bandwidth_bytes_s=asked.on.device.bandwidth_bytes_s,
        scaling=scaling_of(asked, expected),
        notes=_notes(asked, forecast, estimation.notes),
    )


def _workload(on: Target, settings: dict[str, Any]) -> Workload:
    """The workload on a device, of one item.

    Raises:
        ChoiceError: the device, or its number format, cannot be.
    """
    with chosen("on"):
        workload_on(on, batch=1, runtime="", **settings | {"precision": None})
    with chosen("precision"):
        return workload_on(on, batch=1, runtime="", **settings)[0]


def _asked(network: Network, on: Target, batch: int, sharing: Sharing, *, phase: str, pipeline: bool) -> Asked:
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
    return Asked(network, on, count, micro, layer_rows(network, micro), sharing, pipeline)


def _roofs(device: Device, precision: str) -> tuple[Roof, ...]:
    from chipwise.core.what_if import Roof
    from chipwise.views.layer_dots import roofs

    return tuple(Roof(each.name, each.flops_s) for each in roofs(device, precision))


def _notes(asked: Asked, forecast: Forecast, said: Sequence[str]) -> tuple[str, ...]:
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
