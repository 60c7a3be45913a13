"""The choice of techniques: the quickest that fits, by arithmetic on layer rows; no torch is needed."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chipwise.core.training_memory import LARGE_WEIGHT, STATE_AT_ONCE, Savings
from chipwise.cost.step_memory import saved_bytes
from chipwise.cost.training_memory import Around, Rows
from chipwise.networks.layers import layer_rows
from chipwise.networks.load import load
from chipwise.training.memory import Allowed, Found, cheapest_cover, fit_into, units_of, way_of

CHAINS = tuple(tuple((f"layer{stage}.{place}",) for place in range(2)) for stage in range(1, 5))
AROUND = Around("adamw", process_bytes=300 * 10**6, data_bytes=10**7, evaluated=32, batch=32)
PLAIN = Savings(32)


def rows_of(name: str) -> Rows:
    return cache(partial(layer_rows, load(name)))


ROWS = rows_of("resnet18")


def fitted(share: float, allowed: Allowed, rows: Rows = ROWS, around: Around = AROUND) -> Found:
    plain = Savings(around.batch)
    return fit_into(int(share * way_of(rows, around, plain).memory.high), rows, around, plain, allowed)


def test_what_fits_is_left_alone() -> None:
    found = fitted(1.0, Allowed(bf16=True, returned=True, chains=CHAINS))
    assert found.chosen is not None
    assert (found.chosen.savings, found.chosen.time_factor) == (PLAIN, 1.0)


@pytest.mark.parametrize("share", [0.9, 0.75, 0.6, 0.5, 0.4])
def test_what_is_chosen_fits_and_nothing_that_was_tried_is_quicker(share: float) -> None:
    limit = int(share * way_of(ROWS, AROUND, PLAIN).memory.high)
    everything = Allowed(bf16=True, returned=True, chains=CHAINS)
    chosen = fit_into(limit, ROWS, AROUND, PLAIN, everything).chosen
    assert chosen is not None
    assert chosen.memory.high <= limit
    for fewer in (Allowed(True, True), Allowed(True, False, CHAINS), Allowed(False, True, CHAINS), Allowed()):
        other = fit_into(limit, ROWS, AROUND, PLAIN, fewer).chosen
        assert other is None or other.savings.micro_batch < 16 or chosen.time_factor <= other.time_factor + 1e-9


def test_batch_norms_keep_sixteen_samples_while_there_is_another_way() -> None:
    found = fitted(0.5, Allowed(returned=True, chains=CHAINS)).chosen
    assert found is not None
    assert found.savings.micro_batch >= 16
    less = fitted(0.37, Allowed(returned=True, chains=CHAINS)).chosen
    assert less is not None
    assert 2 <= less.savings.micro_batch < 16


def test_where_nothing_fits_the_smallest_is_told() -> None:
    found = fitted(0.1, Allowed(bf16=True, returned=True, chains=CHAINS))
    assert found.chosen is None
    assert found.smallest.memory.high == pytest.approx(
        min(fitted(0.1, Allowed(True, True, chains)).smallest.memory.high for chains in ((), CHAINS)), rel=1e-3
    )
    assert found.smallest.savings.micro_batch == 2, "a batch normalization needs two"


def test_techniques_save_what_they_should() -> None:
    def parts(**changed: object) -> object:
        return way_of(ROWS, AROUND, Savings(**({"micro_batch": 32} | changed)))  # type: ignore[arg-type]

    plain, half = parts(), parts(micro_batch=16)
    again, bf16, returned = parts(again=CHAINS[0]), parts(precision="bf16"), parts(returned=True)
    assert half.memory.saved < 0.55 * plain.memory.saved  # type: ignore[attr-defined]
    assert half.memory.gradients >= plain.memory.gradients, "they stay through all parts"  # type: ignore[attr-defined]
    assert again.memory.saved < plain.memory.saved  # type: ignore[attr-defined]
    assert 1 < again.time_factor < 4 / 3  # type: ignore[attr-defined]
    assert bf16.memory.saved < 0.6 * plain.memory.saved  # type: ignore[attr-defined]
    assert bf16.memory.copies > 0  # type: ignore[attr-defined]
    assert parts(precision="fp16").memory == bf16.memory  # type: ignore[attr-defined]
    assert [Savings(32, each).words(32) for each in ("fp32", "fp16")] == [(), ("fp16 autocast",)]
    assert returned.memory.holes == 0 < plain.memory.holes  # type: ignore[attr-defined]
    assert returned.time_factor > 1  # type: ignore[attr-defined]


def test_all_segments_again_take_a_third_longer_at_most() -> None:
    whole = tuple((row.name,) for row in ROWS(32))
    assert way_of(ROWS, AROUND, Savings(32, again=whole)).time_factor == pytest.approx(4 / 3)


def test_evaluation_is_made_smaller_where_it_is_what_does_not_fit() -> None:
    around = Around("sgd", process_bytes=0, evaluated=500, batch=4)
    found = fitted(0.5, Allowed(), around=around).chosen
    assert found is not None
    assert (found.savings.micro_batch, found.time_factor) == (4, 1.0)
    assert found.savings.evaluation_batch < 500
    assert found.savings.words(4) == (f"evaluation of {found.savings.evaluation_batch} at a time",)


def test_units_cover_what_they_are_made_of() -> None:
    rows = layer_rows(load("vgg11"), 8)
    chains = (tuple((f"features.{place}",) for place in range(21)),)
    units = units_of(chains, rows)
    assert [name for unit in units for name in unit] == [name for (name,) in chains[0]]
    assert 1 < len(units) < 12
    assert units_of(CHAINS, ROWS(2)) == [link for chain in CHAINS for link in chain], "blocks stay whole"
    assert units_of(((("nowhere",),),), rows) == []


@settings(suppress_health_check=[HealthCheck.too_slow])  # of drawing, where others use the processor
@given(st.lists(st.tuples(st.integers(1, 100), st.integers(1, 20)), min_size=1, max_size=6), st.integers(1, 95))
def test_the_cover_is_enough_and_nearly_the_cheapest(items: list[tuple[float, float]], share: int) -> None:
    need = share / 100 * sum(size for size, _ in items)
    chosen = cheapest_cover(items, need)
    reached, cost = (sum(items[place][axis] for place in chosen) for axis in (0, 1))
    assert reached >= need or len(chosen) == len(items)
    # Sizes are rounded down to 256ths of what is needed: the best cover of 3% more bounds what is found.
    covers = ([place for place in range(len(items)) if mask >> place & 1] for mask in range(1 << len(items)))
    costs = [
        sum(items[place][1] for place in cover)
        for cover in covers
        if sum(items[place][0] for place in cover) >= need * (1 + len(items) / 256)
    ]
    assert cost <= min(costs, default=cost) + 1e-9


def test_saved_bytes_of_segments_come_back_on_the_way_back() -> None:
    """With one segment around everything, the most that is held is what the plain step holds, and its input."""
    rows = rows_of("lenet5-caffe")
    around = Around("sgd", 0, batch=64)
    names = tuple(row.name for row in rows(64))
    plain, again = (way_of(rows, around, Savings(64, again=each)).memory for each in ((), (names,)))
    assert again.saved == pytest.approx(plain.saved, rel=0.01)
    assert plain.saved <= sum(saved_bytes(row) for row in rows(64))


STEM = (("conv1", "bn1", "relu", "maxpool"),)


def test_the_disk_is_used_where_nothing_else_fits() -> None:
    usual = Allowed(returned=True, chains=CHAINS)
    disk = Allowed(returned=True, chains=CHAINS, swappable=(*CHAINS, STEM))
    assert fitted(0.5, disk) == fitted(0.5, usual), "not before"
    limit = 0.45  # where batch normalizations would see fewer than sixteen samples
    less, found = fitted(limit, usual).chosen, fitted(limit, disk).chosen
    assert less is not None
    assert found is not None
    assert less.savings.micro_batch < 16 <= found.savings.micro_batch
    assert found.savings.swapped
    assert not found.savings.again
    assert any(word.endswith("on disk") for word in found.savings.words(32))
    least = fitted(0.38, disk).chosen
    assert least is not None
    assert not least.savings.swapped, "too few samples either way: then not on disk"


def test_what_is_swapped_is_in_memory_for_one_row_at_a_time() -> None:
    rows = ROWS(32)
    everything = tuple((row.name,) for row in rows)
    swapped = way_of(ROWS, AROUND, Savings(32, swapped=everything, returned=True))
    assert swapped.step.saved <= max(map(saved_bytes, rows)) + max(row.write_bytes for row in rows)
    again = way_of(ROWS, AROUND, Savings(32, again=everything, returned=True))
    assert swapped.memory.total < again.memory.total


def test_the_optimizers_state_goes_to_disk_where_nothing_else_fits() -> None:
    rows = rows_of("mlp-4096")
    around = Around("adamw", process_bytes=300 * 10**6, evaluated=64, batch=64)
    usual, disk = Allowed(returned=True), Allowed(returned=True, state=True)
    least = fit_into(1, rows, around, Savings(64), usual).smallest
    enough = fit_into(least.memory.high, rows, around, Savings(64), disk).chosen
    assert enough is not None
    assert not enough.savings.state_on_disk, "not before"
    assert fit_into(least.memory.high - 10**6, rows, around, Savings(64), usual).chosen is None
    found = fit_into(least.memory.high - 10**6, rows, around, Savings(64), disk).chosen
    assert found is not None
    assert found.savings.state_on_disk
    assert "the optimizer's state on disk" in found.savings.words(64)
    assert found.step.optimizer == 2 * 4 * STATE_AT_ONCE < least.step.optimizer
    assert found.time_factor > way_of(rows, around, replace(found.savings, state_on_disk=False)).time_factor


def test_weights_go_to_disk_last() -> None:
    rows = rows_of("mlp-4096")
    around = Around("adamw", process_bytes=300 * 10**6, evaluated=64, batch=64)
    before, last = Allowed(returned=True, state=True), Allowed(returned=True, state=True, weights=True)
    least = fit_into(1, rows, around, Savings(64), before).smallest
    enough = fit_into(least.memory.high, rows, around, Savings(64), last).chosen
    assert enough is not None
    assert not enough.savings.weights_on_disk, "not before"
    assert fit_into(least.memory.high - 10**6, rows, around, Savings(64), before).chosen is None
    found = fit_into(least.memory.high - 10**6, rows, around, Savings(64), last).chosen
    assert found is not None
    assert found.savings.weights_on_disk
    assert found.savings.state_on_disk
    assert found.savings.returned
    assert "weights on disk" in found.savings.words(64)
    assert found.time_factor > way_of(rows, around, replace(found.savings, weights_on_disk=False)).time_factor


def test_of_weights_on_disk_one_layers_are_in_memory() -> None:
    rows = rows_of("mlp-4096")
    around = Around("adamw", process_bytes=300 * 10**6, evaluated=64, batch=64)
    sizes = [4 * row.parameters for row in rows(64)]
    small = sum(size for size in sizes if size < LARGE_WEIGHT)
    plain = Savings(64, returned=True, state_on_disk=True)
    for savings in (plain, replace(plain, micro_batch=16)):
        lent = way_of(rows, around, replace(savings, weights_on_disk=True))
        assert lent.step.weights == small + max(sizes)
        assert max(sizes) <= lent.step.gradients <= max(sizes) + small + 4 * STATE_AT_ONCE
        assert lent.step.best == small
        assert lent.memory.total < way_of(rows, around, savings).memory.total - sum(sizes)
        assert lent.memory.total - lent.memory.process >= sum(sizes), "all of them are there at the end"
    again = replace(plain, weights_on_disk=True, again=tuple((row.name,) for row in rows(64)))
    assert way_of(rows, around, again).memory.total > 0
