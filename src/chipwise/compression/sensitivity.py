"""What each layer alone can lose: accuracy with fewer of its weights, or fewer values for them, without training.

S. Han and others draw such curves ("Learning both weights and connections", NIPS 2015, figure 6) and set each layer's
threshold by them by hand; `even_zeros` does it by rule: every layer is pruned until its curve of the loss has risen by
the same amount, and that amount is chosen so that the whole network reaches the density that is asked for.

>>> curves = {"easy": [(0.5, 0.0), (0.1, 0.2)], "hard": [(0.5, 0.2), (0.1, 2.0)]}
>>> gone = even_zeros(curves, {"easy": 100, "hard": 100}, density=0.4)
>>> gone["easy"] > gone["hard"], round(gone["easy"] + gone["hard"], 6)
(True, 1.2)
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch

from chipwise.compression.stages import Rounding
from chipwise.core.events import Progress, silent
from chipwise.core.sensitivity import LayerSensitivity, Sensitivity, SensitivityPoint
from chipwise.tasks.metrics import accuracy
from chipwise.training.evaluate import evaluate
from chipwise.training.feed import Feed
from chipwise.training.trainable import trainable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import onnx_ir as ir
    from torch import Tensor

    from chipwise.training.trainable import Trainable

DENSITIES = (0.8, 0.6, 0.4, 0.3, 0.2, 0.15, 0.1, 0.05, 0.02)
BITS = (8, 7, 6, 5, 4, 3, 2)
MOST_SAMPLES = 2000
_HALVINGS = 60


def sensitivity(
    graph: ir.Model,
    validation: Feed,
    *,
    samples: int = MOST_SAMPLES,
    network: str = "",
    data: str = "",
    progress: Progress = silent,
) -> Sensitivity:
    """Change one layer after the other, and count right answers each time.

    Args:
        graph: trained; is not changed.
        validation: labelled samples.
        samples: at most so many of them, evenly spread.
        network: its name; data: theirs.
        data: likewise.
        progress: told after each layer.

    Raises:
        NetworkError: the graph cannot be translated, or has no layer with weights.
    """
    made, feed = trainable(graph), evenly(validation, samples)
    before = evaluate(made.module, feed.inputs, feed.labels)
    linear = [Rounding(max(BITS), "steps"), Rounding(max(BITS), "codebook")]
    rows = []
    for number, name in enumerate(made.weights):
        by_bits = [rounding_curve(made, feed, name, rounding) for rounding in linear]
        rows.append(LayerSensitivity(name, made.value(name).numel(), density_curve(made, feed, name), *by_bits))
        progress.update("sensitivity", (number + 1) / len(made.weights), name)
    right = round(before.accuracy * len(feed))
    return Sensitivity(network, data, accuracy(right, len(feed)), before.loss, len(validation), tuple(rows))


def evenly(feed: Feed, most: int) -> Feed:
    """At most so many samples, evenly spread over a split."""
    if len(feed) <= most:
        return feed
    places = torch.from_numpy(np.linspace(0, len(feed) - 1, most).astype(np.int64))
    return Feed(feed.inputs[places], feed.labels[places])


def density_curve(
    made: Trainable, feed: Feed, name: str, densities: Sequence[float] = DENSITIES
) -> tuple[SensitivityPoint, ...]:
    """One layer with its smallest weights set to zero, at several densities.

    Args:
        made: the network, without masks; is as it was in the end.
        feed: samples that are judged by.
        name: of the layer's weights.
        densities: shares that stay, 0..1; where the layer has more zeros already, it is as it is.
    """
    weight = made.value(name)
    order = weight.abs().flatten().argsort(stable=True)

    def thinned(density: float) -> Tensor:
        found = weight.clone()
        found.view(-1)[order[: weight.numel() - max(1, round(density * weight.numel()))]] = 0.0
        return found

    return _curve(made, feed, name, densities, thinned)


def rounding_curve(
    made: Trainable, feed: Feed, name: str, rounding: Rounding, bits: Sequence[int] = BITS
) -> tuple[SensitivityPoint, ...]:
    """One layer with few values for its weights, at several numbers of bits.

    Args:
        made: the network, without masks; is as it was in the end.
        feed: samples that are judged by.
        name: of the layer's weights.
        rounding: which values; its own number of bits does not count.
        bits: of a weight.
    """
    weight = made.value(name)
    return _curve(made, feed, name, bits, lambda each: rounding.values(weight, int(each))(weight).detach())


def _curve(
    made: Trainable, feed: Feed, name: str, settings: Sequence[float], changed: Callable[[float], Tensor]
) -> tuple[SensitivityPoint, ...]:
    points = []
    for setting in settings:
        with _instead(made, name, changed(setting)):
            score = evaluate(made.module, feed.inputs, feed.labels)
        points.append(SensitivityPoint(setting, score.accuracy, score.loss))
    return tuple(points)


@contextmanager
def _instead(made: Trainable, name: str, values: Tensor) -> Iterator[None]:
    """Other weights for a layer, for a while."""
    parameter = made.module.inner.get_parameter(made.place(name))
    before = parameter.detach().clone()
    with torch.no_grad():
        parameter.copy_(values)
    try:
        yield
    finally:
        with torch.no_grad():
            parameter.copy_(before)


def zeros_by_sensitivity(
    graph: ir.Model, validation: Feed, density: float, *, progress: Progress = silent
) -> dict[str, float]:
    """Measure every layer, and share a density among them: see `even_zeros`.

    Args:
        graph: is not changed.
        validation: samples; at most 2,000 of them count, evenly spread.
        density: share of the weights of all layers that is to stay, 0..1.
        progress: told after each layer.

    Returns:
        share of each layer's weights that goes.
    """
    made, feed = trainable(graph), evenly(validation, MOST_SAMPLES)
    base, curves, sizes, full = evaluate(made.module, feed.inputs, feed.labels).loss, {}, {}, {}
    for number, name in enumerate(made.weights):
        weight = made.value(name)
        sizes[name], full[name] = weight.numel(), float((weight != 0).double().mean())
        lower = [each for each in DENSITIES if each < full[name]]
        curves[name] = [(point.setting, point.loss - base) for point in density_curve(made, feed, name, lower)]
        progress.update("compress", (number + 1) / len(made.weights), f"sensitivity of {name}")
    return even_zeros(curves, sizes, density, full)


def even_zeros(
    curves: Mapping[str, Sequence[tuple[float, float]]],
    sizes: Mapping[str, int],
    density: float,
    full: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Prune each layer until its loss has risen by the same amount, so that so many weights are left in all.

    Between measured densities the curve is linear; where it falls as weights go, it counts as level. Where many layers
    can go at no loss at all, or all are at the end of what was measured, the layers go the same part of the way.

    Args:
        curves: of each layer, densities, falling, and how much higher the network's loss is there.
        sizes: weights of each layer.
        density: share of all weights that is to stay, 0..1.
        full: density of each layer as it is; 1 where nothing is said.

    Returns:
        share of each layer's weights that goes, 0..1.
    """
    start = {name: 1.0 if full is None else full[name] for name in curves}
    whole = sum(sizes[name] for name in curves)

    def kept(risen: float) -> dict[str, float]:
        return {name: _density_at(curve, start[name], risen) for name, curve in curves.items()}

    def total(densities: Mapping[str, float]) -> float:
        return sum(sizes[name] * each for name, each in densities.items()) / whole

    highest = max((harm for curve in curves.values() for _, harm in curve), default=0.0)
    if density >= total(kept(0.0)):
        above, below = start, kept(0.0)
    elif density <= total(kept(highest)):
        above, below = kept(highest), dict.fromkeys(start, 0.0)
    else:
        low, high = 0.0, highest
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if total(kept(middle)) > density else (low, middle)
        above, below = kept(low), kept(high)
    room = total(above) - total(below)
    part = min(max((total(above) - density) / room, 0.0), 1.0) if room > 0 else 0.0
    return {name: 1.0 - (above[name] + (below[name] - above[name]) * part) for name in above}


def _density_at(curve: Sequence[tuple[float, float]], full: float, risen: float) -> float:
    """The lowest density that a curve reaches before it has risen by more."""
    now, level = full, 0.0
    for density, harm in curve:
        if harm > risen:
            return now + (density - now) * (risen - level) / (harm - level)
        now, level = density, max(level, harm)
    return now
