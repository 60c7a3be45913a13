"""A Gaussian process: what was measured nearby counts most; far from everything, what is usual is expected.

Rasmussen and Williams, "Gaussian Processes for Machine Learning", MIT Press 2006, algorithm 2.1. Fitting
(`chipwise.compiler.kernel_fit`) gives each measured point a weight; expecting is a sum over the points and needs no
library.

>>> round(expected((0.5,), [(0.0,), (1.0,)], [0.2, 0.2]), 3)
0.314
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Point = tuple[float, ...]

_ROOT = math.sqrt(3)


def likeness(a: Point, b: Point) -> float:
    """How much a value at `a` tells of one at `b`, 1 for the same point: Matern 3/2, since speeds have kinks."""
    far = _ROOT * math.dist(a, b)
    return (1 + far) * math.exp(-far)


def expected(point: Point, points: Sequence[Point], weights: Sequence[float]) -> float:
    """How far the value at a point is expected to lie from the usual one.

    Args:
        point: scaled, so that 1 is how far away a point still tells much.
        points: that were measured, scaled alike.
        weights: of each.
    """
    return sum(weight * likeness(point, other) for other, weight in zip(points, weights, strict=True))
