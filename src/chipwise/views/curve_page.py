"""Pages of curves with the numbers behind them: accuracy as the picture moves, and error as a network learns.

>>> from chipwise.core.estimate import Interval
>>> from chipwise.core.motion import Motion, MotionPoint, MovedCheck
>>> points = tuple(MotionPoint(at, (Interval(0.8, 0.9, 1.0),)) for at in (0.0, 1.0))
>>> record = MovedCheck(("<b>",), "d", "test", 9, 9, (8, 8), (0,), (Motion("shift", points),))
>>> "&lt;b&gt;" in moved_html(record)
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chipwise.views import curve_charts, curve_table, moved_charts, moved_table
from chipwise.views.picture_page import Section, page_of, safe
from chipwise.views.units import plain

if TYPE_CHECKING:
    from chipwise.core.curve import Curve
    from chipwise.core.motion import MovedCheck


def moved_html(record: MovedCheck) -> str:
    """One page: the curves, and the numbers that they are drawn from."""
    caption = f"{moved_table.about(record)}. {moved_table.NOTE}"
    drawn = Section("Curves", drawing=safe(moved_charts.moved_curves(record)), caption=caption)
    names = moved_table.names_of(record)
    tables = [
        Section(
            f"Accuracy, {moved_table.WAYS[motion.kind]}",
            columns=(moved_table.HEADS[motion.kind], *names),
            rows=tuple((amount, *shares) for amount, shares in moved_table.rows_of(motion)),
        )
        for motion in record.motions
    ]
    return page_of(moved_table.title(record), " ".join(moved_table.averages(record)), [drawn, *tables])


def curve_html(record: Curve) -> str:
    """One page: the curves, what to do, and every point."""
    drawn = Section("Curves", drawing=safe(curve_charts.error_curves(record)), caption=curve_table.NOTE)
    tables = [
        Section(
            plain(curve_table.name_of(each)),
            plain(curve_table.says(each)),
            columns=(*curve_table.columns(record), "mark"),
            rows=tuple((*curve_table.cells(record, point), point.mark or "–") for point in each.points),
        )
        for each in record.lines
    ]
    about = tuple((name, plain(value)) for name, value in curve_table.about(record))
    shared = Section("What all of them share", facts=about)
    first = record.lines[0]
    claim = f"{first.variant}: {first.advice}"
    return page_of(curve_table.title(record), plain(claim), [drawn, *tables, shared])
