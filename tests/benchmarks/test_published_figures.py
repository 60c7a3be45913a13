"""Figures that are published one by one: what is predicted of them, and what is not."""

from __future__ import annotations

import pytest

from chipwise.core.estimate import Interval
from published import figures
from published.figures import Figure


@pytest.fixture(scope="module")
def found() -> list[Figure]:
    return figures.figures()


def test_what_has_no_prediction_says_why(found: list[Figure]) -> None:
    silent = [figure for figure in found if figure.predicted is None]
    assert {figure.name for figure in silent} == {
        "GNMT", "NCF", "U-Net industrial", "Tacotron2", "WaveGlow", "inference in 7 ms",
    }  # fmt: skip
    assert all(figure.note for figure in silent)


def test_gains_of_the_next_generation(found: list[Figure]) -> None:
    (mixed,) = (figure for figure in found if figure.name == "training, V100 in mixed precision")
    assert mixed.off is not None
    assert abs(mixed.off) < 0.15


def test_days_on_old_cards_lie_inside(found: list[Figure]) -> None:
    days = [figure for figure in found if figure.table == "days on four M40"]
    assert len(days) == 4
    mids = [figure.predicted.mid or 0.0 for figure in days if figure.predicted is not None]
    assert mids == sorted(mids)
    for figure in days:
        assert figure.predicted is not None
        assert (figure.predicted.low or 0.0) < figure.published < (figure.predicted.high or 0.0)


def test_three_chips_are_in_the_published_order(found: list[Figure]) -> None:
    over = {figure.name: figure.predicted.mid for figure in found if figure.predicted and "TPU" in figure.table}
    assert (over["K80"] or 9.0) < 1 < (over["P40"] or 0.0)


def test_an_error_is_relative() -> None:
    assert Figure("t", "n", 2.0, Interval(None, 1.5, None)).off == pytest.approx(-0.25)
    assert Figure("t", "n", 2.0, None).off is None
