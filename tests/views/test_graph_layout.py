"""Where nodes stand: every edge points down, nothing overlaps, chains are straight."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chipwise.views.graph_layout import layered

GAP = 10.0


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[float], list[tuple[int, int]]]:
    count = draw(st.integers(1, 14))
    pairs = [(a, b) for a in range(count) for b in range(a + 1, count)]
    edges = draw(st.lists(st.sampled_from(pairs), max_size=30)) if pairs else []
    widths = draw(st.lists(st.floats(1, 100), min_size=count, max_size=count))
    return widths, edges


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_any_graph(graph: tuple[list[float], list[tuple[int, int]]]) -> None:
    widths, edges = graph
    flow = layered(widths, edges, GAP)
    assert all(flow.rows[start] < flow.rows[end] for start, end in edges)
    assert min(flow.rows) == 0
    for row in range(max(flow.rows) + 1):
        inside = sorted((flow.centres[node], widths[node]) for node in range(len(widths)) if flow.rows[node] == row)
        for (left, wide), (right, wider) in pairwise(inside):
            assert right - left >= (wide + wider) / 2 + GAP - 1e-6
    for (start, end), bends in flow.bends.items():
        assert len(bends) == flow.rows[end] - flow.rows[start] - 1
        for step, x in enumerate(bends, flow.rows[start] + 1):
            others = [node for node in range(len(widths)) if flow.rows[node] == step]
            assert all(abs(x - flow.centres[node]) >= widths[node] / 2 + GAP - 1e-6 for node in others)


def test_a_chain_is_straight_beside_a_skip() -> None:
    flow = layered([40.0] * 5, [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)], GAP)
    inner = flow.centres[1:4]
    assert max(inner) - min(inner) < 1
    assert max(flow.bends[0, 4]) - min(flow.bends[0, 4]) < 1


def test_branches_do_not_cross() -> None:
    edges = [(0, 1), (0, 2), (0, 3), (1, 4), (2, 5), (3, 6), (4, 7), (5, 7), (6, 7)]
    flow = layered([20.0] * 8, edges, GAP)
    assert sorted((1, 2, 3), key=lambda node: flow.centres[node]) == [
        node - 3 for node in sorted((4, 5, 6), key=lambda node: flow.centres[node])
    ]
    assert flow.centres[0] == pytest.approx(flow.centres[7], abs=1)


def test_a_dense_block_stays_small() -> None:
    """1770 edges: one lane for each node, not one for each edge."""
    edges = [(a, b) for a in range(60) for b in range(a + 1, 60)]
    flow = layered([40.0] * 60, edges, GAP)
    every = [x for bends in flow.bends.values() for x in bends]
    assert len({flow.bends[0, end] for end in (20, 40, 59)}) == 3
    assert flow.bends[0, 59][:19] == flow.bends[0, 20]
    assert max(every) - min(every) < 60 * 4 * GAP


def test_a_cycle_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError, match="cycle"):
        layered([1.0, 1.0], [(0, 1), (1, 0)], GAP)
