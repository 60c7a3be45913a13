"""Where the weights of each layer lie before pruning, after it, after retraining, and once they have few values.

>>> counted(np.array([0.0, 0.4, -0.9]), 1.0).zeros
1
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from chipwise.core.compression import Histogram, LayerWeights
from chipwise.training.trainable import parameters

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    import onnx_ir as ir
    from numpy.typing import NDArray

    from chipwise.core.compression import Stage

_BINS = 51  # odd, so that one is around zero


def layer_weights(source: ir.Model, stages: Sequence[Stage], graphs: Sequence[ir.Model]) -> tuple[LayerWeights, ...]:
    """A compression's weights, layer by layer.

    Args:
        source: the graph that was compressed.
        stages: what was done to it, in order, the last one rounding.
        graphs: what each left.
    """
    by_stage = list(zip((stage.name for stage in stages), graphs, strict=True))
    start = next((graph for name, graph in reversed(by_stage) if name == "narrow"), source)
    sparse = next((graph for name, graph in reversed(by_stage) if name == "prune"), None)
    before, few = parameters(start)[0], parameters(by_stage[-1][1])[0]
    trained = before if sparse is None else parameters(sparse)[0]
    original = list(parameters(source)[0])
    titles = original if len(original) == len(before) else list(before)
    return tuple(
        _layer(title, before[name], None if sparse is None else trained[name] != 0, trained[name], few[name])
        for title, name in zip(titles, before, strict=True)
    )


def _layer(
    title: str, before: NDArray[Any], mask: NDArray[np.bool_] | None, trained: NDArray[Any], few: NDArray[Any]
) -> LayerWeights:
    bound = max(float(np.abs(each).max(initial=0.0)) for each in (before, trained, few)) or 1.0
    values, counts = np.unique(few[few != 0], return_counts=True)
    return LayerWeights(
        name=title,
        bound=bound,
        before=counted(before, bound),
        masked=None if mask is None else counted(before * mask, bound),
        trained=counted(trained, bound),
        values=tuple(map(float, values)),
        counts=tuple(map(int, counts)),
        zeros=int((few == 0).sum()),
    )


def counted(values: NDArray[Any], bound: float) -> Histogram:
    """A histogram from minus the bound to the bound, zeros apart.

    Args:
        values: any shape, none beyond the bound.
        bound: above 0.
    """
    counts, _ = np.histogram(values[values != 0], bins=_BINS, range=(-bound, bound))
    return Histogram(tuple(map(int, counts)), int((values == 0).sum()))
