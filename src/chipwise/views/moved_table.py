"""Accuracy as the picture moves, as terminal tables: one a motion, a column a network.

>>> from chipwise.core.motion import MovedCheck
>>> about(MovedCheck(("a",), "d", "test", 10, 10, (8, 8), (0,), ()))
'10 pictures of 8 x 8 pixels; what comes in from outside has the value 0, the median of their edges'
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from chipwise.views.grid import Fitted, cell, grid, heading, line, muted
from chipwise.views.intervals import share_range
from chipwise.views.units import format_count, format_share, plain

if TYPE_CHECKING:
    from rich.console import RenderableType

    from chipwise.core.motion import Motion, MotionKind, MovedCheck

NOTE = (
    "Pictures are moved before they become anybody's input, bilinearly, on a canvas of their own size. 95% intervals, "
    "for as many pictures as there are, however many ways each was moved."
)
HEADS: dict[MotionKind, str] = {
    "shift": "shifted by, pixels",
    "rotate": "turned by, degrees",
    "scale": "times as large",
}
WAYS: dict[MotionKind, str] = {
    "shift": "the mean of left, right, up and down",
    "rotate": "the mean of both ways",
    "scale": "about the middle",
}
_SPANS: dict[MotionKind, str] = {
    "shift": "Shifted by 0 to {:g} pixels",
    "rotate": "Turned by 0 to {:g} degrees",
    "scale": "From {:g} times as small to as many times as large",
}


def moved_table(record: MovedCheck) -> Group:
    """A table for each motion, and what each network reaches on average."""
    blocks: list[RenderableType] = [heading(title(record)), line(about(record))]
    for motion in record.motions:
        made = grid(">" + HEADS[motion.kind], *(f">{name}" for name in names_of(record)))
        for amount, shares in rows_of(motion):
            made.add_row(cell(amount), *map(cell, shares))
        blocks += [Text(), line(f"accuracy, {WAYS[motion.kind]}", "bold"), Fitted(made)]
    return Group(*blocks, Text(), *(line(each) for each in averages(record)), muted(NOTE))


def title(record: MovedCheck) -> str:
    """What was moved."""
    return f"{plain(record.data)} as the picture moves ({record.split} split)"


def about(record: MovedCheck) -> str:
    """Which pictures, and what comes in."""
    of = "" if record.samples == record.available else f", evenly spread over {format_count(record.available)}"
    height, width = record.side
    fill = "/".join(map(str, record.fill))
    return (
        f"{format_count(record.samples)} pictures of {height} x {width} pixels{of}; "
        f"what comes in from outside has the value {fill}, the median of their edges"
    )


def names_of(record: MovedCheck) -> tuple[str, ...]:
    """Names of the networks without their folders, where these tell them apart."""
    names = [plain(name) for name in record.networks]
    last = [PurePath(name).name for name in names]
    return tuple(last if len(set(last)) == len(last) else names)


def rows_of(motion: Motion) -> list[tuple[str, tuple[str, ...]]]:
    """The amount and each network's accuracy with its interval."""
    form = "{:.2f}" if motion.kind == "scale" else "{:g}"
    return [(form.format(point.amount), tuple(map(share_range, point.accuracy))) for point in motion.points]


def averages(record: MovedCheck) -> list[str]:
    """One sentence a motion: accuracy on average over its points, the best first."""
    made = []
    for motion in record.motions:
        rates = zip(*((each.mid or 0.0 for each in point.accuracy) for point in motion.points), strict=True)
        means = ((sum(each) / len(motion.points), name) for each, name in zip(rates, names_of(record), strict=True))
        told = ", ".join(f"{name} {format_share(mean, 1)}" for mean, name in sorted(means, reverse=True))
        made.append(f"{_SPANS[motion.kind].format(motion.points[-1].amount)}, accuracy on average: {told}.")
    return made
