"""Few values for many weights: learned steps, and codebooks that learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")
import torch

from chipwise.codec.small_tensor import from_values
from chipwise.compression.codebooks import Shared, cluster
from chipwise.compression.levels import Levels
from chipwise.compression.stages import Rounding, coded, pruned, rounded
from chipwise.core.errors import InputError
from chipwise.training.trainable import trainable

from .graphs import QUICK, lecture, two_layers

pytestmark = pytest.mark.runtime


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_steps_are_whole_numbers_of_one_size(bits: int) -> None:
    weight = torch.randn(40, 30, generator=torch.Generator().manual_seed(bits))
    levels = Levels(weight, bits)
    rounded_ = levels(weight).detach()
    symbols = levels.symbols(weight)
    assert int(symbols.abs().max()) <= 2 ** (bits - 1) - 1
    torch.testing.assert_close(rounded_, symbols * levels.step.detach())
    worse = (weight / (1.3 * levels.step)).round().clamp(-levels.highest, levels.highest) * 1.3 * levels.step
    assert (rounded_ - weight).square().sum() < (worse.detach() - weight).square().sum()


def test_the_step_gets_the_gradient_of_what_it_rounds() -> None:
    weight = torch.tensor([0.26, -0.9, 5.0], requires_grad=True)
    levels = Levels(weight, 3)
    with torch.no_grad():
        levels.log_step.copy_(torch.tensor(0.5).log())
    levels(weight).sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [1.0, 1.0, 0.0], "what is clipped gets none"
    # Esser and others, equation 3: round(v/s) - v/s inside, the highest outside; times the scale, and s by the chain.
    of_step = (1 - 0.52) + (-2 + 1.8) + 3
    assert float(levels.log_step.grad) == pytest.approx(of_step * 0.5 / np.sqrt(3 * 3), rel=1e-4)


@settings(max_examples=25, deadline=None)
@given(bits=st.integers(1, 5), start=st.sampled_from(["linear", "density", "random"]), seed=st.integers(0, 99))
def test_clusters_hold_the_means_of_their_members_and_zero_stays(bits: int, start: str, seed: int) -> None:
    weight = torch.randn(20, 10, generator=torch.Generator().manual_seed(seed))
    weight[weight.abs() < 0.3] = 0.0
    found = cluster(weight, bits, start, seed)  # type: ignore[arg-type]
    assert len(found.values) == 2**bits
    assert bool(((found.symbols == 0) == (weight == 0)).all())
    used = found.symbols.unique().tolist()
    for symbol in used:
        mean = weight[found.symbols == symbol].mean()
        nearest = (weight[found.symbols == symbol].reshape(-1, 1) - found.values[1:]).abs().argmin(1) + 1
        assert symbol == 0 or bool((nearest == symbol).all())
        assert float(mean) == pytest.approx(float(found.values[symbol]), abs=0.05)


def test_a_value_gets_the_gradient_of_all_that_share_it() -> None:
    shared = Shared(cluster(torch.tensor([1.0, 1.0, 0.0, -2.0]), 2))
    (shared(torch.ones(4)) * torch.tensor([1.0, 10.0, 100.0, 1000.0])).sum().backward()
    assert sorted(shared.values.grad.tolist()) == [0.0, 11.0, 1000.0]


def test_what_cannot_be_clustered_is_said() -> None:
    with pytest.raises(InputError, match="clusters with 13 bits"):
        cluster(torch.ones(3), 13)


@pytest.mark.parametrize("kind", ["steps", "codebook"])
def test_a_rounded_graph_has_few_values_and_the_file_has_its_bits(kind: str) -> None:
    sparse, _ = pruned(two_layers(width=32), lecture(), QUICK, 0.5)
    zeros = trainable(sparse).value("w") == 0
    graph, tuned = rounded(sparse, lecture(), QUICK, Rounding(3, kind))  # type: ignore[arg-type]
    assert tuned.accuracy > 0.6
    last, tensors = coded(graph)
    made = trainable(last)
    for name in made.weights:
        values = made.value(name).numpy()
        assert len(np.unique(values)) <= 8
        np.testing.assert_array_equal(tensors[name].dense(), values)
        assert from_values(name, values).kind in ("step", "codebook")
    assert bool((made.value("w")[zeros] == 0).all())
    for name in made.biases:
        before = trainable(graph).value(name).numpy()
        assert np.abs(made.value(name).numpy() - before).max() <= np.abs(before).max() / 127 / 2 * 1.01
