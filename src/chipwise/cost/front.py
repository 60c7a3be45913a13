"""Which of several choices nothing beats in two respects at once: the Pareto front.

>>> undominated([(1.0, 5.0), (2.0, 3.0), (2.0, 4.0), (3.0, 3.0)])
[True, True, False, False]
"""

from __future__ import annotations

from collections.abc import Sequence


def undominated(points: Sequence[tuple[float, float]]) -> list[bool]:
    """For each point, whether no other is at least as small in both coordinates and smaller in one; equals are kept."""
    return [
        not any(other != point and other[0] <= point[0] and other[1] <= point[1] for other in points)
        for point in points
    ]
