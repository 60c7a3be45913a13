"""Structured pruning: channels whose loss costs least go first, in all layers that share them.

What a channel is worth is the squared first-order estimate of how the loss moves without it (P. Molchanov and others,
"Importance estimation for neural network pruning", CVPR 2019), per weight that goes with it. Channels are only set to
zero here; `chipwise.optimize.remove_dead_channels` takes them out of the graph, by the same dependency graph. Round by
round, so that each round trains a smaller network than the last.

>>> sizes(800, 100, 0.5)
[400, 200, 100]
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from chipwise.compression.finetune import Lecture, Tuned, finetune
from chipwise.core.events import Part, Progress, silent
from chipwise.optimize.channels import ChannelGroup, groups
from chipwise.training.trainable import Trainable, put_back, simplified, trainable, weights_left

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray
    from torch import Tensor

    from chipwise.training.settings import Settings

_MEMORY = 0.99  # of the running mean of squares, a step
_KEEP = 0.5  # of the weights, in a round
_PORTION = 50  # a round takes channels in so many portions: what goes later depends on what went before


def narrowed(
    graph: ir.Model, lecture: Lecture, settings: Settings, weights: int, *, step: int = 1, progress: Progress = silent
) -> tuple[ir.Model, Tuned | None]:
    """Take channels away until so many weights are left, training in between.

    Args:
        graph: is not changed.
        lecture: what it learns from.
        settings: of the training after each round; its epochs are those after the last one, before it one each.
        weights: of layers, that are to be left; the last round ends a little below.
        step: widths stay multiples of it, where a group is wider.
        progress: told after epochs.

    Returns:
        the narrower graph, and how its training went; None where the graph had no more weights already.
    """
    left = weights_left(graph)
    rounds, tuned = sizes(left, weights, _KEEP), None
    for number, size in enumerate(rounds):
        part = Part(progress, "compress", number / (len(rounds) + 1), (number + 1) / (len(rounds) + 1))
        made = trainable(graph)
        narrowing = start(made, step)
        once = dataclasses.replace(settings, epochs=1)
        finetune(made.module, lecture, once, before_step=narrowing.observe, progress=part)
        narrowing.drop_to(size)
        graph = simplified(put_back(graph, made.values()))
    if rounds:
        made = trainable(graph)
        tuned = finetune(
            made.module, lecture, settings, progress=Part(progress, "compress", len(rounds) / (len(rounds) + 1), 1.0)
        )
        graph = put_back(graph, made.values())
    return graph, tuned


def sizes(before: int, after: int, keep: float) -> list[int]:
    """How many weights are left after each round, so that none takes more than the share 1 - `keep`."""
    found = []
    while before > after:
        before = max(after, round(before * keep))
        found.append(before)
    return found


@dataclass(slots=True)
class Narrowing:
    """Channels of a graph that are being taken away.

    Attributes:
        made: the graph that learns.
        groups: of its channels; alive: those of each that are left.
        worth: of each group's channels.
        step: a width that the machine likes; groups keep multiples of it.
    """

    made: Trainable
    groups: list[ChannelGroup]
    alive: list[Tensor]
    worth: list[Tensor]
    step: int = 1

    def parameter(self, name: str) -> Tensor:
        """The parameter of an initializer that learns."""
        return getattr(self.made.module.inner, self.made.place(name))  # type: ignore[no-any-return]

    def observe(self, _: int = 0) -> None:
        """Take the last step's gradients into account."""
        for number, group in enumerate(self.groups):
            total = torch.zeros(group.width)
            for place in group.places:
                if not place.written or place.weight not in self.made.module.inner.learned:
                    continue
                value = self.parameter(place.weight)
                if value.grad is None:
                    continue
                moved = (value.detach() * value.grad).movedim(place.axis, 0).reshape(value.shape[place.axis], -1)
                total += _by_channel(moved.sum(dim=1), place.channels, group.width)
            self.worth[number] = _MEMORY * self.worth[number] + (1 - _MEMORY) * total.square()

    def costs(self) -> list[Tensor]:
        """Weights that go with each channel [C], as wide as the graph is now."""
        found = []
        for number, group in enumerate(self.groups):
            total = torch.zeros(group.width)
            for place in group.places:
                if place.weight not in self.made.weights:
                    continue
                filled = (self.parameter(place.weight).detach() != 0).float().movedim(place.axis, 0)
                total += _by_channel(filled.reshape(filled.shape[0], -1).sum(dim=1), place.channels, group.width)
            found.append(total * self.alive[number])
        return found

    def drop_to(self, weights: int) -> None:
        """Zero the channels that are worth least for what they cost until so many weights are left.

        Args:
            weights: that are to be left; where every group is at its narrowest, more stay.
        """
        portion = max(1, (_count(self.made) - weights) // _PORTION)
        while (left := _count(self.made)) > weights:
            costs = self.costs()
            ranks = [self._ranks(number, cost) for number, cost in enumerate(costs)]
            number = min(range(len(ranks)), key=lambda each: float(ranks[each].min()), default=-1)
            if number < 0 or not torch.isfinite(ranks[number].min()):
                return
            excess = min(portion, left - weights)
            many = max(1, int(excess / float(costs[number][self.alive[number]].mean().clamp(min=1))))
            many = max(self.step, many // self.step * self.step)
            many = min(many, int(torch.isfinite(ranks[number]).sum()), int(self.alive[number].sum()) - self.step)
            self.alive[number][ranks[number].argsort()[:many]] = False
            self.silence()

    def _ranks(self, number: int, cost: Tensor) -> Tensor:
        """Worth for the cost, [C]; infinite for what is gone, and for all of a group that is at its narrowest."""
        alive = self.alive[number]
        if int(alive.sum()) <= self.step:
            return torch.full_like(cost, torch.inf)
        return torch.where(alive, self.worth[number] / cost.clamp(min=1), torch.inf)

    def silence(self) -> None:
        """Set what belongs to dead channels to zero, in all places at once."""
        with torch.no_grad():
            for group, alive in zip(self.groups, self.alive, strict=True):
                if bool(alive.all()):
                    continue
                for place in group.places:
                    if place.weight not in self.made.module.inner.learned:
                        continue
                    value = self.parameter(place.weight)
                    numbers = torch.from_numpy(place.channels)
                    gone = (numbers >= 0) & ~alive[numbers.clamp(min=0)]
                    value.index_fill_(place.axis, gone.nonzero().flatten(), 0.0)


def start(made: Trainable, step: int = 1) -> Narrowing:
    """All channels, of which nothing is known yet."""
    found = groups(made.graph)
    return Narrowing(
        made,
        found,
        [torch.ones(group.width, dtype=torch.bool) for group in found],
        [torch.zeros(group.width) for group in found],
        step,
    )


def _by_channel(values: Tensor, channels: NDArray[np.int64], width: int) -> Tensor:
    numbers = torch.from_numpy(channels)
    inside = numbers >= 0
    return torch.zeros(width).index_add_(0, numbers[inside], values[inside])


def _count(made: Trainable) -> int:
    """Weights that are not zero."""
    return sum(int((made.value(name) != 0).sum()) for name in made.weights)
