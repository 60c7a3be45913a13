"""Accuracy as pictures are shifted, turned or scaled: the same pictures for everything that is compared.

>>> [move.amount for move in moves_of("shift", 2)], len(moves_of("shift", 2)[1].ways)
([0.0, 1.0, 2.0], 4)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from chipwise.compiler.check import as_network
from chipwise.compiler.load import open_plan
from chipwise.compiler.parts import build_default
from chipwise.compiler.subject import predicted_classes, require_classes
from chipwise.core.errors import DataError
from chipwise.core.estimate import Interval
from chipwise.core.events import Progress, silent
from chipwise.core.motion import Motion, MotionKind, MotionPoint, MovedCheck
from chipwise.datasets.dataset import Dataset
from chipwise.datasets.feed import inputs_for
from chipwise.tasks.metrics import wilson
from chipwise.tasks.motion import edge_value, scaled, shifted, turned

if TYPE_CHECKING:
    from chipwise.core.device import Machine
    from chipwise.core.network import Network
    from chipwise.core.plan import Plan

Classify = Callable[[Dataset], NDArray[np.int64]]
Fill = tuple[int, ...]
Move = Callable[[NDArray[np.uint8], Fill], NDArray[np.uint8]]

_MOST_SHIFTS = 16  # points of a curve
_TURNS, _SCALES = 6, 3
_COVERAGE = 0.95


@dataclass(frozen=True, slots=True)
class Moves:
    """One size of a motion, and the ways in which it is made: accuracy is their mean; none for pictures as they are."""

    amount: float
    ways: tuple[Move, ...] = ()


def moves_of(kind: MotionKind, most: float) -> list[Moves]:
    """The points of a curve.

    Args:
        kind: "shift" (by whole pixels to the left, to the right, up and down), "rotate" (both ways), or "scale".
        most: the largest: pixels, degrees, or how many times as large; scales go down as far as they go up.
    """
    if kind == "shift":
        step = math.ceil(most / _MOST_SHIFTS)
        return [Moves(0.0), *(Moves(float(size), _shifts(size)) for size in range(step, int(most) + 1, step))]
    if kind == "rotate":
        angles = [most * step / _TURNS for step in range(1, _TURNS + 1)]
        return [Moves(0.0), *(Moves(angle, (_turn(angle), _turn(-angle))) for angle in angles)]
    larger = [1 + (most - 1) * step / _SCALES for step in range(1, _SCALES + 1)]
    factors = [*(1 / factor for factor in reversed(larger)), 1.0, *larger]
    return [Moves(factor, () if factor == 1 else (_scale(factor),)) for factor in factors]


def check_moved(
    contestants: Mapping[str, Classify],
    data: Dataset,
    most: Mapping[MotionKind, float],
    *,
    samples: int,
    progress: Progress = silent,
) -> MovedCheck:
    """Count right answers on the test split as its pictures move.

    Args:
        contestants: by name, what gives the class of each picture of a data set.
        data: pictures; the test split is used.
        most: how far each kind of motion goes.
        samples: at most so many pictures, evenly spread.
        progress: told after each motion.

    Raises:
        DataError: the data holds no pictures, or none to test with.
    """
    if not data.pictures:
        raise DataError(f"{data.name} holds arrays, which cannot be moved", hint="give pictures (uint8)")
    whole = data.split().test
    if not len(whole):
        raise DataError(f"{data.name} has no test samples")
    count = min(samples, len(whole))
    test = whole.take(np.arange(count) * len(whole) // count)
    fill = edge_value(cast("NDArray[np.uint8]", test.inputs))
    still = _right(contestants, test, Moves(1.0), fill)
    motions = []
    for place, (kind, far) in enumerate(most.items()):
        moves, points = moves_of(kind, far), []
        for step, each in enumerate(moves):
            rates = _right(contestants, test, each, fill) if each.ways else still
            points.append(MotionPoint(each.amount, rates))
            progress.update("moving", (place + (step + 1) / len(moves)) / len(most), f"{kind} {each.amount:g}")
        motions.append(Motion(kind, tuple(points)))
    height, width = test.inputs.shape[1:3]
    return MovedCheck(tuple(contestants), data.name, "test", count, len(whole), (height, width), fill, tuple(motions))


def network_classifier(network: Network, model: bytes) -> Classify:
    """A network in ONNX Runtime.

    Args:
        network: with its task and inputs.
        model: its graph, serialized.

    Raises:
        InputError: it gives no classes. RuntimeUnavailableError: it cannot run.
    """
    require_classes(network.task, network.name)
    engine = build_default("onnxruntime", model)
    return lambda dataset: predicted_classes(engine, inputs_for(dataset, network))


def plan_classifier(plan: Plan, name: str, machine: Machine) -> Classify:
    """A plan on this machine.

    Args:
        plan: an opened plan file.
        name: what errors call it.
        machine: this machine.

    Raises:
        InputError: it gives no classes. RuntimeUnavailableError: it cannot run here.
    """
    require_classes(plan.manifest.task, name)
    engine, network = open_plan(plan, machine), as_network(plan)
    return lambda dataset: predicted_classes(engine, inputs_for(dataset, network))


def _right(contestants: Mapping[str, Classify], test: Dataset, moves: Moves, fill: Fill) -> tuple[Interval, ...]:
    """The share of right answers of each, the mean over all ways; its interval is that of as many pictures."""
    pictures = cast("NDArray[np.uint8]", test.inputs)
    versions = [replace(test, inputs=move(pictures, fill)) for move in moves.ways] or [test]
    rates = []
    for classify in contestants.values():
        share = sum(float((classify(each) == test.labels).mean()) for each in versions) / len(versions)
        low, high = wilson(share, len(test))
        rates.append(Interval(low, share, high, _COVERAGE))
    return tuple(rates)


def _shifts(size: int) -> tuple[Move, ...]:
    return tuple(_shift(down, right) for down, right in ((0, -size), (0, size), (-size, 0), (size, 0)))


def _shift(down: int, right: int) -> Move:
    return lambda pictures, fill: shifted(pictures, down, right, fill)


def _turn(degrees: float) -> Move:
    return lambda pictures, fill: turned(pictures, degrees, fill)


def _scale(factor: float) -> Move:
    return lambda pictures, fill: scaled(pictures, factor, fill)
