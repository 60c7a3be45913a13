"""Numbers as people read them: three significant digits and a unit that is always said.

Times and FLOPs use SI prefixes; sizes use binary ones (1 KiB = 1024 bytes), so that caches and files agree.

>>> format_time(43.1e-6), format_bytes(3 * 2**20), format_flops(416_000), format_share(0.98612)
('43.1 µs', '3.00 MiB', '416 kFLOP', '98.61%')
"""

from __future__ import annotations

import math
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.core.measure import Accuracy, Ratio, Timing

UNKNOWN = "not known"
_REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029")
_SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_DECIMAL = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_BINARY = ((2.0**40, "TiB"), (2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"))


def format_time(seconds: float) -> str:
    """Seconds as "1.23 ms", "43.1 µs", "2.50 s", "3 min 05 s" or "2 h 07 min"."""
    if not math.isfinite(seconds):
        return UNKNOWN
    if seconds >= 59.95:
        minutes, rest = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
    scale, unit = _fitting(seconds, _SECONDS)
    return f"{significant(seconds / scale)} {unit}"


def format_span(low_s: float, high_s: float) -> str:
    """Two times with one unit, "41.0–46.2 µs"."""
    if not math.isfinite(low_s + high_s):
        return UNKNOWN
    scale, unit = _fitting(high_s, _SECONDS)
    return f"{significant(low_s / scale)}–{significant(high_s / scale)} {unit}"


def format_spread(timing: Timing) -> str:
    """The tenth to the ninetieth percentile of a distribution, "41.0–46.2 µs"."""
    return format_span(timing.quantile_s(0.1), timing.quantile_s(0.9))


def format_bytes(size: float) -> str:
    """Bytes as "812 B", "325 KiB" or "3.20 MiB"; 1 KiB = 1024 bytes."""
    if size < 1023.5:
        return f"{size:.0f} B"
    scale, unit = _fitting(size, _BINARY)
    return f"{significant(size / scale)} {unit}"


def format_count(count: int) -> str:
    """Whole numbers with thousands separated, "81,194"."""
    return f"{count:,}"


def format_flops(flops: float) -> str:
    """Work as "416 kFLOP" or "1.20 GFLOP"; 1 multiply-add = 2 FLOPs."""
    scale, prefix = _fitting(flops, _DECIMAL)
    return f"{significant(flops / scale)} {prefix}FLOP"


def format_share(share: float, digits: int = 2) -> str:
    """A share between 0 and 1 as per cent, "98.61%"."""
    return f"{share * 100:.{digits}f}%" if math.isfinite(share) else UNKNOWN


def format_points(difference: float) -> str:
    """A difference of two shares in percentage points with its sign, "+0.28 points"."""
    return f"{difference * 100 + 0.0:+.2f} points" if round(difference, 6) else "0 points"


def format_accuracy(accuracy: Accuracy) -> str:
    """A share of right answers with its 95% interval, "98.61% [96.8–99.4%]"."""
    low, high = f"{accuracy.low * 100:.1f}", f"{accuracy.high * 100:.1f}"
    return f"{format_share(accuracy.value)} [{low}–{high}%]"


def format_ratio(ratio: Ratio) -> str:
    """A speed-up with its 95% interval, "1.42× [1.38–1.47]"."""
    return f"{format_factor(ratio.mid)}× [{format_factor(ratio.low)}–{format_factor(ratio.high)}]"


def format_factor(factor: float) -> str:
    """A ratio with two decimals, "1.03"; three significant digits from 10 on."""
    return significant(factor) if factor >= 9.995 else f"{factor:.2f}"


def format_shape(shape: Sequence[int | str]) -> str:
    """A shape as Python writes it, "(1, 6, 28, 28)", free dimensions by name."""
    return f"({', '.join(str(dim) for dim in shape)}{',' if len(shape) == 1 else ''})"


def significant(value: float, digits: int = 3) -> str:
    """Round to `digits` significant digits without exponent; thousands are separated."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else UNKNOWN
    rounded = float(f"{value:.{digits}g}")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{min(decimals, 9)}f}"


def plain(value: object) -> str:
    """Any text on one line without control characters, so that no name can drive a terminal or break a page."""
    return "".join(
        " " if character in "\n\t\r" else "\N{REPLACEMENT CHARACTER}" if _unprintable(character) else character
        for character in str(value)
    )


def _unprintable(character: str) -> bool:
    # Cs: lone surrogates, which no encoder takes. Joiners (Cf) stay: emoji and Persian need them.
    return unicodedata.category(character) in ("Cc", "Cs") or character in _REORDERING


def _fitting(value: float, units: Sequence[tuple[float, str]]) -> tuple[float, str]:
    """The largest unit in which the rounded value is at least 1; the smallest one when there is none."""
    return next(((scale, unit) for scale, unit in units if float(f"{abs(value) / scale:.3g}") >= 1), units[-1])
