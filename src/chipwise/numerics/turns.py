"""From which size on a library is faster than NumPy, or slower, beyond the noise.

>>> from chipwise.core.measure import Ratio, Timing
>>> rows = [
...     ArrayRow("copy", size, Way("torch"), Timing(5, (1.0,)), Ratio(mid, mid - 0.1, mid + 0.1, 5))
...     for size, mid in ((10, 0.5), (100, 1.0), (1000, 2.0), (10000, 3.0))
... ]
>>> turns_of(rows)[0].faster_from, turns_of(rows)[0].slower_from
(1000, None)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from chipwise.core.array_race import ArrayRow, ArrayTurn, Way

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from chipwise.core.measure import Ratio


def turns_of(rows: Iterable[ArrayRow]) -> tuple[ArrayTurn, ...]:
    """One turn an operation and way, in the order of the rows.

    Args:
        rows: of any operations, sizes and ways; those without a ratio to NumPy are left out.
    """
    found: dict[tuple[str, Way], list[tuple[int, Ratio]]] = {}
    for row in rows:
        if row.speedup is not None:
            found.setdefault((row.operation, row.way), []).append((row.size, row.speedup))
    made = []
    for (operation, way), timed in found.items():
        seen = sorted(timed, key=lambda pair: pair[0])
        faster, slower = _stays(seen, "faster"), _stays(seen, "slower")
        made.append(ArrayTurn(operation, way, faster, slower, *seen[-1]))
    return tuple(made)


def _stays(seen: Sequence[tuple[int, Ratio]], verdict: Literal["faster", "slower"]) -> int | None:
    """The smallest size from which on the verdict is this one up to the largest."""
    first = None
    for size, ratio in reversed(seen):
        if ratio.verdict != verdict:
            break
        first = size
    return first
