"""How a network is pruned: how much of each layer, and in which order pruning and training follow each other.

"gradual" lets masks grow while the network trains (M. Zhu, S. Gupta, 2017); "iterative" is the published cycle of
S. Han and others (NIPS 2015): prune to a step, retrain at a tenth of the learning rate, prune again.

>>> steps_between(1.0, 0.2, epochs=9)
[0.5848, 0.342, 0.2]
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from chipwise.compression.finetune import Lecture, Tuned, finetune
from chipwise.compression.masks import course, masked
from chipwise.compression.sensitivity import zeros_by_sensitivity
from chipwise.compression.stages import pruned
from chipwise.core.events import Part, Progress, silent
from chipwise.training.trainable import put_back, trainable

if TYPE_CHECKING:
    import onnx_ir as ir

    from chipwise.training.settings import Settings

Scope = Literal["adaptive", "global", "layer", "sensitivity"]
Schedule = Literal["gradual", "iterative"]
_KEEP = 0.5  # of the weights, in a step of the cycle
_SLOWER = 0.1  # of the learning rate
_MEASURING = 0.2  # of the bar


@dataclass(frozen=True, slots=True)
class Pruning:
    """How to prune.

    Attributes:
        scope: "adaptive" and "global" put one threshold on all layers, "layer" takes the same share of each, and
            "sensitivity" prunes each until the loss on validation samples has risen by the same amount.
        schedule: "gradual" while it trains, or "iterative": prune, retrain at a tenth of the learning rate, again.
    """

    scope: Scope = "adaptive"
    schedule: Schedule = "gradual"


def prune_to(
    graph: ir.Model,
    lecture: Lecture,
    settings: Settings,
    density: float,
    how: Pruning,
    *,
    progress: Progress = silent,
) -> tuple[ir.Model, Tuned]:
    """Prune a network to a density.

    Args:
        graph: is not changed.
        lecture: what it learns from; its validation samples tell how sensitive layers are.
        settings: of the training.
        density: share of the weights of layers that stay, 0..1.
        how: scope and schedule.
        progress: told after layers and epochs.

    Returns:
        the sparse graph, and how training went.
    """
    zeros = None
    if how.scope == "sensitivity":
        measuring, progress = Part(progress, "compress", 0.0, _MEASURING), Part(progress, "compress", _MEASURING, 1.0)
        zeros = zeros_by_sensitivity(graph, lecture.validation, density, progress=measuring)
    scope = "adaptive" if how.scope == "sensitivity" else how.scope  # not looked at where zeros are given
    if how.schedule == "gradual":
        return pruned(graph, lecture, settings, density, scope=scope, zeros=zeros, progress=progress)
    made = trainable(graph)
    masks = masked(made)
    before, go = masks.density(), course(masks, density, scope, zeros)
    steps = steps_between(before, density, settings.epochs or 1)
    slower = replace(
        settings,
        learning_rate=_SLOWER * settings.learning_rate,
        epochs=max(1, (settings.epochs or 1) // len(steps)),
    )
    history: tuple[float, ...] = ()
    densities: tuple[float, ...] = ()
    for number, step in enumerate(steps):
        go(1.0 if before <= density else (before - step) / (before - density))
        part = Part(progress, "compress", number / len(steps), (number + 1) / len(steps))
        tuned = finetune(made.module, lecture, slower, progress=part)
        kept = len(history) + tuned.kept
        history += tuned.history
        densities += (masks.density(),) * len(tuned.history)
    return put_back(graph, made.values()), Tuned(history, kept, densities)


def steps_between(before: float, after: float, epochs: int) -> list[float]:
    """Densities of a cycle, falling by the same factor, none to less than half of the one before where epochs last.

    Args:
        before: the density to begin with.
        after: the last one.
        epochs: of training; each step needs one.
    """
    halvings = math.log2(before / after) / math.log2(1 / _KEEP) if 0 < after < before else 1.0
    count = min(max(1, math.ceil(halvings)), epochs)
    ratio = min(after / before, 1.0) if before > 0 else 1.0
    return [*(round(before * ratio ** ((each + 1) / count), 4) for each in range(count - 1)), after]
