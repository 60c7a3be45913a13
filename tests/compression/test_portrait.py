"""Histograms of weights: each moment is what the stages left, and no weight is lost."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from chipwise.compression.portrait import layer_weights
from chipwise.core.compression import Stage
from chipwise.training.trainable import parameters, put_back

from .graphs import two_layers

pytestmark = pytest.mark.runtime


def stage(name: str) -> Stage:
    return Stage(name, "", 1, 1.0, 1.0)


def test_every_weight_is_counted_where_it_is_at_each_moment() -> None:
    source = two_layers()
    before = parameters(source)[0]
    sparse = {name: np.where(np.abs(value) > 0.4, 2 * value, 0).astype(np.float32) for name, value in before.items()}
    few = {name: np.sign(value).astype(np.float32) for name, value in sparse.items()}
    graphs = [put_back(source, sparse), put_back(source, few)]
    found = layer_weights(source, [stage("prune"), stage("round")], graphs)
    assert [layer.name for layer in found] == ["w", "v"]
    for layer in found:
        value = before[layer.name]
        gone = int((np.abs(value) <= 0.4).sum())
        assert layer.bound == pytest.approx(2 * np.abs(value).max())
        assert layer.masked is not None
        assert (layer.before.zeros, layer.masked.zeros, layer.trained.zeros, layer.zeros) == (0, gone, gone, gone)
        assert sum(layer.before.counts) == value.size
        assert sum(layer.masked.counts) == sum(layer.trained.counts) == value.size - gone
        assert layer.values == (-1.0, 1.0)
        assert sum(layer.counts) == value.size - gone
        width = 2 * layer.bound / len(layer.masked.counts)
        near = [
            c for place, c in enumerate(layer.masked.counts) if abs((place + 0.5) * width - layer.bound) < 0.4 - width
        ]
        assert sum(near) == 0, "what pruning left is as large as it was"
        assert layer.masked.counts != layer.trained.counts


def test_without_pruning_there_is_no_moment_after_it() -> None:
    source = two_layers()
    few = {name: np.sign(value).astype(np.float32) for name, value in parameters(source)[0].items()}
    found = layer_weights(source, [stage("round")], [put_back(source, few)])
    assert all(layer.masked is None and layer.trained == layer.before for layer in found)


def test_before_pruning_is_after_channels_went() -> None:
    source, narrow = two_layers(width=16), two_layers(width=8, seed=1)
    found = layer_weights(source, [stage("narrow"), stage("round")], [narrow, narrow])
    assert sum(found[0].before.counts) == 8 * 8
