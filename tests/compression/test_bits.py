"""Bits layer by layer: never worse than brute force allows, and what the file takes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")
import torch

from chipwise.compression.bits import Offer, by_layer, chosen, offers_of, pick
from chipwise.compression.sensitivity import BITS
from chipwise.compression.stages import Rounding, rounded
from chipwise.networks.onnx_file import from_model
from chipwise.training.trainable import trainable

from .graphs import QUICK, lecture, two_layers

pytestmark = pytest.mark.runtime

tables = st.integers(1, 4).flatmap(
    lambda rows: st.lists(
        st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=4),
        min_size=rows,
        max_size=rows,
    )
)


def brute(values: list[list[float]], weights: list[list[float]], budget: float) -> float | None:
    sums = [
        sum(row[place] for row, place in zip(values, places, strict=True))
        for places in itertools.product(*(range(len(row)) for row in values))
        if sum(row[place] for row, place in zip(weights, places, strict=True)) <= budget
    ]
    return min(sums, default=None)


@settings(max_examples=150, deadline=None)
@given(table=tables, budget=st.integers(0, 150))
def test_whole_numbers_are_solved_exactly(table: list[list[tuple[int, int]]], budget: int) -> None:
    values, weights = ([[float(pair[at]) for pair in row] for row in table] for at in (0, 1))
    best, places = brute(values, weights, budget), pick(values, weights, float(budget))
    assert (places is None) == (best is None)
    if places is not None:
        assert sum(row[place] for row, place in zip(values, places, strict=True)) == best
        assert sum(row[place] for row, place in zip(weights, places, strict=True)) <= budget


@settings(max_examples=100, deadline=None)
@given(table=tables, budget=st.floats(0.01, 3.0))
def test_any_numbers_keep_to_the_budget_and_come_close(table: list[list[tuple[int, int]]], budget: float) -> None:
    values = [[float(value) for value, _ in row] for row in table]
    weights = [[weight / 37 for _, weight in row] for row in table]
    places = pick(values, weights, budget)
    tighter = brute(values, weights, budget * (1 - (len(table) + 1) / 10_000))
    if places is None:
        assert tighter is None
        return
    assert sum(row[place] for row, place in zip(weights, places, strict=True)) <= budget * (1 + 1e-9)
    found = sum(row[place] for row, place in zip(values, places, strict=True))
    assert tighter is None or found <= tighter


OFFERS = {
    "tough": (Offer(4, 400, 0.0), Offer(3, 300, 0.01), Offer(2, 200, 0.02)),
    "tender": (Offer(4, 40, 0.0), Offer(3, 30, 0.05), Offer(2, 20, 1.0)),
}


def test_the_sum_of_rises_is_that_of_the_same_bits_in_all_layers_and_the_file_smaller() -> None:
    assert chosen(OFFERS, 3) == {"tough": 2, "tender": 4}, "0.02 for 240 bytes, and not 0.06 for 330"


def test_within_bytes_the_loss_rises_least() -> None:
    assert chosen(OFFERS, 3, room=345) == {"tough": 3, "tender": 4}
    assert chosen(OFFERS, 3, room=1000) == {"tough": 4, "tender": 4}
    assert chosen(OFFERS, 3, room=10) == {"tough": 2, "tender": 2}, "what fits nothing gets the fewest"
    assert chosen(OFFERS, 3, room=-5) == {"tough": 2, "tender": 2}


def test_of_what_does_no_harm_the_smaller_is_taken() -> None:
    harmless = {"a": (Offer(4, 400, 0.0), Offer(3, 300, 0.0))}
    assert chosen(harmless, 4, room=1000) == chosen(harmless, 4) == {"a": 3}


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=5))
def test_layer_by_layer_is_never_worse_than_the_same_in_all(rows: list[list[float]]) -> None:
    offers = {
        str(number): tuple(Offer(bits, 10 * bits, harm) for bits, harm in zip((4, 3, 2), sorted(row), strict=True))
        for number, row in enumerate(rows)
    }
    found = chosen(offers, 3)
    picked = [next(each for each in row if each.bits == found[name]) for name, row in offers.items()]
    assert sum(each.size_bytes for each in picked) <= 30 * len(offers)
    assert sum(each.harm for each in picked) <= sum(row[1].harm for row in offers.values()) + 1e-9


@pytest.mark.parametrize("kind", ["steps", "codebook"])
def test_offers_are_of_the_codec_and_fewer_bits_are_smaller_and_never_better(kind: str) -> None:
    made = trainable(two_layers(width=64))
    before = made.values()
    found = offers_of(made, lecture().validation, Rounding(3, kind))  # type: ignore[arg-type]
    assert list(found) == ["w", "v"]
    assert all((made.values()[name] == before[name]).all() for name in before)
    for row in found.values():
        assert [each.bits for each in row] == list(BITS)
        assert [each.harm for each in row] == sorted(each.harm for each in row)
        assert row[0].harm >= 0
    sizes = {each.bits: each.size_bytes for each in found["w"]}
    assert sizes[2] < sizes[3] < sizes[4]
    assert 64 * 8 * 1 / 8 < sizes[2] < 64 * 8 * 2 / 8 + 30


def test_a_graph_is_rounded_with_the_bits_of_each_layer() -> None:
    graph, told = two_layers(width=32), lecture()
    network = from_model(graph, "net")
    rounding = by_layer(network, graph, told.validation, Rounding(3), most_bytes=None)
    small = by_layer(network, graph, told.validation, Rounding(3), most_bytes=150)
    assert set(rounding.each) == {"w", "v"}
    assert sum(small.each.values()) < sum(by_layer(network, graph, told.validation, Rounding(3), 2000).each.values())
    mixed, _ = rounded(graph, told, QUICK, Rounding(3, each={"w": 2, "v": 5}))
    made = trainable(mixed)
    assert len(torch.unique(made.value("w"))) <= 3
    assert 9 < len(torch.unique(made.value("v"))) <= 31
