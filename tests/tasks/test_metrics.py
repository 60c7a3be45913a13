"""Accuracy and the paired drop against published values, closed forms and simulation."""

from __future__ import annotations

import sys
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chipwise.core.errors import DataError
from chipwise.tasks.metrics import ONE_SIDED_Z, accuracy, confusion, mcnemar, paired_drop, samples_needed, upper_bound

Z95 = NormalDist().inv_cdf(0.975)
COUNTS = st.integers(1, 400).flatmap(
    lambda n: st.integers(0, n).flatmap(lambda b: st.tuples(st.just(n), st.just(b), st.integers(0, n - b)))
)


@pytest.mark.parametrize(
    ("correct", "count", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_is_newcombes(correct, count, low, high):
    result = accuracy(correct, count)
    assert (round(result.low, 4), round(result.high, 4)) == (low, high)
    mirrored = accuracy(count - correct, count)
    assert mirrored.low == pytest.approx(1 - result.high)


@pytest.mark.parametrize(("correct", "count"), [(0, 0), (-1, 5), (6, 5)])
def test_impossible_accuracy_is_refused(correct, count):
    with pytest.raises(DataError):
        accuracy(correct, count)


def quartic(lost, won, count, z):
    """Yang, Sun and Hardin's polynomial, whose roots contain Tango's limits (Statistics in Medicine 32, 2013)."""
    g, d, s = z * z, lost - won, lost + won
    return [
        count**2 * (count / g + 1) ** 2,
        -count * d * (count / g + 1) * (4 * count / g + 1),
        2 * count * d**2 * (3 * count / g + 2) / g - count**2 * (s / g + 1),
        count * d * (2 * s / g + 1) - d**3 * (4 * count / g + 1) / g,
        d**2 * (d**2 / g - s) / g,
    ]


@pytest.mark.parametrize(("lost", "won", "count"), [(1, 7, 21), (6, 16, 161), (12, 2, 44), (40, 20, 160), (23, 3, 122)])
@pytest.mark.parametrize("z", [ONE_SIDED_Z, Z95])
def test_upper_bound_is_the_largest_root_of_the_closed_form(lost, won, count, z):
    roots = np.roots(quartic(lost, won, count, z))
    real = roots[np.abs(roots.imag) < 1e-9].real
    assert upper_bound(lost, won, count, z) == pytest.approx(real.max(), abs=1e-6)


def test_two_sided_limits_of_the_bentur_example():
    """Airway reactivity in 21 children: counts 1, 1, 7, 12 (Fagerland et al., Statistics in Medicine 33, 2014)."""
    low, high = -upper_bound(7, 1, 21, Z95), upper_bound(1, 7, 21, Z95)
    assert (round(low, 3), round(high, 3)) == (-0.517, -0.026)


@given(st.integers(1, 10**6))
def test_no_difference_gives_the_closed_form(count):
    z2 = ONE_SIDED_Z**2
    assert upper_bound(0, 0, count) == pytest.approx(z2 / (count + z2), rel=1e-9)


@given(COUNTS)
def test_bound_lies_above_the_drop_and_grows_with_losses(counts):
    count, lost, won = counts
    bound = upper_bound(lost, won, count)
    assert (lost - won) / count <= bound <= 1
    if lost + won < count:
        assert upper_bound(lost + 1, won, count) >= bound
        assert upper_bound(lost, won + 1, count) <= bound + 1e-12


@given(COUNTS)
def test_more_samples_of_the_same_kind_tighten_the_bound(counts):
    count, lost, won = counts
    assert upper_bound(4 * lost, 4 * won, 4 * count) <= upper_bound(lost, won, count) + 1e-12


@pytest.mark.parametrize(("p_lost", "p_won", "count"), [(0.02, 0.01, 500), (0.05, 0.05, 360), (0.01, 0.0, 1000)])
def test_bound_covers_the_true_drop_in_about_95_percent(p_lost, p_won, count):
    rng = np.random.default_rng(7)
    trials = rng.multinomial(count, [p_lost, p_won, 1 - p_lost - p_won], size=4000)[:, :2]
    pairs, repeats = np.unique(trials, axis=0, return_counts=True)
    covered = [upper_bound(int(lost), int(won), count) >= p_lost - p_won for lost, won in pairs]
    assert 0.93 <= np.average(covered, weights=repeats) <= 0.985


def test_needed_is_the_smallest_number_that_shows_the_limit():
    for limit in (0.001, 0.01, 0.05, 0.5, 1.0):
        needed = samples_needed(limit)
        assert upper_bound(0, 0, needed) <= limit
        assert needed == 1 or upper_bound(0, 0, needed - 1) > limit
    assert samples_needed(0.01) == 268
    assert samples_needed(0.0) == sys.maxsize


def test_paired_drop_counts_pairs():
    source = np.array([True, True, True, False, False])
    candidate = np.array([True, False, False, True, False])
    result = paired_drop(source, candidate, limit=0.01)
    assert (result.lost, result.won, result.drop) == (2, 1, pytest.approx(0.2))
    assert (result.source.correct, result.candidate.correct) == (3, 2)
    assert result.needed == samples_needed(0.01)
    assert paired_drop(source, candidate).needed == 0


def test_enough_samples_need_no_more():
    right = np.ones(300, bool)
    assert paired_drop(right, right, limit=0.01).needed == 0
    assert paired_drop(right[:200], right[:200], limit=0.01).needed == 268


@pytest.mark.parametrize(("first", "second"), [(3, 4), (0, 0)])
def test_answers_that_cannot_be_paired_are_refused(first, second):
    with pytest.raises(DataError):
        paired_drop(np.ones(first, bool), np.ones(second, bool))
    with pytest.raises(DataError):
        upper_bound(3, 3, 5)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=60))
def test_confusion_counts_every_answer_once(pairs):
    truth, predicted = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    matrix = confusion(truth, predicted, 5)
    assert all(matrix[row][column] == pairs.count((row, column)) for row in range(5) for column in range(5))


def test_confusion_refuses_classes_without_a_name():
    with pytest.raises(DataError, match="from 0 to 5 for 5"):
        confusion(np.array([0, 1]), np.array([0, 5]), 5)
    with pytest.raises(DataError):
        confusion(np.array([0, 1]), np.array([0]), 5)


@pytest.mark.parametrize(
    ("lost", "won", "p_value"),
    [(0, 0, 1.0), (1, 1, 1.0), (5, 0, 0.0625), (0, 5, 0.0625), (10, 2, 0.03857421875), (4000, 4000, 1.0)],
)
def test_uneven_differences_are_unlikely_by_chance(lost: int, won: int, p_value: float) -> None:
    assert mcnemar(lost, won) == pytest.approx(p_value)
    source = np.array([True] * lost + [False] * won + [True], bool)
    drop = paired_drop(source, np.array([False] * lost + [True] * won + [True], bool))
    assert drop.p_value == pytest.approx(p_value)
