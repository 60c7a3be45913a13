"""Bits layer by layer: which layers need many values, under a budget of bytes or of accuracy.

For each layer and number of bits, what the network's loss becomes when that layer alone is rounded, and what the layer
takes in the file. Then one number for each layer, so that the sum of one is smallest while the sum of the other keeps
to a budget: the multiple-choice knapsack problem, solved by dynamic programming over the budget in 10,000 parts.

>>> pick([[5.0, 1.0], [9.0, 2.0]], [[1.0, 4.0], [1.0, 4.0]], budget=5.0)
[0, 1]
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from chipwise.codec.small_file import SmallFile, encode_small
from chipwise.codec.small_tensor import from_values
from chipwise.compression.sensitivity import BITS, MOST_SAMPLES, evenly, rounding_curve
from chipwise.compression.stages import Rounding, coded
from chipwise.core.events import Progress, silent
from chipwise.networks import small_file
from chipwise.training.evaluate import evaluate
from chipwise.training.trainable import put_back, simplified, trainable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx_ir as ir

    from chipwise.codec.small_file import Mode
    from chipwise.core.network import Network
    from chipwise.training.feed import Feed
    from chipwise.training.trainable import Trainable

_PARTS = 10_000  # of a budget: what a choice takes is rounded up to one of them
_ROOM = 0.98  # of the bytes: training moves weights, and with them the size


@dataclass(frozen=True, slots=True)
class Offer:
    """A layer at a number of bits: bytes in the file, and by how much the loss rises when it alone is rounded so."""

    bits: int
    size_bytes: int
    harm: float


def by_layer(
    network: Network,
    graph: ir.Model,
    validation: Feed,
    rounding: Rounding,
    most_bytes: int | None = None,
    *,
    progress: Progress = silent,
) -> Rounding:
    """Choose the bits of each layer.

    Args:
        network: whose file it will be.
        graph: pruned, not yet rounded; is not changed.
        validation: samples; at most 2,000 of them count, evenly spread.
        rounding: which values; its bits are what the choice is measured by.
        most_bytes: of the file: within them the loss rises as little as may be. None for as few bytes as may be, while
            the loss does not rise more than with the same bits in all layers.
        progress: told after each layer.
    """
    made = trainable(graph)
    offers = offers_of(made, evenly(validation, MOST_SAMPLES), rounding, progress=progress)
    room = None
    if most_bytes is not None:
        weights = {name: rounding.values(made.value(name), rounding.bits)(made.value(name)) for name in made.weights}
        alike = simplified(put_back(graph, {name: each.detach().numpy() for name, each in weights.items()}))
        last, tensors = coded(alike)
        file = small_file.to_small(replace(network, graph=last, source=None), tensors)
        at = {name: next(each for each in row if each.bits == rounding.bits) for name, row in offers.items()}
        beside = len(encode_small(file, mode=_mode())) - sum(each.size_bytes for each in at.values())
        room = _ROOM * (most_bytes - beside)
    return replace(rounding, each=chosen(offers, rounding.bits, room))


def offers_of(
    made: Trainable, feed: Feed, rounding: Rounding, *, progress: Progress = silent
) -> dict[str, tuple[Offer, ...]]:
    """Measure every layer at every number of bits; more bits never count as worse.

    Args:
        made: the network, without masks; is as it was in the end.
        feed: samples that are judged by.
        rounding: which values.
        progress: told after each layer.

    Returns:
        by layer, from many bits to few.
    """
    base, empty = evaluate(made.module, feed.inputs, feed.labels).loss, len(encode_small(SmallFile(b"", b"", ())))
    found = {}
    for number, name in enumerate(made.weights):
        weight, harm, row = made.value(name), 0.0, []
        for bits, point in zip(BITS, rounding_curve(made, feed, name, rounding), strict=True):
            harm = max(harm, point.loss - base)
            tensor = from_values("", rounding.values(weight, bits)(weight).detach().numpy() + np.float32(0.0))
            row.append(Offer(bits, len(encode_small(SmallFile(b"", b"", (tensor,)), mode=_mode())) - empty, harm))
        found[name] = tuple(row)
        progress.update("compress", (number + 1) / len(made.weights), f"bits of {name}")
    return found


def chosen(offers: Mapping[str, Sequence[Offer]], usual: int, room: float | None = None) -> dict[str, int]:
    """Bits by layer.

    Args:
        offers: by layer.
        usual: bits that are compared with where there is no room given.
        room: bytes that the layers may take; where even the fewest bits take more, all get these.
    """
    rows = list(offers.values())
    sizes = [[float(each.size_bytes) for each in row] for row in rows]
    harms = [[each.harm for each in row] for row in rows]
    if room is not None:
        tiny = 1e-9 / max(sum(map(max, sizes)), 1.0)  # of what does equally little harm, the smaller
        values = [
            [harm + tiny * size for harm, size in zip(*pair, strict=True)] for pair in zip(harms, sizes, strict=True)
        ]
        places = pick(values, sizes, room) or [int(np.argmin(row)) for row in sizes]
    else:
        alike = [next(place for place, each in enumerate(row) if each.bits == usual) for row in rows]
        budget = sum(row[place] for row, place in zip(harms, alike, strict=True))
        places = min(
            (each for each in (pick(sizes, harms, budget), alike) if each is not None),
            key=lambda each: sum(row[place] for row, place in zip(sizes, each, strict=True)),
        )
    return {name: row[place].bits for (name, row), place in zip(offers.items(), places, strict=True)}


def pick(values: Sequence[Sequence[float]], weights: Sequence[Sequence[float]], budget: float) -> list[int] | None:
    """One choice of each row with the smallest sum of values, whose weights sum to at most the budget.

    The sum is within the budget; as weights are rounded up to a 10,000th part of it, the values are at most those of
    the best choice under a budget smaller by as many parts as there are rows. Whole weights under a whole budget of at
    most 10,000 are not rounded.

    Args:
        values: by row and choice.
        weights: not negative, likewise.
        budget: of the weights.

    Returns:
        the place of each row's choice; None where nothing keeps to the budget.
    """
    if budget < 0:
        return None
    whole = (
        float(budget).is_integer() and budget <= _PARTS and all(each.is_integer() for row in weights for each in row)
    )
    parts = int(budget) if whole else _PARTS
    taken: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
    best = np.zeros(parts + 1)
    for row, cost in zip(values, weights, strict=True):
        tried = np.full((len(row), parts + 1), np.inf)
        for place, (value, weight) in enumerate(zip(row, cost, strict=True)):
            units = _units(weight, budget, parts)
            if units <= parts:
                tried[place, units:] = best[: parts + 1 - units] + value
        taken.append(tried.argmin(axis=0))
        best = tried.min(axis=0)
    if not np.isfinite(best[parts]):
        return None
    places, left = [], parts
    for cost, choice in zip(reversed(weights), reversed(taken), strict=True):
        places.append(int(choice[left]))
        left -= _units(cost[places[-1]], budget, parts)
    return places[::-1]


def _units(weight: float, budget: float, parts: int) -> int:
    if weight <= 0:
        return 0
    return int(min(np.ceil(weight * (parts / budget)), parts + 1)) if budget > 0 else parts + 1


def _mode() -> Mode:
    """The coder that measures: sizes of both differ by a thousandth, times by a factor of a hundred."""
    return "fast" if find_spec("constriction") else "small"
