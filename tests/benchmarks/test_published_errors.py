"""Summaries of errors."""

from __future__ import annotations

import math

import pytest

from chipwise.core.estimate import Interval
from published.errors import Error, by, summary
from published.widen import needed


def error(predicted: float, measured: float, half: float = 0.1, **other: object) -> Error:
    interval = Interval(predicted * (1 - half), predicted, predicted * (1 + half), 0.8)
    return Error("table", str(other.pop("device", "card")), "row", interval, measured, **other)


def test_numbers() -> None:
    found = summary([error(1.1, 1.0), error(1.8, 2.0), error(6.0, 4.0)])
    assert (found.rows, found.median, found.mean) == (3, pytest.approx(0.1), pytest.approx(0.7 / 3))
    assert found.bias == pytest.approx(0.1)
    assert found.p90 == pytest.approx(0.42)
    assert found.rank == pytest.approx(1.0)
    assert found.coverage == pytest.approx(1 / 3)
    assert found.published is None


def test_ranks_can_be_opposed() -> None:
    assert summary([error(3, 1), error(2, 2), error(1, 3)]).rank == pytest.approx(-1)
    assert summary([error(1, 1), error(2, 2)]).rank is None
    assert summary([error(1, 1), error(1, 2), error(1, 3)]).rank is None


def test_rows_without_bounds_do_not_count_as_covered() -> None:
    open_row = Error("table", "card", "row", Interval(None, 1.0, None), 1.0)
    assert summary([open_row]).coverage is None
    assert summary([open_row, error(1.0, 1.05), error(1.0, 2.0)]).coverage == 0.5


def test_another_predictor_is_compared_on_the_same_rows_only() -> None:
    beside = error(1.0, 1.0, published_s=1.2)
    assert summary([beside]).published == pytest.approx(0.2)
    assert summary([beside, error(1.0, 1.0)]).published is None


def test_groups_keep_their_order() -> None:
    groups = by([error(1, 1, device="b"), error(1, 1, device="a"), error(1, 1, device="b")], lambda each: each.device)
    assert [(name, each.rows) for name, each in groups.items()] == [("b", 2), ("a", 1)]


def test_intervals_are_widened_until_enough_rows_are_inside() -> None:
    bounds = Interval(math.exp(-0.1), 1.0, math.exp(0.2))
    rows = [Error("t", "d", str(off), bounds, math.exp(off)) for off in (-0.3, -0.1, 0.0, 0.2, 0.8)]
    assert needed(rows, 0.8) == pytest.approx(3 + 0.2)  # between three times the lower and four times the upper bound
    assert needed(rows[1:4], 0.8) == 1.0
