"""Learning curves as terminal tables: a line a table, a row a point, and a sentence on what to do.

>>> from chipwise.core.estimate import Interval
>>> point = CurvePoint(0.25, 100, 10, 8, Interval(0, 0, 0.01), Interval(0.1, 0.2, 0.3))
>>> size_of("data", point), size_of("capacity", point), size_of("epochs", point)
('100', '0.25', '8')
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from chipwise.core.curve import CurvePoint
from chipwise.views.grid import Fitted, cell, facts, grid, heading, line, muted
from chipwise.views.intervals import share_range
from chipwise.views.units import format_count, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from chipwise.core.curve import Curve, CurveKind, CurveLine

_MOST_ROWS = 12  # of the epochs of a line
_STYLES = {"overfits": "red", "underfits": "yellow", "gap": "", "": ""}
SIZES: dict[CurveKind, str] = {"data": "samples", "capacity": "width", "epochs": "epoch"}
_GROWS: dict[CurveKind, str] = {"data": "more data", "capacity": "wider networks", "epochs": "more epochs"}
NOTE = (
    "95% intervals (Wilson). gap: the validation error is certainly above the training error. overfits: it is also "
    "certainly above that of the best point (*), paired sample by sample, for all pairs of points together, though the "
    "training error is not; of capacity and epochs, beyond that point. underfits: the training error is certainly "
    "above 5%, and there is no gap."
)


def curve_table(record: Curve) -> Group:
    """What all lines share, then a table for each."""
    blocks: list[RenderableType] = [heading(title(record)), facts(about(record))]
    for each in record.lines:
        made = grid(*(f">{name}!" for name in columns(record)), "")
        for point in shown(each.points) if record.kind == "epochs" else each.points:
            made.add_row(*map(cell, cells(record, point)), cell(point.mark, _STYLES[point.mark]))
        blocks += [Text(), line(name_of(each), "bold"), Fitted(made), line(says(each))]
    return Group(*blocks, Text(), muted(NOTE))


def title(record: Curve) -> str:
    """What was learned, and what grows."""
    return f"{plain(record.network)} on {plain(record.data)}: error with {_GROWS[record.kind]}"


def about(record: Curve) -> list[tuple[str, str]]:
    """Facts that all lines share."""
    validation = f"{format_count(record.validation)} samples; the test split is not looked at"
    settings = ", ".join(f"{key}={value}" for key, value in record.settings.items() if value is not None)
    seeds = ", ".join(map(str, record.seeds))
    return [("validation", validation), ("seeds", seeds), ("settings", settings), ("journal", record.folder)]


def columns(record: Curve) -> tuple[str, ...]:
    """Heads of the columns but for the mark."""
    more = {"data": ("epochs",), "capacity": ("parameters",), "epochs": ()}[record.kind]
    seeds = ("seeds",) if len(record.seeds) > 1 else ()
    return (SIZES[record.kind], *more, "training error", "validation error", *seeds)


def cells(record: Curve, point: CurvePoint) -> tuple[str, ...]:
    """A row but for its mark; the best point has a star."""
    best = "*" if point.rise is None else ""
    more = {"data": (str(point.epochs),), "capacity": (format_count(point.parameters),), "epochs": ()}[record.kind]
    low, high = point.validation_seeds
    seeds = (f"{100 * low:.1f}–{100 * high:.1f}%",) if len(record.seeds) > 1 else ()
    errors = (share_range(point.train), share_range(point.validation))
    return (best + size_of(record.kind, point), *more, *errors, *seeds)


def size_of(kind: CurveKind, point: CurvePoint) -> str:
    """What grows, at a point."""
    if kind == "capacity":
        return f"{point.at:g}"
    return format_count(point.samples if kind == "data" else point.epochs)


def name_of(each: CurveLine) -> str:
    """A variant with the settings that make it so."""
    told = ", ".join(f"{key}={value}" for key, value in each.settings.items() if value not in (None, 0, "none"))
    return f"{each.variant} ({told or 'no regularisation'})"


def says(each: CurveLine) -> str:
    """What to do, and what the variant is worth at the end."""
    change = each.change
    if change is None or change.low is None or change.high is None or change.mid is None:
        return each.advice
    verdict = "certainly lower" if change.high < 0 else "certainly higher" if change.low > 0 else "no certain change"
    bounds = f"{100 * change.mid:+.1f} points [{100 * change.low:+.1f}, {100 * change.high:+.1f}]"
    return f"{each.advice} Validation error at the end against the first variant: {bounds}, {verdict}."


def shown(points: Sequence[CurvePoint]) -> list[CurvePoint]:
    """At most so many points that lie evenly on a logarithmic scale, with the best and the last among them."""
    if len(points) <= _MOST_ROWS:
        return list(points)
    last = len(points) - 1
    places = {round((last + 1) ** (step / (_MOST_ROWS - 2))) - 1 for step in range(_MOST_ROWS - 1)}
    best = next(place for place, point in enumerate(points) if point.rise is None)
    return [points[place] for place in sorted(places | {best, last})]
