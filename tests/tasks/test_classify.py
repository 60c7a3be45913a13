"""Scores to probabilities and names."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from chipwise.core.errors import DataError
from chipwise.tasks.classify import probabilities, top_k

SCORES = arrays(np.float32, (3, 5), elements=st.floats(-1e6, 1e6, width=32))


@given(SCORES)
def test_rows_are_distributions_in_the_order_of_the_scores(scores):
    shares = probabilities(scores)
    assert shares.sum(axis=1) == pytest.approx(1)
    assert (shares >= 0).all()
    best = scores.argmax(axis=1)
    assert (shares[np.arange(3), best] == shares.max(axis=1)).all()


@given(SCORES)
def test_probabilities_stay_what_they_are(scores):
    once = probabilities(scores)
    assert probabilities(once) == pytest.approx(once)


def test_softmax_is_the_textbook_one():
    assert probabilities(np.log([[1.0, 2.0, 5.0]])) == pytest.approx(np.array([[0.125, 0.25, 0.625]]))


def test_infinite_scores_win_without_nan():
    assert probabilities(np.array([[np.inf, 0.0], [-np.inf, 1.0]])).tolist() == [[1, 0], [0, 1]]


def test_trailing_ones_are_dropped():
    assert probabilities(np.zeros((2, 4, 1, 1))).shape == (2, 4)


@pytest.mark.parametrize("scores", [np.array([[np.nan, 1.0]]), np.zeros(3), np.zeros((2, 0))])
def test_what_is_no_score_is_refused(scores):
    with pytest.raises(DataError, match="scores"):
        probabilities(scores)


def test_top_k_names_classes_in_order():
    (best,) = top_k(np.array([[0.1, 0.6, 0.3]]), ("a", "b"), k=9)
    assert [name for name, _ in best] == ["b", "class 2", "a"]
    assert [share for _, share in best] == pytest.approx([0.6, 0.3, 0.1])


def test_ties_keep_the_order_of_the_classes():
    (best,) = top_k(np.zeros((1, 4)), (), k=2)
    assert [name for name, _ in best] == ["class 0", "class 1"]
