"""Data parallelism by arithmetic: collectives worked out by hand, limits that must hold, overlap step by step."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chipwise.core.errors import InputError
from chipwise.core.layer import Layer
from chipwise.cost.parallel import (
    Step,
    Stretch,
    Wire,
    data_parallel_step,
    efficiency,
    ring_s,
    served_rate,
    served_s,
    stretches_of,
    tree_s,
    unhidden_s,
)

WIRE = Wire(bytes_s=1e9, latency_s=1e-3)  # 1 GB takes a second
GIGA = 1e9

times = st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), min_size=1, max_size=8)
counts = st.integers(1, 64)


def test_ring_by_hand() -> None:
    assert ring_s(GIGA, 1, WIRE) == 0
    assert ring_s(GIGA, 2, WIRE) == pytest.approx(1 + 2e-3)
    assert ring_s(GIGA, 4, WIRE) == pytest.approx(1.5 + 6e-3)
    assert ring_s(0, 4, WIRE) == pytest.approx(6e-3)


def test_tree_by_hand() -> None:
    assert tree_s(GIGA, 1, WIRE) == 0
    assert tree_s(GIGA, 8, WIRE) == pytest.approx(2 * 3 * 1.001)
    assert tree_s(GIGA, 8, WIRE, pieces=10) == pytest.approx(2 * 12 * 0.101)


def test_a_tree_wins_where_messages_are_small_and_a_ring_where_they_are_large() -> None:
    assert tree_s(1e3, 64, WIRE) < ring_s(1e3, 64, WIRE)
    assert ring_s(GIGA, 64, WIRE) < tree_s(GIGA, 64, WIRE)


def test_servers_by_hand() -> None:
    assert served_s(GIGA, 4, 1, WIRE) == pytest.approx(4 + 4e-3)
    assert served_s(GIGA, 4, 2, WIRE) == pytest.approx(2 + 4e-3)
    assert served_s(GIGA, 2, 4, WIRE) == pytest.approx(1 + 4e-3)  # then a worker's own wire is the limit
    assert served_s(GIGA, 4, 4, WIRE, own=Wire(0.5e9)) == pytest.approx(2)


@given(counts)
def test_as_many_servers_as_workers_move_what_a_ring_moves(workers: int) -> None:
    """But for the share that stays at home: 2 n/n bytes against 2 (n-1)/n."""
    fast = Wire(1e9)
    assert 2 * served_s(GIGA, workers, workers, fast) == pytest.approx(ring_s(GIGA, workers, fast) + 2 / workers)


def test_asynchronous_rate_has_two_limits() -> None:
    fast = Wire(1e9)
    assert served_rate(8.0, GIGA, 1, 1, fast) == pytest.approx(0.1)  # 8 s, and a second each way
    assert served_rate(8.0, GIGA, 5, 1, fast) == pytest.approx(0.5)
    assert served_rate(8.0, GIGA, 20, 1, fast) == pytest.approx(1)  # the server's wire is busy
    assert served_rate(8.0, GIGA, 20, 2, fast) == pytest.approx(2)


def test_overlap_by_hand() -> None:
    assert unhidden_s([(1, 0.5), (1, 0.5), (1, 0.5)]) == pytest.approx(0.5)  # the last gradients only
    assert unhidden_s([(1, 3), (1, 0), (1, 0)]) == pytest.approx(1)  # ready first, and longer than what is left
    assert unhidden_s([(1, 0), (1, 0), (1, 3)]) == pytest.approx(3)  # ready last: nothing is hidden
    assert unhidden_s([]) == 0


@given(times)
def test_overlap_hides_no_more_than_there_is(passes: list[tuple[float, float]]) -> None:
    compute, talk = (sum(pair[side] for pair in passes) for side in (0, 1))
    found = unhidden_s(passes)
    assert passes[-1][1] - 1e-9 <= found <= talk + 1e-9
    assert found >= talk - compute - 1e-9


def test_step_by_hand() -> None:
    """A network whose weights are at its end: pushed first, needed last, so that both passes hide their way."""
    head, tail = Stretch(1, 2, 0), Stretch(0, 0, GIGA)
    assert data_parallel_step([head, tail], reduce_s=1.5, fetch_s=0.5) == Step(3, 2.0, 0.0)
    assert data_parallel_step([tail, head], reduce_s=1.5, fetch_s=0.5) == Step(3, 2.0, 2.0)
    found = data_parallel_step([head, tail], reduce_s=2.5)
    assert (found.step_s, found.communication_share) == (pytest.approx(3.5), pytest.approx(1 / 7))
    assert efficiency(3, found.step_s) == pytest.approx(6 / 7)


def test_step_without_weights_or_time() -> None:
    assert data_parallel_step([Stretch(0, 0, 0)], 0) == Step(0, 0, 0)
    assert Step(0, 0, 0).communication_share == 0


def test_compute_is_shared_out_by_flops() -> None:
    layers = [Layer(name, "Gemm", (), (), parameters=n, flops=n) for name, n in (("a", 10), ("b", 30))]
    made = stretches_of(layers, 12.0)
    assert [each.forward_s for each in made] == [pytest.approx(1), pytest.approx(3)]
    assert [each.backward_s for each in made] == [pytest.approx(2), pytest.approx(6)]
    assert [each.size for each in made] == [40, 120]
    with pytest.raises(InputError, match="without FLOPs"):
        stretches_of([Layer("x", "Relu", (), ())], 1.0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: ring_s(1, 0, WIRE),
        lambda: tree_s(1, 2, WIRE, pieces=0),
        lambda: served_s(1, 1, 0, WIRE),
        lambda: served_rate(1, 1, 0, 1, WIRE),
    ],
)
def test_nobody_is_refused(call: object) -> None:
    with pytest.raises(InputError, match="is 0"):
        call()  # type: ignore[operator]


@given(st.integers(2, 64), st.floats(1, 1e9))
def test_no_collective_beats_its_lower_bound(workers: int, size: float) -> None:
    """2 (n-1)/n of the bytes a worker, and log2 n messages: Chan et al. 2007."""
    bound = max(2 * (workers - 1) / workers * size / WIRE.bytes_s, math.log2(workers) * WIRE.latency_s)
    for found in (ring_s(size, workers, WIRE), tree_s(size, workers, WIRE), 2 * served_s(size, workers, 1, WIRE)):
        assert found >= bound * (1 - 1e-12)
