"""The stages that make a network smaller, each from a graph to a graph: fewer weights, then fewer values for them.

>>> Rounding(bits=3).title
'3-bit steps'
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from torch.nn.utils import parametrize

from chipwise.codec.small_tensor import SmallTensor, from_symbols, from_values
from chipwise.compression.codebooks import Shared, Start, cluster
from chipwise.compression.finetune import Lecture, Tuned, finetune, steps_of
from chipwise.compression.levels import Levels
from chipwise.compression.masks import Scope, course, masked, share_at
from chipwise.core.events import Progress, silent
from chipwise.training.trainable import parameters, put_back, trainable

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx_ir as ir
    from numpy.typing import NDArray
    from torch import Tensor

    from chipwise.training.settings import Settings

Kind = Literal["steps", "codebook"]
_GRADUALLY = 0.6  # of the epochs, in which masks grow; in the rest they stay, and weights recover
_EVERY = 25  # steps between two masks
_BIAS_BITS = 8


@dataclass(frozen=True, slots=True)
class Rounding:
    """Which values weights may have.

    Attributes:
        bits: of a weight: 2^bits - 1 values, zero among them, for steps; one more for a codebook.
        kind: "steps" (whole numbers times a step that is learned) or "codebook" (k-means, values that are learned).
        start: of k-means.
        seed: of its draw.
        each: bits of layers that have others, by initializer.
    """

    bits: int
    kind: Kind = "steps"
    start: Start = "linear"
    seed: int = 0
    each: Mapping[str, int] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """For tables."""
        return f"{self.bits}-bit {self.kind}"

    def values(self, weight: Tensor, bits: int) -> Levels | Shared:
        """What gives each weight of a layer its value, as it is before any training.

        Args:
            weight: any shape.
            bits: of one.
        """
        if self.kind == "steps":
            return Levels(weight, bits)
        return Shared(cluster(weight, bits, self.start, self.seed))


def pruned(
    graph: ir.Model,
    lecture: Lecture,
    settings: Settings,
    density: float,
    *,
    scope: Scope = "adaptive",
    zeros: Mapping[str, float] | None = None,
    progress: Progress = silent,
) -> tuple[ir.Model, Tuned]:
    """Set the smallest weights to zero, little by little, while the others learn to do without them.

    Args:
        graph: is not changed.
        lecture: what it learns from.
        settings: of the training; masks are settled after 60% of its epochs.
        density: share of the weights of layers that stay, 0..1; what is zero already counts as pruned.
        scope: of the threshold.
        zeros: share of each layer's weights that goes, in place of a threshold.
        progress: told after epochs.
    """
    made = trainable(graph)
    masks, epochs, steps = masked(made), settings.epochs or 1, steps_of(lecture, settings)
    go, growing = course(masks, density, scope, zeros), int(steps * epochs * _GRADUALLY)
    densities = [masks.density()] * epochs

    def grow(step: int) -> None:
        if step == growing:
            go(1.0)
        elif step < growing and step % _EVERY == 0:
            go(share_at(step, growing))
        else:
            return
        now = step // steps
        densities[now:] = [masks.density()] * (epochs - now)

    settled = min(epochs, int(epochs * _GRADUALLY) + 2)
    tuned = finetune(made.module, lecture, settings, before_step=grow, settled_from=settled, progress=progress)
    return put_back(graph, made.values()), replace(tuned, densities=tuple(densities))


def rounded(
    graph: ir.Model, lecture: Lecture, settings: Settings, rounding: Rounding, *, progress: Progress = silent
) -> tuple[ir.Model, Tuned]:
    """Give each layer's weights a few values, and train these values and which weight takes which.

    Args:
        graph: is not changed; its zeros stay.
        lecture: what it learns from.
        settings: of the training.
        rounding: which values.
        progress: told after epochs.

    Returns:
        the graph with rounded weights, and how training went.
    """
    made = trainable(graph)
    masked(made)
    inner = made.module.inner
    for name in made.weights:
        shared = rounding.values(made.value(name), rounding.each.get(name, rounding.bits))
        parametrize.register_parametrization(inner, made.place(name), shared)
    tuned = finetune(made.module, lecture, settings, progress=progress)
    return put_back(graph, made.values()), tuned


def coded(graph: ir.Model) -> tuple[ir.Model, dict[str, SmallTensor]]:
    """Round biases to 8 bits, and say how a compressed file stores each tensor.

    Args:
        graph: with weights that have few values; is not changed.

    Returns:
        the graph that the file decodes to, and its tensors.
    """
    weights, biases = parameters(graph)
    tensors = {name: from_values(name, values) for name, values in weights.items()}
    tensors |= {name: _bias(name, values) for name, values in biases.items()}
    return put_back(graph, {name: tensor.dense() for name, tensor in tensors.items()}), tensors


def _bias(name: str, values: NDArray[np.float32]) -> SmallTensor:
    highest = 2 ** (_BIAS_BITS - 1) - 1
    step = float(np.abs(values).max(initial=0.0)) / highest or 1.0
    return from_symbols(name, np.rint(values / np.float32(step)), step=step)
