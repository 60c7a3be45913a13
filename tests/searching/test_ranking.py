"""The order of the board, what cannot be told from the first, and what nothing dominates."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chipwise.core.board import value_of
from chipwise.core.trial import Rung, Score, Trial, identity
from chipwise.searching.ranking import front, one_each, ranked, told_apart
from chipwise.tasks.metrics import wilson


def score(value: float, samples: int = 1000) -> Score:
    low, high = wilson(value, samples)
    return Score(value, low, high, samples)


def trial(model: str, value: float | None, fit_s: float | None = 1.0, rung: Rung = Rung(), **more: object) -> Trial:  # noqa: B008  frozen
    return Trial(
        data="d", data_digest="d", model=model, score=None if value is None else score(value), fit_s=fit_s, rung=rung,
        state="finished", id=identity("d", model, 0, rung), **more,  # type: ignore[arg-type]
    )  # fmt: skip


def test_the_best_is_first_the_quicker_of_equals_before_and_what_is_near_is_marked() -> None:
    rows = ranked(
        [trial("A()", 0.9), trial("B()", 0.95), trial("C()", 0.94, fit_s=5.0), trial("D()", 0.94), trial("E()", None)],
        "score",
        ("score", "fit_s"),
    )
    assert [(row.rank, row.trial.model, row.tied) for row in rows] == [
        (1, "B()", False), (2, "D()", True), (3, "C()", True), (4, "A()", False), (5, "E()", False),
    ]  # fmt: skip


def test_by_another_field_less_is_better_and_nothing_is_tied() -> None:
    rows = ranked(
        [trial("A()", 0.9, 2.0), trial("B()", 0.9, None), trial("C()", 0.9, 1.0)], "fit_s", ("score", "fit_s")
    )
    assert [row.trial.model for row in rows] == ["C()", "A()", "B()"]
    assert not any(row.tied for row in rows)


def test_told_apart_as_newcombe_does() -> None:
    # Newcombe (1998), table II, case (a): 56/70 and 48/80, method 10: 0.0524 to 0.3339.
    assert told_apart(score(56 / 70, 70), score(48 / 80, 80))
    # Case (b): 9/10 and 3/10: 0.1705 to 0.8090; (c) 6/7 and 2/7: 0.0582 to 0.8062; (e) 0/10 and 0/20.
    assert told_apart(score(0.9, 10), score(0.3, 10))
    assert told_apart(score(6 / 7, 7), score(2 / 7, 7))
    assert not told_apart(score(0.0, 10), score(0.0, 20))
    assert not told_apart(score(5 / 56, 56), score(0.0, 29)), "(d): -0.0381 to 0.1926"
    assert not told_apart(Score(0.9), score(0.1))


SCORES = st.integers(1, 6).map(lambda tenth: tenth / 10)


@settings(deadline=None)
@given(st.lists(st.tuples(SCORES, st.none() | st.integers(1, 6)), max_size=8))
def test_the_front_is_what_nothing_dominates(pairs: list[tuple[float, int | None]]) -> None:
    trials = [trial(f"M{place}()", value, cost) for place, (value, cost) in enumerate(pairs)]
    known = [each for each in trials if each.fit_s is not None]

    def places(each: Trial) -> tuple[float, float]:
        return (-(value_of(each, "score") or 0.0), each.fit_s or 0.0)

    wanted = {
        places(each)
        for each in known
        if not any(
            places(other) != places(each) and all(a <= b for a, b in zip(places(other), places(each), strict=True))
            for other in known
        )
    }
    found = front(trials, ("score", "fit_s"))
    assert {places(each) for each in found} == wanted
    assert len(found) == len(wanted), "equals are named once"


def test_one_row_a_model_the_one_that_was_given_most_with_its_test() -> None:
    rows = (
        trial("A()", 0.7, rung=Rung(0.1)),
        trial("A()", 0.9, rung=Rung(1.0)),
        trial("A()", 0.8, rung=Rung(0.3)),
        trial("A()", None, rung=Rung(1.1), test=score(0.91)),
        trial("B()", None, rung=Rung(1.1), test=score(0.5, 100)),
        trial("C()", 0.6, rung=Rung(1.0, 1)),
        trial("C()", 0.5, rung=Rung(1.0, 2)),
    )
    kept = {each.model: each for each in one_each(rows)}
    assert len(kept) == 3
    assert kept["A()"].score is not None
    assert kept["A()"].test is not None
    assert (kept["A()"].score.value, kept["A()"].test.value) == (0.9, 0.91)
    assert kept["B()"].score is None
    assert kept["C()"].rung == Rung(1.0, 2)


def test_a_test_is_not_joined_to_the_score_of_a_part_of_the_samples() -> None:
    rows = (trial("A()", None, rung=Rung(1.33), test=score(0.95)), trial("A()", 0.7, rung=Rung(0.25)))
    for order in (rows, rows[::-1]):
        (kept,) = one_each(order)
        assert (kept.score, kept.test) == (None, score(0.95))


@pytest.mark.parametrize("field", ["score", "test"])
def test_a_score_stands_in_for_none(field: str) -> None:
    tested = trial("A()", None, test=score(0.5))
    assert value_of(tested, field) == 0.5  # type: ignore[arg-type]
    assert value_of(trial("A()", 0.4), field) == (0.4 if field == "score" else None)  # type: ignore[arg-type]
