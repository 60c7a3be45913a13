"""What each layer alone can lose, and a density shared among layers by it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")
import torch

from chipwise.compression.finetune import finetune
from chipwise.compression.masks import masked
from chipwise.compression.pruning import Pruning, prune_to, steps_between
from chipwise.compression.sensitivity import (
    BITS,
    DENSITIES,
    _density_at,
    density_curve,
    even_zeros,
    evenly,
    sensitivity,
    zeros_by_sensitivity,
)
from chipwise.training.evaluate import evaluate
from chipwise.training.feed import Feed
from chipwise.training.trainable import put_back, trainable

from .graphs import QUICK, lecture, two_layers

pytestmark = pytest.mark.runtime

harms = st.lists(st.floats(-0.2, 3.0), min_size=4, max_size=4)


@pytest.fixture(scope="module")
def learned() -> object:
    made = trainable(two_layers(width=32))
    finetune(made.module, lecture(), QUICK)
    return put_back(made.graph, made.values())


def test_each_point_is_the_network_with_that_layer_changed_and_no_other(learned: object) -> None:
    validation = lecture().validation
    found = sensitivity(learned, validation, samples=300, network="net", data="data")  # type: ignore[arg-type]
    assert (found.network, found.accuracy.count, found.available) == ("net", 300, 512)
    assert [layer.name for layer in found.layers] == ["w", "v"]
    feed, made = evenly(validation, 300), trainable(learned)  # type: ignore[arg-type]
    layer = found.layers[0]
    assert [point.setting for point in layer.density] == list(DENSITIES)
    assert [point.setting for point in layer.steps] == [point.setting for point in layer.codebook] == list(BITS)
    masks = masked(made)
    masks.prune_each({"w": 0.8})
    score = evaluate(made.module, feed.inputs, feed.labels)
    point = layer.density[DENSITIES.index(0.2)]
    assert (point.accuracy, point.loss) == (score.accuracy, pytest.approx(score.loss))
    assert layer.steps[0].loss == pytest.approx(found.loss, abs=0.01)
    assert layer.steps[-1].loss > layer.steps[0].loss
    assert layer.density[-1].accuracy < found.accuracy.value - 0.1


def test_a_network_is_as_it_was_after_its_curves(learned: object) -> None:
    made, feed = trainable(learned), lecture().validation  # type: ignore[arg-type]
    before = made.values()
    density_curve(made, feed, "w")
    assert all((made.values()[name] == before[name]).all() for name in before)


def test_samples_are_spread_over_the_whole_split() -> None:
    feed = Feed(torch.arange(100.0)[:, None], torch.arange(100))
    assert evenly(feed, 5).labels.tolist() == [0, 24, 49, 74, 99]
    assert evenly(feed, 100) is feed


@settings(max_examples=60, deadline=None)
@given(one=harms, two=harms, sizes=st.tuples(st.integers(1, 1000), st.integers(1, 1000)), density=st.floats(0.01, 0.99))
def test_the_whole_reaches_the_density_and_layers_rise_alike(
    one: list[float], two: list[float], sizes: tuple[int, int], density: float
) -> None:
    curves = {name: list(zip((0.7, 0.4, 0.2, 0.05), harm, strict=True)) for name, harm in (("a", one), ("b", two))}
    gone = even_zeros(curves, dict(zip("ab", sizes, strict=True)), density)
    kept = {name: 1 - share for name, share in gone.items()}
    assert all(-1e-9 <= each <= 1 + 1e-9 for each in kept.values())
    reached = sum(size * kept[name] for name, size in zip("ab", sizes, strict=True)) / sum(sizes)
    assert reached == pytest.approx(density, abs=1e-6)
    levels = {name: _risen_at(curve, kept[name]) for name, curve in curves.items()}
    inside = all(0.05 + 1e-6 < each < 1 - 1e-6 for each in kept.values())
    if inside:  # the levels of both layers have a value in common; a level stretch of a curve has one, a jump many
        assert max(low for low, _ in levels.values()) <= min(high for _, high in levels.values()) + 1e-5


def _risen_at(curve: list[tuple[float, float]], density: float) -> tuple[float, float]:
    """Between which risen losses a curve says that so much is kept."""
    values = [each / 1000 * 3.0 for each in range(1001)]
    fit = [value for value in values if abs(_density_at(curve, 1.0, value) - density) < 0.02]
    return (min(fit, default=0.0) - 0.01, max(fit, default=math.inf) + 0.01)


def test_what_is_flat_goes_first() -> None:
    curves = {"flat": [(0.5, 0.0), (0.1, 0.01)], "steep": [(0.5, 1.0), (0.1, 3.0)]}
    gone = even_zeros(curves, {"flat": 500, "steep": 500}, 0.5)
    assert gone == pytest.approx({"flat": 0.9, "steep": 0.1}), "all that was measured, and the rest of the other"


def test_a_sparse_layer_is_not_filled_again() -> None:
    gone = even_zeros({"a": [(0.2, 0.1)], "b": [(0.2, 0.1)]}, {"a": 10, "b": 10}, 0.25, {"a": 0.3, "b": 1.0})
    assert gone["a"] >= 0.7


def test_pruning_by_sensitivity_takes_most_where_it_costs_least(learned: object) -> None:
    values = trainable(learned).values()  # type: ignore[arg-type]
    idle = np.random.default_rng(0).random(values["w"].shape) < 0.7
    graph = put_back(learned, values | {"w": (np.where(idle, 1e-3, 1) * values["w"]).astype(np.float32)})  # type: ignore[arg-type]
    wanted = zeros_by_sensitivity(graph, lecture().validation, 0.45)
    assert wanted["w"] > 0.6
    assert wanted["v"] < 0.4
    sparse, tuned = prune_to(graph, lecture(), QUICK, 0.45, Pruning(scope="sensitivity"))
    masks = masked(trainable(sparse))
    assert masks.density() == pytest.approx(0.45, abs=0.01)
    for name, share in masks.zeros().items():
        assert share == pytest.approx(wanted[name], abs=0.01)
    assert tuned.densities[-1] == pytest.approx(0.45, abs=0.01)


def test_pruning_in_turns_goes_down_in_steps_at_a_tenth_of_the_rate(
    learned: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = []

    def watched(module: object, told: object, how: object, **more: object) -> object:
        rates.append((how.learning_rate, how.epochs))  # type: ignore[attr-defined]
        return finetune(module, told, how, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("chipwise.compression.pruning.finetune", watched)
    sparse, tuned = prune_to(
        learned,  # type: ignore[arg-type]
        lecture(),
        QUICK,
        0.2,
        Pruning(scope="global", schedule="iterative"),
    )
    assert rates == [(pytest.approx(QUICK.learning_rate / 10), 1)] * 3
    assert tuned.densities == pytest.approx((0.585, 0.342, 0.2), abs=0.01)
    assert len(tuned.history) == 3
    assert tuned.kept == 3
    assert masked(trainable(sparse)).density() == pytest.approx(0.2, abs=0.01)


@given(before=st.floats(0.1, 1.0), after=st.floats(0.001, 0.99), epochs=st.integers(1, 40))
def test_steps_end_where_they_shall(before: float, after: float, epochs: int) -> None:
    steps = steps_between(before, after, epochs)
    assert steps[-1] == after
    assert 1 <= len(steps) <= epochs
    if after < before:
        assert all(step <= before + 1e-4 for step in steps)
        enough = len(steps) < epochs
        ratios = [low / high for high, low in zip([before, *steps], steps, strict=False)]
        assert not enough or min(ratios) > 0.45
