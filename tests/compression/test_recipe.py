"""From a target to what each stage is to reach."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chipwise.compression.recipe import Recipe, Target, bits_of, coded_bits, denser, parse_target, plan
from chipwise.core.errors import InputError


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("100x", Target(ratio=100.0)),
        ("2.5 X", Target(ratio=2.5)),
        ("50KB", Target(size_bytes=50_000)),
        ("50 KiB", Target(size_bytes=51_200)),
        ("1.5MB", Target(size_bytes=1_500_000)),
        ("900B", Target(size_bytes=900)),
    ],
)
def test_targets(text: str, target: Target) -> None:
    assert parse_target(text) == target


@pytest.mark.parametrize("text", ["", "100", "x", "-5x", "0x", "1x", "50GB", "1e3x", "nan x"])
def test_what_is_no_target(text: str) -> None:
    with pytest.raises(InputError, match="target"):
        parse_target(text)


def test_a_target_below_the_graph_itself_is_refused() -> None:
    with pytest.raises(InputError, match="300 bytes"):
        plan(10_000, 10, 300)


@given(weights=st.integers(10_000, 5_000_000), ratio=st.floats(2, 400))
def test_what_is_planned_is_about_as_large_as_asked_for(weights: int, ratio: float) -> None:
    wanted = int(4 * weights / ratio)
    if wanted < 1000:
        return
    recipe = plan(weights, 0, wanted)
    left = weights if recipe.weights is None else recipe.weights
    assert left <= weights
    expected = left * coded_bits(recipe.density, recipe.bits) / 8 + 350
    assert expected <= wanted * 1.01
    assert recipe.density == 1.0 or expected >= wanted * 0.9


@given(density=st.floats(0.05, 0.6), bits=st.sampled_from([3, 4, 5]), over=st.floats(1.05, 3))
def test_a_file_that_is_too_large_gets_fewer_weights(density: float, bits: int, over: float) -> None:
    found = denser(Recipe(None, density, bits), int(10_000 * over), 10_000)
    assert found.density < density
    assert found.bits == bits


@given(sizes=st.lists(st.integers(1, 10**6), min_size=1, max_size=30), bits=st.integers(2, 8))
def test_only_what_is_small_gets_more_bits(sizes: list[int], bits: int) -> None:
    layers = {f"w{number}": size for number, size in enumerate(sizes)}
    found = bits_of(layers, bits)
    fine = [name for name, chosen in found.items() if chosen > bits]
    assert list(found) == list(layers)
    assert set(found.values()) <= {bits, min(bits + 2, 8)}
    assert sum(layers[name] for name in fine) <= 0.04 * sum(sizes)
    if fine:
        assert max(layers[name] for name in fine) <= min(layers[name] for name in layers if name not in fine)
