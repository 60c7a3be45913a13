"""Which channels go so that a network gets faster: those that change its answers least for the time that they take.

Greedy, one step of one group at a time: of every group the channels that are worth least (`narrow`), as many as leave
a multiple of the machine's step, and the time that the table says the network is then faster by. A group may go as a
whole where the network's answer still depends on its input, as a branch beside a sum. The knapsack is that of M. Shen
and others, "Structural pruning via latency-saliency knapsack", NeurIPS 2022, solved greedily; but what a step costs is
not estimated from gradients, which say little of a whole branch: it is tried. What was tried before other channels
went is tried again only where it would be taken (lazily, as in M. Minoux, "Accelerated greedy algorithms", 1978).

>>> import numpy as np
>>> place = Place("w", 0, np.array([0, 1, 2]), True), Place("v", 0, np.array([0, 1, -1]), True)
>>> [each.width for each in cells(ChannelGroup(3, place))]
[2, 1]
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from chipwise.compression.latency_table import LatencyTable, LayerAt, layer_nodes, layers_of
from chipwise.compression.narrow import Narrowing
from chipwise.optimize.channels import ChannelGroup, Place, groups
from chipwise.optimize.rewrite import is_op, weight_axes

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from chipwise.training.trainable import Trainable

_JOINING = ("Add", "Sub", "Sum", "Max", "Min", "Mean", "Concat")  # something is left as long as one input is


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a graph is by its layers' widths.

    Attributes:
        table: of its layers' times.
        scale: what the table's sum is multiplied with, so that it is what was measured.
        rest_s: what was measured and is not in layers; it goes with what they write.
        values: that the layers wrote then.
    """

    table: LatencyTable
    scale: float = 1.0
    rest_s: float = 0.0
    values: float = 1.0

    def seconds(self, layers: tuple[LayerAt, ...]) -> float:
        """What the whole takes with layers of these widths."""
        return self.scale * self.table.seconds(layers) + self.rest_s * written(layers) / max(self.values, 1.0)


def calibrated(table: LatencyTable, layers: tuple[LayerAt, ...], measured_s: float) -> Pace:
    """The pace at which a graph of these layers takes what was measured."""
    found = table.seconds(layers)
    scale = min(1.0, measured_s / max(found, 1e-12))
    return Pace(table, scale, max(0.0, measured_s - found), written(layers))


def written(layers: tuple[LayerAt, ...]) -> float:
    """Values that layers write, each as many places as it reads."""
    return float(sum(layer.outputs * int(np.prod(layer.shape.places)) for layer in layers if layer.inputs > 0))


def cells(group: ChannelGroup) -> list[ChannelGroup]:
    """Channels that are in all the same places, each a group: so that whole steps go from every layer they are in.

    The stages of a residual network whose shortcuts pad channels are one group, and narrow layers have part of it.
    """
    inside = np.stack([_counts(place, group.width) for place in group.places], axis=1)
    _, which = np.unique(inside, axis=0, return_inverse=True)
    first = [int(np.flatnonzero(which.ravel() == number)[0]) for number in range(int(which.max()) + 1)]
    return [_part(group, np.flatnonzero(which.ravel() == which.ravel()[channel])) for channel in sorted(first)]


def _counts(place: Place, width: int) -> NDArray[np.int64]:
    return np.bincount(place.channels[place.channels >= 0], minlength=width)


def _part(group: ChannelGroup, members: NDArray[np.int64]) -> ChannelGroup:
    number = np.full(group.width + 1, -1)
    number[members] = np.arange(len(members))
    renamed = (Place(each.weight, each.axis, number[each.channels], each.written) for each in group.places)
    return ChannelGroup(len(members), tuple(each for each in renamed if (each.channels >= 0).any()))


@dataclass(frozen=True, slots=True)
class _Option:
    """Channels of a cell that may go, how many it is left with, and seconds that are saved."""

    number: int
    going: Tensor
    left: int
    saved_s: float


@dataclass(slots=True)
class Quickening:
    """Channels of a graph that are being taken away to make it faster.

    Attributes:
        narrowing: what is left of each cell of channels, and what each is worth.
        nodes: of layers; layers: at the widths of the graph as it came.
        reads, makes: by layer, how many of its inputs or outputs each channel of a cell is.
        pace: how fast it is by its widths.
        judge: how bad the network that learns is, now.
        tried: by cell and channels left of it, how much worse it was without the others when that was tried.
    """

    narrowing: Narrowing
    nodes: list[ir.Node]
    layers: tuple[LayerAt, ...]
    reads: list[dict[int, NDArray[np.int64]]]
    makes: list[dict[int, NDArray[np.int64]]]
    pace: Pace
    judge: Callable[[nn.Module], float]
    tried: dict[tuple[int, int], float] = field(default_factory=dict)

    def widths(self, alive: list[Tensor] | None = None) -> tuple[LayerAt, ...] | None:
        """The layers with as many channels as are alive, or as mean something; None where the answer is lost.

        A layer whose input no longer depends on the network's reads nothing.
        """
        left = [each.numpy() for each in (self.narrowing.alive if alive is None else alive)]
        graph, found = self.narrowing.made.graph.graph, list(self.layers)
        moving, place = set(graph.inputs), {node: number for number, node in enumerate(self.nodes)}
        for node in graph:
            varying = [value for value in node.inputs if value is not None and not _fixed(value)]
            gone = [value for value in varying if value not in moving]
            goes_on = len(gone) < len(varying) and (not gone or is_op(node, *_JOINING))
            if (number := place.get(node)) is not None:
                layer = self.layers[number]
                reads, makes = (
                    size - sum(int(counts[~left[cell]].sum()) for cell, counts in side[number].items())
                    for size, side in ((layer.inputs, self.reads), (layer.outputs, self.makes))
                )
                found[number] = replace(layer, inputs=reads if goes_on else 0, outputs=makes)
                goes_on = goes_on and min(reads, makes) > 0
            if goes_on:
                moving.update(node.outputs)
        return tuple(found) if graph.outputs[0] in moving else None

    def seconds(self, alive: list[Tensor] | None = None) -> float:
        """What the table says of the graph with these channels; infinite where it no longer answers."""
        layers = self.widths(alive)
        return float("inf") if layers is None else self.pace.seconds(layers)

    def drop_to(self, seconds: float) -> None:
        """Take channels away until the table says that it is as fast as that, or no more can go."""
        while (now := self.seconds()) > seconds:
            options = [each for number in range(len(self.narrowing.groups)) for each in self._options(number, now)]
            if not options:
                break
            best = self._least_bad(options)
            self.narrowing.alive[best.number][best.going] = False
            self.narrowing.silence()
            self.tried = {key: worse for key, worse in self.tried.items() if key[0] != best.number}
        self._quiet_branches()

    def _least_bad(self, options: list[_Option]) -> _Option:
        """The option that makes the network least worse for a second saved, as it is now."""
        now, fresh = self.judge(self.narrowing.made.module), set[tuple[int, int]]()
        while True:
            for option in options:
                if (key := (option.number, option.left)) not in self.tried:
                    self.tried[key] = self._without(option) - now
                    fresh.add(key)
            rates = [max(self.tried[each.number, each.left], 0.0) / each.saved_s for each in options]
            best = options[min(range(len(options)), key=lambda place: (rates[place], -options[place].saved_s))]
            if (best.number, best.left) in fresh:
                return best
            del self.tried[best.number, best.left]

    def _without(self, option: _Option) -> float:
        """How bad the network would be without these channels; it is as before afterwards."""
        narrowing, learned = self.narrowing, self.narrowing.made.module.inner.learned
        weights = {place.weight for place in narrowing.groups[option.number].places if place.weight in learned}
        before, alive = {name: narrowing.parameter(name).detach().clone() for name in weights}, narrowing.alive
        narrowing.alive = [each.clone() for each in alive]
        narrowing.alive[option.number][option.going] = False
        narrowing.silence()
        found = self.judge(narrowing.made.module)
        narrowing.alive = alive
        with torch.no_grad():
            for name, value in before.items():
                narrowing.parameter(name).copy_(value)
        return found

    def _options(self, number: int, now: float) -> list[_Option]:
        """Of a cell: the fewest channels that save time, and all of them."""
        narrowing = self.narrowing
        alive, worth = narrowing.alive[number], narrowing.worth[number]
        order = torch.where(alive, worth, torch.inf).argsort()
        width = int(alive.sum())
        found: list[_Option] = []
        for left in dict.fromkeys((*range((width - 1) // narrowing.step * narrowing.step, 0, -narrowing.step), 0)):
            if width == 0 or (found and left):
                continue  # fewer, after one that saves time
            going = order[: width - left]
            after = [each.clone() if place == number else each for place, each in enumerate(narrowing.alive)]
            after[number][going] = False
            saved = now - self.seconds(after)
            if saved > 0:
                found.append(_Option(number, going, left, saved))
        return found

    def _quiet_branches(self) -> None:
        """Zero what a layer adds that reads nothing any more: so the sum behind it goes as well."""
        made = self.narrowing.made
        for node, layer in zip(self.nodes, self.widths() or (), strict=False):
            bias = node.inputs[2] if len(node.inputs) > 2 else None
            if layer.inputs <= 0 and bias is not None and bias.name in made.biases:
                with torch.no_grad():
                    self.narrowing.parameter(str(bias.name)).zero_()


def _fixed(value: ir.Value) -> bool:
    return value.is_initializer() or (value.producer() is not None and is_op(value.producer(), "Constant"))


def quickening(
    made: Trainable, table: LatencyTable, measured_s: float, step: int, judge: Callable[[nn.Module], float]
) -> Quickening:
    """All channels of a graph, of which nothing is known yet, at the pace that was measured.

    Args:
        made: the graph that learns.
        table: of its layers' times, at least.
        measured_s: that one item takes.
        step: widths stay multiples of it.
        judge: how bad a network is that learns: the loss on some samples.
    """
    found = [cell for group in groups(made.graph) for cell in cells(group)]
    layers, known = layers_of(made.graph), layer_nodes(made.graph)
    sides: tuple[list[dict[int, Any]], list[dict[int, Any]]] = ([], [])
    for layer, (node, weights) in zip(layers, known, strict=True):
        for side, axis in zip(reversed(sides), weight_axes(node, weights.ndim), strict=True):
            side.append(_members(found, layer, axis))
    if any(layer.shape.group_inputs for layer in layers):
        _follow_groups(layers, sides)
    narrowing = Narrowing(
        made,
        found,
        [torch.ones(cell.width, dtype=torch.bool) for cell in found],
        [torch.zeros(cell.width) for cell in found],
        step,
    )
    nodes = [node for node, _ in known]
    return Quickening(narrowing, nodes, layers, *sides, calibrated(table, layers, measured_s), judge)


def _members(found: list[ChannelGroup], layer: LayerAt, axis: int) -> dict[int, NDArray[np.int64]]:
    """By cell: how many places along an axis of a layer's weights each of its channels has."""
    rank = len(layer.shape.kernel) + 2
    return {
        number: sum((_counts(place, cell.width) for place in here), np.zeros(cell.width, np.int64))
        for number, cell in enumerate(found)
        if (here := [each for each in cell.places if each.weight == layer.weight and each.axis % rank == axis])
    }


def _follow_groups(layers: tuple[LayerAt, ...], sides: tuple[list[dict[int, Any]], list[dict[int, Any]]]) -> None:
    """A grouped layer reads as many groups as it makes."""
    for number, layer in enumerate(layers):
        if layer.shape.group_inputs:
            known = 0 if sides[0][number] else 1
            ratio = layer.shape.group_inputs / layer.shape.group_outputs
            times = ratio if known else 1 / ratio
            sides[1 - known][number] = {
                cell: np.rint(counts * times).astype(np.int64) for cell, counts in sides[known][number].items()
            }
