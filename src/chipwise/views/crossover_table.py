"""A crossover as a terminal table: steps by parameters and device, and in a sentence each who overtakes and why.

>>> from chipwise.core.crossover import Crossing, Parts
>>> from chipwise.core.estimate import Interval
>>> parts = Parts(8e-4, 1e-4, 1e-4, 0.0)
>>> sentence(Crossing("A card", "here", "at", Interval(9e4, 2e5, None), 1e-3, parts, parts))[:59]
'A card overtakes here from 200,000 parameters on (90,000 to'
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from rich.console import Group

from chipwise.views.grid import Fitted, cell, grid, heading, line, muted
from chipwise.views.intervals import time_range
from chipwise.views.units import format_count, format_share, format_time, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType
    from rich.text import Text

    from chipwise.core.crossover import Crossing, Crossover, CrossoverLine, CrossoverPoint, PartName, Parts
    from chipwise.core.estimate import Interval

_MEASURED = "•"
_WORDS: dict[PartName, str] = {
    "launch": "starting operations", "transfer": "moving the batch there", "memory": "memory traffic",
    "compute": "arithmetic",
}  # fmt: skip
_HOW = (
    f"{_MEASURED} measured, median [p10–p90]; all else is predicted. Of GPUs, a step and the way of its batch there, "
    "hidden at best; of this machine, the model's curve through the last measured point, as far off as it was between "
    "measured ones (not calibrated)."
)


def crossover_table(record: Crossover) -> RenderableType:
    """Steps, epochs where the data's size is known, and the crossings."""
    blocks: list[RenderableType] = [heading(_title(record)), _times(record, lambda point: point.step_s)]
    if record.data_size is not None:
        blocks += [line(""), line(f"an epoch of {format_count(record.data_size)} samples"), _times(record, _epoch)]
    blocks.append(line(""))
    blocks += [line(sentence(each)) for each in record.crossings]
    blocks += [line(_own_errors(each)) for each in record.lines if any(point.foretold_s for point in each.points)]
    if not record.complete:
        blocks.append(line("interrupted: what was not measured by then is predicted", "yellow"))
    blocks += [muted(f"note: {note}") for note in record.notes]
    return Group(*blocks, muted(_HOW))


def sentence(crossing: Crossing) -> str:
    """Who overtakes from where on, and what its step is made of there."""
    device, against = plain(crossing.device), plain(crossing.against)
    if crossing.kind == "always":
        begin = f"{device} is faster than {against} at every size{_surely(crossing.parameters)}: "
    elif crossing.kind == "never":
        begin = f"{device} is not faster than {against} at any size{_perhaps(crossing.parameters)}: "
    else:
        found = crossing.parameters
        begin = f"{device} overtakes {against} from {_about(found.mid)} parameters on{_bounds(found)}: "
    where = {"at": "there", "always": "at the smallest", "never": "at the largest"}[crossing.kind]
    made = f"{where} its step takes {format_time(crossing.step_s)}"
    if crossing.parts is None:
        return f"{begin}{made}."
    shares = ", ".join(
        f"{_WORDS[name]} {format_share(share, 0)}" for name, share in _largest(crossing.parts) if share >= 0.005
    )
    below = ""
    if crossing.kind == "at" and crossing.below is not None:
        name, share = _largest(crossing.below)[0]
        below = f" Below, it loses by {_WORDS[name]}: {format_share(share, 0)} of its smallest step."
    return f"{begin}{made}, of which {shares}.{below}"


def _own_errors(each: CrossoverLine) -> str:
    """How well measured steps would have been told from those before them."""
    told = [(point.foretold_s, point.step_s.mid) for point in each.points if point.foretold_s and point.step_s.mid]
    errors = [abs((foretold.mid or 0.0) / step_s - 1) for foretold, step_s in told]
    inside = sum(foretold.covers(step_s) for foretold, step_s in told)
    off = f"{format_share(median(errors), 0)} (median; at most {format_share(max(errors), 0)})"
    begin = f"{plain(each.device)}: each measured step, told from those before it, would have been off by "
    return f"{begin}{off}, {inside} of {len(errors)} inside."


def _title(record: Crossover) -> str:
    return f"{record.net}, training in {record.precision} with {record.optimizer}, batch {record.batch}: time of a step"


def _times(record: Crossover, value: Callable[[CrossoverPoint], Interval | None]) -> RenderableType:
    rows = grid(">parameters!", *(f">{plain(each.device)}" for each in record.lines))
    for points in zip(*(each.points for each in record.lines), strict=True):
        rows.add_row(cell(format_count(points[0].parameters)), *(_cell(point, value(point)) for point in points))
    return Fitted(rows)


def _cell(point: CrossoverPoint, value: Interval | None) -> Text:
    if value is None:
        return cell("-")
    mark = f"{_MEASURED} " if point.measured else ""
    if point.fits is False:
        return cell("does not fit", "dim")
    return cell(f"{mark}{time_range(value)}")


def _epoch(point: CrossoverPoint) -> Interval | None:
    return point.epoch_s


def _largest(parts: Parts) -> list[tuple[PartName, float]]:
    return sorted(parts.shares.items(), key=lambda pair: -pair[1])


def _about(parameters: float | None) -> str:
    """Two digits of a number: crossings are not known better."""
    return format_count(round(float(f"{parameters or 0:.1e}")))


def _bounds(found: Interval) -> str:
    low = "less than was looked at" if found.low is None else _about(found.low)
    high = "more than was looked at" if found.high is None else _about(found.high)
    return f" ({low} to {high})"


def _surely(found: Interval) -> str:
    return f", beyond the intervals from {_about(found.high)} on" if found.high is not None else ""


def _perhaps(found: Interval) -> str:
    return f", within the intervals perhaps from {_about(found.low)} on" if found.low is not None else ""
