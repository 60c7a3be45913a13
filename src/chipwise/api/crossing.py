"""Crossover: what a training step takes against the number of parameters, here and elsewhere, and who overtakes whom.

>>> answer = crossover("mlp", smallest=10**4, largest=10**6, points=2, on=["rtx3090", "h100"])
>>> [line.device for line in answer.lines]
['GeForce RTX 3090', 'H100 SXM5 80GB']
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from chipwise.api.estimating import estimate_on
from chipwise.api.given import need
from chipwise.api.notebook import drawn
from chipwise.api.pictures import check_picture
from chipwise.api.targets import HERE, Target, target, workload_on
from chipwise.core.crossover import CROSSOVER_PRECISIONS, NETS
from chipwise.core.errors import InputError, unknown_name
from chipwise.core.events import Part, Progress, silent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.core.crossover import Crossing, Crossover, CrossoverLine, CrossoverPoint
    from chipwise.core.device import Device, Link, System
    from chipwise.core.estimate import Estimate, Interval
    from chipwise.core.layer import Layer

CROSSOVER_SIZES = (10**3, 10**10)
_BATCHES, _MOST_POINTS = (2, 65_536), 50
_PICTURES = (".svg", ".png")
# Calls that the fewest rounds of a long step take: one that is thrown away, calibration, and five with their warm-up.
_CALLS = 12
# Of this machine's memory that a step may take to be measured.
_MEMORY_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Task:
    """What every step of a crossover has in common; `rows` are those of a network of each width."""

    net: str
    batch: int
    precision: str
    data_size: int | None
    seed: int
    rows: dict[int, tuple[Layer, ...]]

    @property
    def parameters(self) -> tuple[int, ...]:
        """Trainable values, ascending."""
        return tuple(sum(row.parameters for row in rows) for rows in self.rows.values())

    def epoch(self, step_s: Interval) -> Interval | None:
        """A pass over the data; the last, smaller batch counts as a whole one."""
        return None if self.data_size is None else step_s.times(-(-self.data_size // self.batch))


@drawn
def crossover(
    net: str = "mlp",
    *,
    smallest: int = 10**4,
    largest: int = 10**8,
    points: int = 9,
    on: Sequence[str | Device | System] = (HERE, "rtx3090", "h100"),
    batch: int = 64,
    precision: str = "fp32",
    data_size: int | None = None,
    budget_s: float = 60.0,
    catalogue: str | Path | None = None,
    picture: str | Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Crossover:
    """Tell what a training step takes against the number of parameters, and from which on each device is faster.

    Steps are measured on this machine, as far as the time goes, and predicted elsewhere, with the way of the batch to
    the device. What is too large to measure here is told from the last that was, and marked.

    Args:
        net: "mlp" (784-w-w-10) or "cnn" (four convolutions on 3x32x32).
        smallest: number of parameters to begin with, from 1,000.
        largest: to end with, up to 10**10.
        points: how many sizes, evenly spaced on a logarithmic scale.
        on: devices and systems by name, "here" for this machine, or devices of your own. All others are compared with
            this machine, or with the first where it is not among them.
        batch: samples a step.
        precision: "fp32", or "amp" for automatic mixed precision.
        data_size: samples of the data, to say what an epoch takes.
        budget_s: wall time for measuring here.
        catalogue: a TOML file of yours, or a folder of them, with more devices.
        picture: an .svg or .png file to draw steps against parameters into.
        seed: of weights and samples.
        progress: told what is measured.

    Raises:
        UnknownNameError: no such network, device or precision. InputError: sizes, points or batch that cannot be, or a
            device that no training step can be told of. MissingExtraError: torch is not installed.
    """
    from chipwise.core.crossover import Crossover
    from chipwise.training.sized_steps import OPTIMIZER

    path = None if picture is None else check_picture(Path(picture), "a crossover", _PICTURES)
    _check_names(net, precision)
    _check_sizes(smallest, largest, points)
    _check_samples(batch, data_size)
    targets = _targets(on, None if catalogue is None else Path(catalogue))
    need("torch", extra="torch")
    rows = _rows(net, _widths(net, smallest, largest, points), batch)
    task = Task(net, batch, precision, data_size, seed, rows)
    lines, notes, complete = [], [], True
    for each in targets:
        if each.here:
            line, complete = _here(task, each, budget_s, progress)
        else:
            line, said = _elsewhere(task, each)
            notes += said
        lines.append(line)
    crossings = tuple(filter(None, (_crossing(line, lines[0]) for line in lines[1:])))
    told = tuple(dict.fromkeys(notes))
    record = Crossover(net, batch, precision, OPTIMIZER, data_size, tuple(lines), crossings, complete, notes=told)
    return record if path is None else _draw(record, path)


def _check_names(net: str, precision: str) -> None:
    if net not in NETS:
        raise unknown_name("network", net, NETS)
    if precision not in CROSSOVER_PRECISIONS:
        raise unknown_name("precision", precision, CROSSOVER_PRECISIONS)


def _check_sizes(smallest: int, largest: int, points: int) -> None:
    low, high = CROSSOVER_SIZES
    for size in (smallest, largest):
        if not low <= size <= high:
            raise InputError(f"a network of {size:,} parameters", hint=f"from {low:,} to {high:,}")
    if smallest >= largest:
        raise InputError(f"from {smallest:,} to {largest:,} parameters", hint="the first is the smaller one")
    if not 2 <= points <= _MOST_POINTS:
        raise InputError(f"{points} points", hint=f"from 2 to {_MOST_POINTS}")


def _check_samples(batch: int, data_size: int | None) -> None:
    if not _BATCHES[0] <= batch <= _BATCHES[1]:
        raise InputError(f"batch is {batch}", hint=f"from {_BATCHES[0]} to {_BATCHES[1]:,}")
    if data_size is not None and data_size < 1:
        raise InputError(f"the data has {data_size} items; at least 1 is wanted")


def _targets(on: Sequence[str | Device | System], catalogue: Path | None) -> list[Target]:
    """Each device once, this machine first."""
    if not on:
        raise InputError("no device was given", hint="as here,rtx3090,h100")
    found = {each.device.name: each for each in (target(name, catalogue) for name in on)}
    return sorted(found.values(), key=lambda each: not each.here)


def _widths(net: str, smallest: int, largest: int, points: int) -> list[int]:
    """Widths of networks with evenly spaced logarithms of parameters; less of them where two would be the same."""
    from chipwise.networks.sized import width_for

    ratio = (largest / smallest) ** (1 / (points - 1))
    widths = sorted({width_for(net, smallest * ratio**place) for place in range(points)})
    if len(widths) < 2:
        raise InputError(
            f"from {smallest:,} to {largest:,} parameters there is one {net} alone", hint="give a larger span"
        )
    return widths


def _rows(net: str, widths: Sequence[int], batch: int) -> dict[int, tuple[Layer, ...]]:
    from chipwise.networks.layers import layer_rows
    from chipwise.networks.sized import sized

    return {width: layer_rows(sized(net, width), batch) for width in widths}


def _estimates(task: Task, on: Target) -> tuple[list[Estimate], list[str]]:
    """What the cost model says of every width, and what to know of all of them."""
    workload, notes = workload_on(
        on, phase="training", batch=task.batch, precision=task.precision, compiled=False, runtime=""
    )
    found = [estimate_on(rows, on, workload) for rows in task.rows.values()]
    return found, [*on.notes, *notes, *(note for note in found[0].notes if all(note in each.notes for each in found))]


def _model(task: Task, on: Target) -> list[Estimate]:
    """What a profile of processors says of every width here: of this only the shape counts, and the memory."""
    from chipwise.core.estimate import Workload
    from chipwise.cost.estimate import estimate
    from chipwise.devices.profiles import profile_for

    workload = Workload("training", task.batch)
    profile, _ = profile_for(on.device, workload)
    return [estimate(rows, on.device, workload, profile) for rows in task.rows.values()]


def _elsewhere(task: Task, on: Target) -> tuple[CrossoverLine, list[str]]:
    """A device that is not here: predicted, with the way of the batch there."""
    from chipwise.core.crossover import CrossoverLine, CrossoverPoint
    from chipwise.cost.crossover import parts_of, transfer, with_transfer

    link = _link(on.device)
    moved_s = transfer(_moved_bytes(task), link)
    found, notes = _estimates(task, on)
    if found[0].time_s.mid is None:
        raise InputError(
            f"of training in {task.precision} on {on.device.name} only a floor is known, which crosses nothing"
        )
    if link is None and on.device.kind != "cpu":
        notes.append(f"no link of {on.device.name} to its host is known: moving the batch there is left out")
    large = next((size for size, each in zip(task.parameters, found, strict=True) if each.fits is False), None)
    if large is not None:
        notes.append(f"{large:,} parameters and more do not fit into its memory with all that a step keeps")
    points = []
    for each, (width, parameters) in zip(found, zip(task.rows, task.parameters, strict=True), strict=True):
        step_s = with_transfer(each.time_s, moved_s)
        parts = parts_of(each, moved_s.mid or 0.0)
        points.append(CrossoverPoint(parameters, width, step_s, False, parts, task.epoch(step_s), fits=each.fits))
    return CrossoverLine(on.device.name, False, tuple(points), found[0].method), _told(on.device.name, notes)


def _told(device: str, notes: Sequence[str]) -> list[str]:
    """Notes that name their device."""
    return [note if device in note else f"{device}: {note}" for note in notes]


def _link(device: Device) -> Link | None:
    from chipwise.devices import known

    return known.link(device.host_link) if device.host_link and device.kind != "cpu" else None


def _moved_bytes(task: Task) -> int:
    """Of a step's inputs as float32, and labels as int64."""
    from chipwise.networks.sized import INPUTS

    return task.batch * (4 * math.prod(INPUTS[task.net]) + 8)


def _here(task: Task, on: Target, budget_s: float, progress: Progress) -> tuple[CrossoverLine, bool]:
    """Measure this machine from the smallest on as far as time and memory go, and tell the rest from the last measured.

    Returns:
        the line, and whether it was measured to its end.
    """
    from chipwise.core.crossover import CrossoverLine
    from chipwise.cost.crossover import scaled_on

    expected = _model(task, on)
    model_s = [each.time_s.mid or 0.0 for each in expected]
    measured, complete = _measured(task, expected, budget_s, progress)
    pairs = [(by_model, point.step_s.mid or 0.0) for by_model, point in zip(model_s, measured, strict=False)]
    points = measured[:1]
    for place, point in enumerate(measured[1:], start=1):
        points.append(replace(point, foretold_s=scaled_on(pairs[:place], model_s[place], 1)))
    for place, (width, parameters) in enumerate(zip(task.rows, task.parameters, strict=True)):
        if place >= len(measured):
            step_s = scaled_on(pairs, model_s[place], place - len(measured) + 1)
            points.append(_point(task, width, parameters, step_s))
    return CrossoverLine(HERE, True, tuple(points), f"measured; larger ones by {expected[0].method}, scaled"), complete


def _point(task: Task, width: int, parameters: int, step_s: Interval) -> CrossoverPoint:
    from chipwise.core.crossover import CrossoverPoint

    return CrossoverPoint(parameters, width, step_s, False, epoch_s=task.epoch(step_s))


def _measured(
    task: Task, expected: Sequence[Estimate], budget_s: float, progress: Progress
) -> tuple[list[CrossoverPoint], bool]:
    """Points from the smallest on; the first always, the others while there is time and memory for them."""
    from chipwise.devices.detect import detect

    start, room = time.perf_counter(), _MEMORY_SHARE * (detect().memory_bytes or math.inf)
    model_s = [each.time_s.mid or 0.0 for each in expected]
    points: list[CrossoverPoint] = []
    try:
        for place, (width, parameters) in enumerate(zip(task.rows, task.parameters, strict=True)):
            left_s = budget_s - (time.perf_counter() - start)
            if points:
                step_s = (points[-1].step_s.mid or 0.0) * model_s[place] / model_s[place - 1]
                if _CALLS * step_s > left_s or expected[place].memory.device_bytes > room:
                    break
            part = Part(progress, "measuring", place / len(model_s), (place + 1) / len(model_s))
            part.update("steps", 0.0, f"{parameters:,} parameters")
            share_s = max(0.0, left_s) / (len(model_s) - place)
            points.append(_timed(task, width, parameters, share_s))
    except KeyboardInterrupt:
        if not points:
            raise
        return points, False
    progress.update("measuring", 1.0)
    return points, True


def _timed(task: Task, width: int, parameters: int, budget_s: float) -> CrossoverPoint:
    """One network trained here for a few steps."""
    from chipwise.clock.statistics import summarize
    from chipwise.core.crossover import CrossoverPoint
    from chipwise.core.estimate import Interval
    from chipwise.devices.detect import detect
    from chipwise.networks.sized import CLASSES, INPUTS, sized
    from chipwise.networks.torch_source import build_module
    from chipwise.training.seeds import seeded
    from chipwise.training.sized_steps import step_settings, step_times

    source = sized(task.net, width).source
    assert source is not None
    with seeded(task.seed):
        module = build_module(source)
    settings = step_settings(task.batch, "bf16" if task.precision == "amp" else "fp32", detect().cores, task.seed)
    timing = summarize(step_times(module, INPUTS[task.net], CLASSES, settings, budget_s=budget_s))
    step_s = Interval(timing.quantile_s(0.1), timing.median_s, timing.quantile_s(0.9))
    return CrossoverPoint(parameters, width, step_s, True, None, task.epoch(step_s), timing, fits=True)


def _crossing(line: CrossoverLine, first: CrossoverLine) -> Crossing | None:
    """Where a device overtakes the first, among what fits into both; None where nothing does."""
    from chipwise.core.crossover import Crossing
    from chipwise.cost.crossover import at, crossing, parts_at

    pairs = zip(line.points, first.points, strict=True)
    fitting = [pair for pair in pairs if all(point.fits is not False for point in pair)]
    if not fitting:
        return None
    points = [own for own, _ in fitting]
    parameters = [point.parameters for point in points]
    kind, found = crossing(parameters, [point.step_s for point in points], [other.step_s for _, other in fitting])
    where = found.mid or (parameters[0] if kind == "always" else parameters[-1])
    step_s = at(parameters, [point.step_s.mid or 0.0 for point in points], where)
    parts = [point.parts for point in points if point.parts is not None]
    told = parts_at(parameters, parts, where) if parts else None
    return Crossing(line.device, first.device, kind, found, step_s, told, parts[0] if parts else None)


def _draw(record: Crossover, path: Path) -> Crossover:
    from chipwise.codec.files import atomic_write
    from chipwise.views.crossover_charts import crossover_chart

    atomic_write(path, crossover_chart(record, path.suffix.lower()))
    return replace(record, picture=str(path))
