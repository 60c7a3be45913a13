"""Estimate: what a network should take on any device, how sure that is, and how the prediction did where it was run.

>>> answer = estimate("resnet50", on="rtx4090", batch=(1, 8))
>>> [each.estimate.workload.batch for each in answer.forecasts]
[1, 8]
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chipwise.api.notebook import drawn
from chipwise.api.pictures import check_picture
from chipwise.api.targets import HERE, Target, profiled, target, workload_on
from chipwise.core.errors import InputError
from chipwise.core.events import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.api.given import NetworkLike
    from chipwise.core.device import Device, System
    from chipwise.core.estimate import Estimate, Workload
    from chipwise.core.estimation import Estimation, Forecast, Knee, Together
    from chipwise.core.layer import Layer
    from chipwise.core.network import Network

    On = str | Device | System | Target

SWEEP = "sweep"
_SWEPT = tuple(2**power for power in range(9))
_KNEE = 0.9  # of the best throughput: the rest costs latency and memory for little
_KNEE_BATCHES = 3  # of fewer one of the two that were given would be called the knee
_PICTURES = (".svg", ".png", ".html")


@drawn
def estimate(
    network: NetworkLike,
    *,
    on: On | Sequence[On] | None = None,
    phase: str = "inference",
    batch: int | Sequence[int] | str = 1,
    precision: str | None = None,
    compiled: bool = False,
    runtime: str = "",
    techniques: Sequence[str] = (),
    layers: bool = False,
    roofline: str | Path | None = None,
    data_size: int | None = None,
    epochs: int = 1,
    catalogue: str | Path | None = None,
    profile: str | Path | None = None,
    measure: bool = False,
    budget_s: float = 20.0,
    example_input: Any = None,
    input_shape: tuple[int, ...] | None = None,
    weights: str | Path | None = None,
    progress: Progress = silent,
) -> Estimation:
    """Tell how long a network takes on devices, what bounds it, and what it needs of memory, energy and money.

    Args:
        network: a zoo name, a model file, a trained folder, "package.module:callable", or a live `nn.Module`.
        on: devices and systems by name, "here" for this machine, or devices of your own; None is here, or the machine
            of `profile`.
        phase: "inference" or "training" (one step); "infer" and "train" will do.
        batch: items per step: one, several, or "sweep" for powers of two as far as the memory goes.
        precision: number format, or "amp"; None takes fp32, or what the device has instead.
        compiled: run by what fuses layers, rather than layer by layer.
        runtime: software: "torch", "onnxruntime", "openvino"; "" for what is usual on the device.
        techniques: "channels_last"; in training "checkpointing", and the optimizer ("adamw", "adam", "sgd", "momentum",
            "plain-sgd").
        layers: print every layer, too; they are in the answer in any case.
        roofline: an .svg, .png or .html file to draw every layer under the device's roof into.
        data_size: items of the data, to say what an epoch costs.
        epochs: passes over the data.
        catalogue: a TOML file of yours, or a folder of them, with more devices.
        profile: what `doctor --measure` wrote on any machine: the estimate is for that machine.
        measure: run it on this machine, too, and score the prediction.
        budget_s: wall time for measuring.
        example_input: for a live module, one input (with its batch dimension).
        input_shape: for a factory that does not say its own, without the batch dimension.
        weights: a file of trained weights, for what does not hold its own.
        progress: told what is measured.

    Raises:
        UnknownNameError: no such network, device, phase or number format. NetworkError: it cannot be read or built.
        InputError: a batch below 1, a number format that the device has no known peak for, what does not go together,
            or a catalogue that cannot be read. MissingExtraError: a network that needs torch, without it.
    """
    picture = None if roofline is None else check_picture(Path(roofline), "a roofline", _PICTURES)
    _check_epochs(data_size, epochs)
    _check_catalogue(catalogue, profile)
    sizes = _sizes(batch)
    names = list(on) if isinstance(on, (list, tuple)) else [] if on is None else [on]
    targets = (
        _targets(names, catalogue) if profile is None else [profiled(Path(profile), each) for each in names or [None]]
    )
    settings: dict[str, Any] = {"phase": phase, "precision": precision, "compiled": compiled, "runtime": runtime}
    settings["techniques"] = tuple(techniques)
    if measure:
        _check_measurable(targets, settings)
    found = loaded_network(network, example_input, input_shape, weights)
    forecasts, notes = _forecasts(found, targets, sizes, settings)
    notes += _prices(targets, forecasts)
    if measure:
        forecasts = _measured(found, forecasts, budget_s, progress)
    forecasts = [_with_epochs(each, data_size, epochs) for each in forecasts]
    record = replace(_record(found, forecasts, notes), layered=layers, data_size=data_size, epochs=epochs)
    return record if picture is None else _draw(record, targets[0].device, picture)


def _record(network: Network, forecasts: Sequence[Forecast], notes: Sequence[str]) -> Estimation:
    from chipwise.core.estimation import Estimation
    from chipwise.networks.layers import fixed_batch, layer_rows

    items = fixed_batch(network) or 1
    rows = layer_rows(network, items)
    return Estimation(
        network=network.name,
        origin=network.origin,
        parameters=sum(row.parameters for row in rows),
        flops=sum(row.flops for row in rows) // items,
        forecasts=tuple(forecasts),
        knees=_knees(forecasts),
        notes=tuple(dict.fromkeys(notes)),
    )


def _check_epochs(data_size: int | None, epochs: int) -> None:
    if data_size is not None and data_size < 1:
        raise InputError(f"the data has {data_size} items; at least 1 is wanted")
    if epochs < 1 or (epochs > 1 and data_size is None):
        raise InputError(f"{epochs} epochs of data of unknown size", hint="give data_size=N (--data-size N) too")


def _check_catalogue(catalogue: str | Path | None, profile: str | Path | None) -> None:
    """Refuse one that cannot be read even where no device is looked up in it."""
    if catalogue is None:
        return
    if profile is not None:
        raise InputError(
            "a profile names its own machine: no device is looked up in the catalogue", hint="leave one of them out"
        )
    from chipwise.devices import known

    known.devices(Path(catalogue))


def _targets(names: Sequence[Any], catalogue: str | Path | None) -> list[Target]:
    """Each device once, in the order given; a system whose devices are another's already is told of."""
    extra = None if catalogue is None else Path(catalogue)
    found: dict[str, Target] = {}
    for each in (target(name, extra) for name in names or [HERE]):
        first = found.setdefault(each.device.name, each)
        if each.system is not None and each.system != first.system:
            before = first.system.name if first.system is not None else first.device.name
            said = f"{each.system.name} has the devices of {before}, which stands for it: ask for it by itself"
            found[each.device.name] = replace(first, notes=(*first.notes, said))
    return list(found.values())


def _sizes(batch: int | Sequence[int] | str) -> tuple[int, ...]:
    """Batches in ascending order; empty for a sweep."""
    if isinstance(batch, str):
        if batch != SWEEP:
            raise InputError(f"cannot read {batch!r} as batches", hint="as 1,8,32, or sweep")
        return ()
    sizes = (batch,) if isinstance(batch, int) else tuple(batch)
    if not sizes:
        raise InputError("no batch was given", hint="as 1,8,32, or sweep")
    for size in sizes:
        if size < 1:
            raise InputError(f"batch is {size}; at least 1 is wanted")
    return tuple(sorted(set(sizes)))


def _fixed(sizes: tuple[int, ...], fixed: int) -> tuple[int, ...]:
    """The only batch that a graph takes, in the place of a sweep or of the usual 1; others are refused with it."""
    return (fixed,) if sizes in ((), (1,)) else sizes


def loaded_network(
    network: NetworkLike,
    example_input: Any = None,
    input_shape: tuple[int, ...] | None = None,
    weights: str | Path | None = None,
) -> Network:
    """The network; one of the zoo without what reads files, and so in a blink."""
    if isinstance(network, str) and input_shape is None and weights is None:
        from chipwise.networks.zoo.named import named

        found = named(network)
        if found is not None:
            return found
    from chipwise.api.given import network_from

    return network_from(network, example_input, input_shape=input_shape, weights=weights)


def _forecasts(
    network: Network, targets: Sequence[Target], sizes: tuple[int, ...], settings: dict[str, Any]
) -> tuple[list[Forecast], list[str]]:
    """One forecast a device and batch, and what to know; a sweep ends where the memory does."""
    from chipwise.networks.layers import fixed_batch, layer_rows

    rows: dict[int, tuple[Layer, ...]] = {}
    made: list[Forecast] = []
    notes: list[str] = []
    fixed = fixed_batch(network)
    if fixed is not None:
        sizes = _fixed(sizes, fixed)
        notes += [f"the network has a fixed batch of {fixed}"] if fixed > 1 else []
    for each in targets:
        notes += each.notes
        for size in sizes or _SWEPT:
            workload, said = workload_on(each, batch=size, **settings)
            notes += said
            if size not in rows:
                rows[size] = layer_rows(network, size)
            forecast = forecast_on(rows[size], each, workload)
            if len(sizes) == 1 and fixed is None:
                forecast = _with_meshes(forecast, network, each)
            if not sizes and size > 1 and forecast.estimate.fits is False:
                notes.append(f"the sweep on {each.device.name} ends where batch {size} no longer fits into its memory")
                break
            made.append(forecast)
    return made, notes


def _prices(targets: Sequence[Target], forecasts: Sequence[Forecast]) -> list[str]:
    """What the money of each device is made of, where some is told."""
    from chipwise.cost.money import price_basis

    priced = {each.estimate.device for each in forecasts if each.estimate.price_usd is not None}
    return [price_basis(each.device) for each in targets if each.device.name in priced]


def forecast_on(rows: Sequence[Layer], on: Target, workload: Workload) -> Forecast:
    """One device and one batch, of the layers' rows at that batch."""
    from chipwise.core.estimation import Cost, Forecast

    expected = estimate_on(rows, on, workload)
    if expected.fits is None and on.device.memory_bytes is not None:
        expected = replace(expected, fits=expected.memory.device_bytes <= on.device.memory_bytes)
    cost = Cost(expected.time_s, expected.energy_j, expected.price_usd)
    thousand = cost.times(1000 / workload.batch)
    return Forecast(expected, on.device.memory_bytes, thousand, together=_together(rows, on, expected))


def _with_meshes(forecast: Forecast, network: Network, on: Target) -> Forecast:
    """The forecast with all meshes of the system that it trains on; without where there is none."""
    from chipwise.networks.layers import layer_rows

    workload = forecast.estimate.workload
    if on.system is None or workload.phase != "training":
        return forecast
    from chipwise.cost.best_mesh import meshes_of

    @cache
    def made(micro: int) -> tuple[Sequence[Layer], Estimate]:
        rows = layer_rows(network, micro)
        return rows, estimate_on(rows, on, replace(workload, batch=micro))

    found = meshes_of(made, on.system, on.device, workload.batch * on.system.count)
    return replace(forecast, meshes=found)


def _together(rows: Sequence[Layer], on: Target, alone: Estimate) -> Together | None:
    """What the whole system does, where the device is one of several."""
    if on.system is None or alone.fits is False:
        return None
    from chipwise.cost.together import copies_of, side_by_side

    if alone.workload.phase == "training":
        return copies_of(alone.workload, alone.time_s, rows, on.system)
    return side_by_side(alone.workload, alone.time_s, on.system)


def estimate_on(rows: Sequence[Layer], on: Target, workload: Workload) -> Estimate:
    """By the kernels measured on the machine where there are some, else by the nearest profile, else the floor."""
    from chipwise.cost.estimate import estimate as estimated
    from chipwise.devices.profiles import profile_for

    if on.here and on.measured is None:  # quick peaks are no data sheet's: profiles are not made for them
        return estimated(rows, on.device, workload)
    notes: tuple[str, ...] = ()
    if on.measured is not None:
        from chipwise.cost.measured_estimate import estimate_measured

        expected = estimate_measured(rows, on.measured, workload)
        if expected is not None:
            return expected
        what = "training" if workload.phase == "training" else f"{workload.runtime or 'torch'} {workload.precision}"
        notes = (f"{what} was not measured on {on.device.name}",)
    profile, said = profile_for(on.device, workload)
    expected = estimated(rows, on.device, workload, profile, notes=notes)
    if profile is None and expected.time_s.mid is not None:  # a model of its own: profiles have no say in it
        return expected
    return replace(expected, notes=(*said, *expected.notes))


def _with_epochs(forecast: Forecast, data_size: int | None, epochs: int) -> Forecast:
    """What passes over the data cost; the last, smaller batch of a pass counts as a whole one."""
    from chipwise.core.estimation import Cost

    if data_size is None:
        return forecast
    expected = forecast.estimate
    steps = -(-data_size // expected.workload.batch)
    epoch = Cost(expected.time_s, expected.energy_j, expected.price_usd).times(steps)
    together = forecast.together
    if together is not None:
        pass_s = together.step_s.times(-(-data_size // together.batch))
        together = replace(together, epoch_s=pass_s, training_s=pass_s.times(epochs) if epochs > 1 else None)
    return replace(forecast, epoch=epoch, training=epoch.times(epochs) if epochs > 1 else None, together=together)


def _knees(forecasts: Sequence[Forecast]) -> tuple[Knee, ...]:
    """Of each device with three batches or more, the smallest that reaches most of the best throughput that fits."""
    from chipwise.core.estimation import Knee

    knees = []
    for device in dict.fromkeys(each.estimate.device for each in forecasts):
        own = [each.estimate for each in forecasts if each.estimate.device == device]
        floor = any(each.time_s.mid is None for each in own)
        rates = [
            (rate, each.workload.batch)
            for each in own
            if each.fits is not False and (rate := each.items_s.high if floor else each.items_s.mid)
        ]
        if len(own) < _KNEE_BATCHES or not rates:
            continue
        best, best_batch = max(rates, key=lambda pair: pair[0])
        rate, size = next(pair for pair in rates if pair[0] >= _KNEE * best)
        knees.append(Knee(device, size, rate, best_batch, best, _KNEE, floor))
    return tuple(knees)


def _check_measurable(targets: Sequence[Target], settings: dict[str, Any]) -> None:
    from chipwise.api.scoring import check_measurable

    for each in targets:
        check_measurable(workload_on(each, batch=1, **settings)[0], here=each.here)


def _measured(network: Network, forecasts: list[Forecast], budget_s: float, progress: Progress) -> list[Forecast]:
    from chipwise.api.given import with_graph
    from chipwise.api.scoring import measured

    return list(measured(with_graph(network), forecasts, budget_s=budget_s, progress=progress))


def _draw(record: Estimation, device: Device, path: Path) -> Estimation:
    if len(record.forecasts) > 1:
        raise InputError(
            f"a roofline shows one batch on one device; {len(record.forecasts)} were asked for",
            hint="give one --on and one --batch",
        )
    from chipwise.codec.files import atomic_write

    expected = record.forecasts[0].estimate
    if path.suffix.lower() == ".html":
        from chipwise.views.layer_roofline_page import roofline_html

        data = roofline_html(record.network, expected, device).encode()
    else:
        from chipwise.views.layer_roofline import roofline_file

        data = roofline_file(record.network, expected, device, path.suffix.lower())
    atomic_write(path, data)
    return replace(record, picture=str(path))
