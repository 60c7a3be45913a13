"""Steps on a mesh by arithmetic: worked by hand, beside a schedule played through, and limits that must hold."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chipwise.core.errors import InputError
from chipwise.cost.mesh_step import Layout, Part, Wires, cut, mesh_step
from chipwise.cost.parallel import Wire, ring_s

WIRE = Wire(bytes_s=1e9, latency_s=1e-3)
ALL = Wires(WIRE, WIRE, WIRE)
PART = Part(forward_s=1.0, backward_s=2.0, exchanged_bytes=2e9, exchanges=2, handed_bytes=1e9, gradient_bytes=4e9)

spans = st.lists(st.floats(0.1, 10), min_size=1, max_size=6)


def gpipe(forward: list[float], micro_batches: int) -> float:
    """Play GPipe's schedule through: all forward passes, then all backward passes, which take twice as long."""
    stages = len(forward)
    done: dict[tuple[int, int], float] = {}
    for micro, stage in itertools.product(range(micro_batches), range(stages)):
        ready = max(done.get((micro, stage - 1), 0.0), done.get((micro - 1, stage), 0.0))
        done[micro, stage] = ready + forward[stage]
    # Backward passes begin when the last stage is through, in the same way from the other end.
    turned = {(0, stages): done[micro_batches - 1, stages - 1]}
    for micro, stage in itertools.product(range(micro_batches), reversed(range(stages))):
        ready = max(turned.get((micro, stage + 1), 0.0), turned.get((micro - 1, stage), 0.0), turned[0, stages])
        turned[micro, stage] = ready + 2 * forward[stage]
    return turned[micro_batches - 1, 0]


def test_one_process_computes_and_nothing_else() -> None:
    found = mesh_step([PART] * 4, Layout(micro_batches=3), ALL)
    assert (found.step_s, found.compute_s, found.communication_share) == (36.0, 36.0, 0.0)


@pytest.mark.parametrize(("stages", "micro_batches"), [(2, 2), (4, 8), (8, 64)])
def test_the_published_bubble(stages: int, micro_batches: int) -> None:
    """Narayanan et al. 2021, section 2.2: (p-1)/m of the time of computing, and one v-th of it interleaved."""
    plain = Part(1.0, 2.0)
    found = mesh_step([plain] * 16, Layout(stages=stages, micro_batches=micro_batches), Wires())
    assert found.bubble_share == pytest.approx((stages - 1) / micro_batches)
    halved = mesh_step([plain] * 16, Layout(stages=stages, micro_batches=micro_batches, rounds=2), Wires())
    assert halved.bubble_share == pytest.approx((stages - 1) / micro_batches / 2)


@given(spans, st.integers(1, 6))
def test_a_schedule_that_is_played_through_takes_as_long(forward: list[float], micro_batches: int) -> None:
    parts = [Part(each, 2 * each) for each in forward]
    layout = Layout(stages=len(parts), micro_batches=micro_batches)
    assert mesh_step(parts, layout, Wires()).step_s == pytest.approx(gpipe(forward, micro_batches))


def test_what_is_said_by_hand() -> None:
    group = mesh_step([PART], Layout(group=4, micro_batches=3), ALL)
    assert group.exchange_s == pytest.approx(3 * 2 * 2 * ring_s(1e9, 4, WIRE))
    assert group.compute_s == pytest.approx(9.0)
    copies = mesh_step([PART, PART], Layout(copies=4), ALL)
    assert copies.reduce_s == pytest.approx(ring_s(8e9, 4, WIRE))
    sharded = mesh_step([PART, PART], Layout(copies=4, sharded=True), ALL)
    assert sharded.reduce_s == pytest.approx(1.5 * copies.reduce_s)
    stages = mesh_step([PART, PART], Layout(stages=2, micro_batches=3), ALL)
    assert stages.handing_s == pytest.approx(2 * 4 * 1.001)
    assert mesh_step([PART, PART], Layout(stages=2, copies=4), ALL).reduce_s == pytest.approx(ring_s(4e9, 4, WIRE))


@given(spans, st.data())
def test_cuts_are_the_best_there_are(costs: list[float], data: st.DataObject) -> None:
    stages = data.draw(st.integers(1, len(costs)))
    bounds = cut(costs, stages)
    assert [bounds[0][0], bounds[-1][1], len(bounds)] == [0, len(costs), stages]
    assert all(last == following for (_, last), (following, _) in itertools.pairwise(bounds))
    dearest = max(sum(costs[first:last]) for first, last in bounds)
    ways = itertools.combinations(range(1, len(costs)), stages - 1)
    every = [[0, *way, len(costs)] for way in ways]
    best = min(max(sum(costs[first:last]) for first, last in itertools.pairwise(way)) for way in every)
    assert dearest == pytest.approx(best)


def test_bounds_that_are_given_are_kept() -> None:
    parts = [Part(1.0, 2.0)] * 3 + [Part(3.0, 6.0)]
    layout = Layout(stages=2, micro_batches=4)
    assert mesh_step(parts, layout, Wires()).compute_s == pytest.approx(4 * 9)
    assert mesh_step(parts, layout, Wires(), [(0, 2), (2, 4)]).compute_s == pytest.approx(4 * 12)
    with pytest.raises(InputError, match="bounds of 1 stages"):
        mesh_step(parts, layout, Wires(), [(0, 4)])


@pytest.mark.parametrize(
    ("layout", "says"),
    [
        (Layout(stages=3), "2 parts cannot be 3 stages"),
        (Layout(stages=2, rounds=2), "in 2 rounds"),
        (Layout(copies=0), "copies is 0"),
        (Layout(micro_batches=0), "micro_batches is 0"),
    ],
)
def test_what_cannot_be_is_refused(layout: Layout, says: str) -> None:
    with pytest.raises(InputError, match=says):
        mesh_step([PART] * 2, layout, ALL)
