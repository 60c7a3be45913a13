"""Circuits of NAND gates compute what they should, and their sizes grow as n and n squared."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chipwise.compression.gates import array_multiplier, circuits, full_adder, half_adder, ripple_carry_adder


def test_truth_tables() -> None:
    assert [half_adder().run(a, b) for a in (0, 1) for b in (0, 1)] == [0, 1, 1, 2]
    assert [full_adder().run(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)] == [0, 1, 1, 2, 1, 2, 2, 3]


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_all_numbers_of_few_bits(bits: int) -> None:
    add, multiply = ripple_carry_adder(bits), array_multiplier(bits)
    for one in range(2**bits):
        for other in range(2**bits):
            assert add.run(one, other) == one + other
            assert multiply.run(one, other) == one * other


@given(st.sampled_from([8, 11, 24]), st.data())
@settings(max_examples=25, deadline=None)
def test_numbers_of_many_bits(bits: int, data: st.DataObject) -> None:
    one, other = (data.draw(st.integers(0, 2**bits - 1)) for _ in range(2))
    assert ripple_carry_adder(bits).run(one, other) == one + other
    assert array_multiplier(bits).run(one, other) == one * other


def test_gates_are_counted() -> None:
    assert half_adder().gate_count == 5
    assert full_adder().gate_count == 9
    for bits in (2, 8, 32):
        assert ripple_carry_adder(bits).gate_count == 5 + 9 * (bits - 1)
        # n squared products of 2 gates, and n - 1 rows of n - 2 full and 2 half adders; but the first row has 2 halves
        # and every other one only one.
        rows = (bits - 1) * (5 + 9 * (bits - 1)) - (4 if bits > 1 else 0)
        assert array_multiplier(bits).gate_count == 2 * bits**2 + rows


def test_depths() -> None:
    assert (half_adder().depth, full_adder().depth) == (3, 6)
    # Each full adder passes the carry on in two gates.
    assert ripple_carry_adder(32).depth - ripple_carry_adder(16).depth == 2 * 16


def test_published_areas_stand_beside_gates() -> None:
    found = {(each.name, each.bits): each for each in circuits()}
    assert found["adder", 8].area_um2 == 36.0
    assert found["multiplier", 32].area_um2 == 3495.0
    small, large = found["multiplier", 8], found["multiplier", 32]
    assert 14 < large.gates / small.gates < 20
    assert found["adder", 32].gates / found["adder", 8].gates < 4.3
