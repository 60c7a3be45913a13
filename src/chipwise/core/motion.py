"""How well pictures are known when they are moved, turned or scaled, by several networks side by side.

>>> Motion("shift", (MotionPoint(0, (Interval(0.9, 0.95, 0.97, 0.95),)),)).points[0].accuracy[0].mid
0.95
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from chipwise.core.estimate import Interval

MotionKind = Literal["shift", "rotate", "scale"]


@dataclass(frozen=True, slots=True)
class MotionPoint:
    """One size of a motion.

    Attributes:
        amount: pixels (of the data's pictures), degrees, or how many times as large.
        accuracy: of each network in order, 0..1, with its 95% interval.
    """

    amount: float
    accuracy: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class Motion:
    """A kind of motion and its points, the least first; one of them is the picture as it is."""

    kind: MotionKind
    points: tuple[MotionPoint, ...]


@dataclass(frozen=True, slots=True)
class MovedCheck:
    """Answer of `check_moved`: accuracy as the picture moves.

    Attributes:
        networks: names, in the order of all accuracies; data: name; split: which part of it was used.
        samples: pictures that were moved; available: how many the split has, in which these lie evenly.
        side: height and width of the pictures, in whose pixels shifts are counted.
        fill: pixel values, one a channel, of what comes in from outside a picture.
        motions: those that were asked for.
        pictures: file that the curves were drawn into; empty for none.
    """

    networks: tuple[str, ...]
    data: str
    split: str
    samples: int
    available: int
    side: tuple[int, int]
    fill: tuple[int, ...]
    motions: tuple[Motion, ...]
    pictures: str = ""
    schema: str = "chipwise.motion/1"
