"""The Pareto front: what is kept beats nothing that is kept, and what goes is beaten by something that is kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chipwise.cost.front import undominated

NUMBERS = st.integers(0, 6).map(float)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=12))
def test_exactly_what_is_beaten_goes(points: list[tuple[float, float]]) -> None:
    kept = undominated(points)
    best = [point for point, keeps in zip(points, kept, strict=True) if keeps]
    for point, keeps in zip(points, kept, strict=True):
        beaten = any(other[0] <= point[0] and other[1] <= point[1] and other != point for other in best)
        assert keeps != beaten


def test_equals_are_kept() -> None:
    assert undominated([(1.0, 1.0), (1.0, 1.0)]) == [True, True]
    assert undominated([]) == []
