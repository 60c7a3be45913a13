"""What a network should take on devices, for the terminal: times with bounds, memory by parts, energy and money.

>>> from rich.console import Console
>>> from chipwise.core.estimate import Estimate, Interval, MemoryUse, Workload
>>> from chipwise.core.estimation import Cost, Estimation, Forecast
>>> time = Interval(1e-3, 2e-3, 3e-3, 0.8)
>>> expected = Estimate("Chip", Workload(), (), time, MemoryUse(8, 8), "compute", "by hand")
>>> answer = Estimation("net", "", 2, 4, (Forecast(expected, None, Cost(time.times(1000))),))
>>> Console(width=80).print(EstimateTable(answer))  # doctest: +ELLIPSIS
net on Chip: inference, fp32, layer by layer
...
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from chipwise.views.estimate_layers import bound_words, layer_tables
from chipwise.views.estimate_memory import memory_blocks
from chipwise.views.estimate_meshes import mesh_blocks
from chipwise.views.grid import Fitted, cell, facts, grid, heading, line, muted
from chipwise.views.intervals import number, number_range, share_range, time_range
from chipwise.views.units import (
    format_bytes,
    format_count,
    format_flops,
    format_share,
    format_spread,
    format_time,
    plain,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.table import Table

    from chipwise.core.estimate import Workload
    from chipwise.core.estimation import Cost, Estimation, Forecast, Knee, Score, Together

_UNSURE = " *"  # behind an interval that nothing was calibrated on


@dataclass(frozen=True, slots=True)
class EstimateTable:
    """One row a batch and device, fastest device first; then knees, memory, layers, the method and what to know."""

    record: Estimation

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the tables for this width."""
        del console
        record, several = self.record, len(self.record.devices) > 1
        ordered = _ranked(record.forecasts) if several else list(record.forecasts)
        yield heading(_title(record))
        yield Fitted(_times(ordered, several=several))
        yield from _legend(record)
        yield from _spaced(_costs(ordered, several=several))
        yield from _spaced(_summary(record))
        yield from mesh_blocks(ordered)
        yield from _spaced(_scores(ordered, several=several))
        yield from memory_blocks(ordered, several=several, width=options.max_width)
        if record.layered:
            for forecast in ordered:
                yield from layer_tables(forecast.estimate, several=several or len(ordered) > 1)
        yield from _spaced(_endings(record))


def _title(record: Estimation) -> str:
    devices = record.devices
    on = devices[0] if len(devices) == 1 else f"{len(devices)} devices"
    described = list(dict.fromkeys(_described(each.estimate.workload) for each in record.forecasts))
    said = described[0] if len(described) == 1 else described[0].partition(",")[0]
    return f"{record.network} on {on}: {said}"


def _described(workload: Workload) -> str:
    formats = f"amp ({workload.precision})" if "amp" in workload.techniques else workload.precision
    how = "compiled" if workload.compiled else "layer by layer"
    parts = [workload.phase, formats, f"{how} ({workload.runtime})" if workload.runtime else how]
    return ", ".join([*parts, *(each for each in workload.techniques if each != "amp")])


def _ranked(forecasts: Sequence[Forecast]) -> list[Forecast]:
    """By batch, then fastest first; below them what does not compare: other formats, and mere floors."""
    usual = _usual_format(forecasts)

    def place(forecast: Forecast) -> tuple[int, bool, bool, float]:
        time, workload = forecast.estimate.time_s, forecast.estimate.workload
        return workload.batch, time.mid is None, _format(workload) != usual, time.mid or time.low or 0.0

    return sorted(forecasts, key=place)


def _usual_format(forecasts: Sequence[Forecast]) -> str:
    """The number format of most devices, of equally many the first."""
    formats = [_format(each.estimate.workload) for each in forecasts]
    return max(formats, key=formats.count)


def _times(forecasts: Sequence[Forecast], *, several: bool) -> Table:
    step = "step" if forecasts[0].estimate.workload.phase == "training" else "latency"
    formats = len({_format(each.estimate.workload) for each in forecasts}) > 1
    names = ["device"] if several else []
    names += ["format!"] if formats else []
    rows = grid(*names, ">batch!", f"{step}!", ">items/s!", "bound by", ">memory!")
    before = None
    for forecast in forecasts:
        workload = forecast.estimate.workload
        if several and before not in (None, workload.batch):
            rows.add_section()
        before = workload.batch
        lead = [cell(forecast.estimate.device, "bold")] if several else []
        lead += [cell(_format(workload))] if formats else []
        rows.add_row(*lead, *_time_cells(forecast, bold=not several))
    return rows


def _format(workload: Workload) -> str:
    return "amp" if "amp" in workload.techniques else workload.precision


def _time_cells(forecast: Forecast, *, bold: bool) -> list[Text]:
    expected = forecast.estimate
    full = expected.fits is False
    return [
        cell(expected.workload.batch, "bold" if bold else ""),
        cell(_time(forecast), "dim" if full else ""),
        cell(number(expected.items_s), "dim" if full else ""),
        cell(bound_words(expected)),
        cell(format_bytes(expected.memory.device_bytes) + (" !" if full else ""), "bold red" if full else ""),
    ]


def _time(forecast: Forecast) -> str:
    """Seconds with their bounds, marked where nothing says how often those hold."""
    time = forecast.estimate.time_s
    return time_range(time) + (_UNSURE if time.mid is not None and time.coverage is None else "")


def _costs(forecasts: Sequence[Forecast], *, several: bool) -> list[RenderableType]:
    """Energy and money with their bounds; "-" for what is not known, and for what does not fit."""
    if all(each.thousand.energy_j is None and each.thousand.price_usd is None for each in forecasts):
        return []
    rows = grid(*(["device"] if several else []), ">batch!", "J per 1,000 items!", "USD per 1,000 items!")
    for forecast in forecasts:
        expected, thousand = forecast.estimate, forecast.thousand
        runs = expected.fits is not False
        rows.add_row(
            *([cell(expected.device, "bold")] if several else []),
            cell(expected.workload.batch),
            cell(number_range(thousand.energy_j) if thousand.energy_j is not None and runs else "-"),
            cell(number_range(thousand.price_usd, digits=2) if thousand.price_usd is not None and runs else "-"),
        )
    return [Fitted(rows), muted("[low–high] of power and price over the time above; - not known, or does not fit.")]


def _legend(record: Estimation) -> Iterator[RenderableType]:
    """What brackets and signs mean, and what does not fit."""
    estimates = [each.estimate for each in record.forecasts]
    coverages = sorted({each.time_s.coverage for each in estimates if each.time_s.coverage is not None})
    if coverages:
        shares = " or ".join(format_share(each, 0) for each in coverages)
        widened = ", widened for what the notes say" if any(each.notes for each in estimates) else ""
        yield muted(f"[low–high] is meant to hold {shares} of measurements, from networks held out{widened}.")
    if any(each.time_s.mid is not None and each.time_s.coverage is None for each in estimates):
        yield muted("* was not calibrated: how often [low–high] holds there is not known.")
    if any(each.time_s.mid is None for each in estimates):
        yield muted(
            "≥ is a floor: every layer at the device's peaks, nothing fused. How far above it ends is not known."
        )
    formats = dict.fromkeys(_format(each.workload) for each in estimates)
    if len(record.devices) > 1 and len(formats) > 1:
        usual = _usual_format(record.forecasts)
        others = ", ".join(each for each in formats if each != usual)
        yield muted(f"Ranked among {usual}; times in {others} do not compare with those, and stand below them.")
    for forecast in record.forecasts:
        if forecast.estimate.fits is False and forecast.capacity_bytes is not None:
            yield line(f"! does not fit: {_fitting(forecast)}", "yellow")


def _fitting(forecast: Forecast) -> str:
    expected = forecast.estimate
    needs, has = format_bytes(expected.memory.device_bytes), format_bytes(forecast.capacity_bytes or 0)
    return f"batch {expected.workload.batch} on {expected.device} needs {needs} of {has}"


def _summary(record: Estimation) -> list[RenderableType]:
    """Work of one item, knees of the sweeps, and what epochs cost."""
    work = f"{format_count(record.parameters)} parameters, {format_flops(record.flops)} an item"
    pairs = [("network", f"{work} (1 multiply-add = 2 FLOPs)")]
    pairs += [("knee", _knee(knee)) for knee in record.knees if len(record.knees) == 1]
    for forecast in record.forecasts if record.data_size is not None else ():
        batch, device = forecast.estimate.workload.batch, forecast.estimate.device
        where = f"batch {batch}" + (f" on {device}" if len(record.devices) > 1 else "")
        for name, cost in (("epoch", forecast.epoch), (f"{record.epochs} epochs", forecast.training)):
            if cost is not None:
                pairs.append((name, f"{_cost(cost)}; {where}"))
    for forecast in record.forecasts:
        if forecast.together is not None:
            pairs.append(("together", _together(forecast.together)))
    if record.picture:
        pairs.append(("roofline", record.picture))
    shown: list[RenderableType] = [facts(pairs)]
    return [*shown, Text(), Fitted(_knees(record.knees))] if len(record.knees) > 1 else shown


def _together(found: Together) -> str:
    """What all devices of a system do in a second, how much of that is lost, and what passes over the data take."""
    said = (
        f"all {found.count} of {found.system}, batch {format_count(found.batch)}: {number_range(found.items_s)} items/s"
    )
    if found.link:
        said += f", {share_range(found.efficiency)} of {found.count} times one; copies, over {found.link}"
    for name, time_s in (("an epoch", found.epoch_s), ("all epochs", found.training_s)):
        said += "" if time_s is None else f"; {name} {time_range(time_s)}"
    return said


def _knees(knees: Sequence[Knee]) -> Table:
    """Where larger batches stop paying, one row a device."""
    rows = grid("device", ">knee at\nbatch!", ">items/s!", ">of the\nbest!", ">best at\nbatch!")
    for knee in knees:
        share = format_share(knee.items_s / knee.best_items_s if knee.best_items_s else 1.0, 0)
        rate = f"{'≤ ' if knee.floor else ''}{_rate(knee.items_s)}"
        rows.add_row(
            cell(knee.device, "bold"), cell(knee.batch, "bold"), cell(rate), cell(share), cell(knee.best_batch)
        )
    return rows


def _knee(knee: Knee) -> str:
    at_most = "at most " if knee.floor else ""
    share = format_share(knee.items_s / knee.best_items_s if knee.best_items_s else 1.0, 0)
    says = f"batch {knee.batch}, the smallest that reaches {format_share(knee.share, 0)} of the best: {at_most}"
    best = f"{at_most}{_rate(knee.best_items_s)} at batch {knee.best_batch}"
    return f"{says}{_rate(knee.items_s)} items/s ({share} of {best})"


def _rate(value: float) -> str:
    """Items per second without decimals where there are thousands of them."""
    return format_count(round(value)) if value >= 999.5 else f"{value:.3g}"


def _cost(cost: Cost) -> str:
    parts = [time_range(cost.time_s)]
    if cost.energy_j is not None:
        large = (cost.energy_j.mid or cost.energy_j.low or 0.0) >= 3.6e5
        scaled = cost.energy_j.times(1 / 3.6e6) if large else cost.energy_j
        parts.append(number_range(scaled, "kWh" if large else "J"))
    if cost.price_usd is not None:
        parts.append(number_range(cost.price_usd, "USD"))
    return ", ".join(parts)


def _scores(forecasts: Sequence[Forecast], *, several: bool) -> list[RenderableType]:
    """Each prediction that was put to the test, and how they did together."""
    scored = [(each.score, each) for each in forecasts if each.score is not None]
    if not scored:
        return []
    rows = grid(
        *(["device"] if several else []), ">batch!", "predicted!", ">measured!", ">p10–p90!", ">error!", "inside"
    )
    for score, forecast in scored:
        lead = [cell(forecast.estimate.device)] if several else []
        batch = cell(forecast.estimate.workload.batch)
        rows.add_row(*lead, batch, cell(time_range(forecast.estimate.time_s)), *_score_cells(score))
    ran = list(dict.fromkeys(f"{each.runtime} {each.precision} x{each.threads}" for each, _ in scored if each.timing))
    about = [muted(f"Measured here with {', '.join(ran)}: median of calls in turns.")] if ran else []
    return [line("The prediction, put to the test", "bold"), Fitted(rows), *about]


def _score_cells(score: Score) -> list[Text]:
    if score.timing is None:
        return [cell("-"), cell("-"), cell("-"), cell(f"not timed: {score.reason}", "dim")]
    inside = {True: cell("yes", "green"), False: cell("no", "red"), None: cell("-")}[score.inside]
    return [
        cell(format_time(score.timing.median_s), "bold"),
        cell(format_spread(score.timing)),
        cell("-" if score.error is None else f"{score.error:+.1%}"),
        inside,
    ]


def _endings(record: Estimation) -> list[RenderableType]:
    """Operators that are not known, notes, and the method, each said once and of which devices it speaks."""
    estimates = [each.estimate for each in record.forecasts]
    unknown = sorted({op for each in estimates for op in each.unknown_ops})
    noted = _by_text((note, each.device) for each in estimates for note in each.notes)
    notes = dict.fromkeys([*record.notes, *(_of(note, names, record) for note, names in noted.items())])
    shown: list[RenderableType] = []
    if unknown and not any(all(op in note for op in unknown) for note in notes):
        names = ", ".join(map(plain, unknown))
        shown.append(line(f"Work not known for {names}: only their traffic is counted.", "bold yellow"))
    loud = {note for note in notes if note.startswith("poor: ") or any(op in note for op in unknown)}
    shown += [line(f"note: {note}", "bold yellow" if note in loud else "yellow") for note in notes]
    methods = _by_text((each.method, each.device) for each in estimates)
    shown += [muted(f"method: {_of(method, devices, record)}") for method, devices in methods.items()]
    return shown


def _by_text(said: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Each text with the devices that it was said of."""
    found: dict[str, list[str]] = {}
    for text, device in said:
        if device not in found.setdefault(text, []):
            found[text].append(device)
    return found


def _of(text: str, devices: Sequence[str], record: Estimation) -> str:
    """A text with the devices it speaks of, where it speaks not of all of them and does not name them itself."""
    if len(devices) == len(record.devices) or all(name in text for name in devices):
        return text
    return f"{', '.join(devices)}: {text}"


def _spaced(parts: Sequence[RenderableType]) -> Iterator[RenderableType]:
    if parts:
        yield Text()
        yield from parts
