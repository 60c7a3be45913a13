"""Intervals as people read them: the middle, and the bounds in brackets; a floor or a ceiling where that is all.

>>> from chipwise.core.estimate import Interval
>>> time_range(Interval(1.9e-3, 2.31e-3, 2.8e-3, 0.8)), time_range(Interval(3.1e-3, None, None))
('2.31 ms [1.90–2.80]', '≥ 3.10 ms')
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chipwise.views.units import UNKNOWN, format_time, significant

if TYPE_CHECKING:
    from collections.abc import Callable

    from chipwise.core.estimate import Interval

_MINUTE_S = 59.95  # from here on times have two units, as "3 min 05 s"


def time_range(interval: Interval) -> str:
    """Seconds with their bounds in the same unit."""
    low, mid, high = interval.low, interval.mid, interval.high
    if mid is None:
        return _one_sided(interval, format_time)
    if low is None or high is None:
        return format_time(mid)
    if max(mid, high) >= _MINUTE_S:
        return f"{format_time(mid)} [{format_time(low)}–{format_time(high)}]"
    value, unit = format_time(mid).rsplit(" ", 1)
    scale = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}[unit]
    return f"{value} {unit} [{significant(low / scale)}–{significant(high / scale)}]"


def number(interval: Interval | None, digits: int = 3) -> str:
    """A plain number without its bounds, "1,230"; "-" where nothing is known."""
    if interval is None:
        return "-"

    def said(value: float) -> str:
        return significant(value, digits)

    return said(interval.mid) if interval.mid is not None else _one_sided(interval, said)


def number_range(interval: Interval | None, unit: str = "", digits: int = 3) -> str:
    """A number with its bounds and a unit, "1.20 [1.00–1.50] kJ" with the unit as it is given."""

    def said(value: float) -> str:
        return significant(value, digits)

    if interval is None:
        return UNKNOWN
    if interval.mid is None:
        made = _one_sided(interval, said)
        return made if made == UNKNOWN else f"{made} {unit}".rstrip()
    known = interval.low is not None and interval.high is not None
    bounds = f" [{said(interval.low or 0.0)}–{said(interval.high or 0.0)}]" if known else ""
    return f"{said(interval.mid)}{bounds} {unit}".rstrip()


def _one_sided(interval: Interval, said: Callable[[float], str]) -> str:
    if interval.low is not None:
        return f"≥ {said(interval.low)}"
    return f"≤ {said(interval.high)}" if interval.high is not None else UNKNOWN


def share_range(interval: Interval) -> str:
    """A share with its bounds, "98.6% [96.8–99.4]"."""
    low, mid, high = (
        UNKNOWN if value is None else f"{value * 100:.1f}" for value in (interval.low, interval.mid, interval.high)
    )
    return f"{mid}% [{low}–{high}]"
