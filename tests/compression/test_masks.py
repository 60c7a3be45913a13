"""Which weights become zero, and that they stay so."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")
import torch

from chipwise.compression.finetune import finetune
from chipwise.compression.masks import _adaptive, masked, share_at
from chipwise.compression.stages import pruned
from chipwise.training.trainable import trainable, weights_left

from .graphs import QUICK, lecture, two_layers

pytestmark = pytest.mark.runtime


@settings(max_examples=20, deadline=None)
@given(zeros=st.floats(0, 1), scope=st.sampled_from(["global", "layer", "adaptive"]))
def test_the_share_is_kept_and_the_largest_stay(zeros: float, scope: str) -> None:
    made = trainable(two_layers())
    before = {name: made.value(name).clone() for name in made.weights}
    masks = masked(made)
    masks.prune(zeros, scope)  # type: ignore[arg-type]
    every = torch.cat([before[name].flatten().abs() for name in before])
    kept = torch.cat([made.value(name).flatten() != 0 for name in before])
    assert abs(1 - masks.density() - zeros) <= 2 / len(every)
    if scope == "global" and 0 < int((~kept).sum()) < 0.95 * len(every):
        assert every[kept].min() >= every[~kept].max()
    if scope == "layer":
        for name, value in before.items():
            gone = int((made.value(name) == 0).sum())
            assert gone == round(zeros * value.numel())


def test_a_layer_keeps_a_weight_where_one_threshold_counts_for_all() -> None:
    made = trainable(two_layers())
    with torch.no_grad():
        made.module.inner.get_parameter(made.place("v")).mul_(1e-3)
    masked(made).prune(0.9, "global")
    assert int((made.value("v") != 0).sum()) == 1


def test_magnitudes_of_layers_are_made_comparable() -> None:
    made = trainable(two_layers())
    with torch.no_grad():
        made.module.inner.get_parameter(made.place("v")).mul_(1e-3)
    masked(made).prune(0.9)
    kept = {name: float((made.value(name) != 0).float().mean()) for name in made.weights}
    assert kept["v"] > 0.1 > kept["w"], "scale says nothing, and of a small layer more stays"


def test_the_score_is_the_published_one() -> None:
    sizes = torch.tensor([[1.0, 3.0], [0.0, 2.0]])
    torch.testing.assert_close(_adaptive(sizes), torch.tensor([[1 / 14, 1.0], [0.0, 4 / 13]], dtype=torch.float64))


def test_zeros_stay_through_training() -> None:
    graph, density = two_layers(width=32), 0.25
    sparse, tuned = pruned(graph, lecture(), QUICK, density)
    made = trainable(sparse)
    assert masked(made).density() == pytest.approx(density, abs=0.01)
    zeros = made.value("w") == 0
    finetune(made.module, lecture(), QUICK)
    assert bool((made.value("w")[zeros] == 0).all())
    assert tuned.accuracy > 0.6


def test_a_training_of_a_single_step_prunes_too() -> None:
    once = replace(QUICK, epochs=1, batch_size=1024)
    sparse, _ = pruned(two_layers(), lecture(), once, 0.5)
    assert weights_left(sparse) == pytest.approx(0.5 * (16 * 8 + 16 * 3), abs=1)


def test_the_schedule_rises_from_nothing_to_all_of_it() -> None:
    shares = [share_at(step, 20) for step in range(25)]
    assert shares == sorted(shares)
    assert (shares[0], shares[20], shares[24]) == (0.0, 1.0, 1.0)
