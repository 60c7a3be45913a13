"""Channels that are worth least go, from all layers that share them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
import torch

from chipwise.compression.narrow import narrowed, sizes, start
from chipwise.training.trainable import put_back, simplified, trainable

from .graphs import QUICK, lecture, two_layers

pytestmark = pytest.mark.runtime


def test_the_worthless_go_first_and_the_narrow_graph_computes_the_same() -> None:
    graph = two_layers(width=12)
    made = trainable(graph)
    narrowing = start(made)
    assert [group.width for group in narrowing.groups] == [12]
    narrowing.worth[0] = torch.arange(12.0)
    narrowing.drop_to(7 * (8 + 3))
    assert narrowing.alive[0].tolist() == [False] * 5 + [True] * 7
    small = simplified(put_back(graph, made.values()))
    narrow = trainable(small)
    assert sorted(tuple(narrow.value(name).shape) for name in narrow.weights) == [(7, 3), (7, 8)]
    x = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(narrow.module(x).detach(), made.module(x).detach(), rtol=1e-5, atol=1e-6)


def test_widths_stay_multiples_of_the_step() -> None:
    narrowing = start(trainable(two_layers(width=32)), step=8)
    narrowing.worth[0] = torch.arange(32.0)
    narrowing.drop_to(150)
    assert int(narrowing.alive[0].sum()) == 8, "the last one that is left is not below what was asked for by less"
    narrowing.drop_to(1)
    assert int(narrowing.alive[0].sum()) == 8, "a group never ends"


def test_what_observes_finds_the_channel_that_nothing_needs() -> None:
    made = trainable(two_layers(width=4))
    with torch.no_grad():
        made.module.inner.get_parameter(made.place("v"))[2] = 0.0
    narrowing = start(made)
    torch.nn.functional.cross_entropy(made.module(torch.randn(64, 8)), torch.randint(3, (64,))).backward()
    narrowing.observe()
    assert int(narrowing.worth[0].argmin()) == 2


def test_narrowing_trains_in_between() -> None:
    small, tuned = narrowed(two_layers(width=64), lecture(), QUICK, 150)
    made = trainable(small)
    assert sum(made.value(name).numel() for name in made.weights) <= 150
    assert tuned is not None
    assert tuned.accuracy > 0.6


def test_nothing_to_do_is_no_round() -> None:
    graph = two_layers()
    assert sizes(10, 20, 0.5) == []
    assert narrowed(graph, lecture(), QUICK, 10_000) == (graph, None)
