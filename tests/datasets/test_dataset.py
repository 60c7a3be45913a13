"""Building data sets and splitting them."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chipwise.core.errors import DataError, InputError
from chipwise.datasets.dataset import make

LABELS = st.lists(st.integers(0, 5), min_size=1, max_size=120).map(lambda values: np.array(values, np.int64))
SHARES = st.floats(0.05, 0.4)


def numbered(labels, test_count=0):
    """Samples whose only value is their row number."""
    return make("toy", np.arange(len(labels), dtype=np.float32)[:, None], labels, None, test_count)


def rows(part):
    return part.inputs[:, 0].astype(int).tolist()


@settings(max_examples=100, deadline=None)
@given(LABELS, st.integers(0, 2**40), SHARES, SHARES)
def test_parts_share_nothing_and_leave_nothing_out(labels, seed, validation, test):
    parts = numbered(labels).split(seed, validation, test)
    together = rows(parts.train) + rows(parts.validation) + rows(parts.test)
    assert sorted(together) == list(range(len(labels)))
    for part in (parts.train, parts.validation, parts.test):
        assert rows(part) == sorted(rows(part))
        assert (part.labels == labels[rows(part)]).all()


@settings(max_examples=100, deadline=None)
@given(LABELS, st.integers(0, 1000))
def test_every_class_is_in_every_part_where_possible(labels, seed):
    parts = numbered(labels).split(seed)
    for label in np.unique(labels):
        total = int((labels == label).sum())
        counts = [int((part.labels == label).sum()) for part in (parts.train, parts.validation, parts.test)]
        assert counts[0] >= 1
        assert counts[2] >= 1 or total < 2
        assert counts[1] >= 1 or total < 3
        assert abs(counts[2] - total * 0.2) <= 2


def test_the_same_seed_splits_alike_everywhere():
    parts = numbered(np.arange(1000) % 7).split(seed=3)
    content = str([rows(parts.train), rows(parts.validation), rows(parts.test)]).encode()
    assert hashlib.sha256(content).hexdigest() == "cc42c9a0ce55a6f087bef7e2f19a3e1319590723384c77c3eeceec5689d7dadf"
    assert rows(numbered(np.arange(1000) % 7).split(seed=4).test) != rows(parts.test)


def test_official_test_rows_stay_test():
    data = numbered(np.arange(100) % 5, test_count=20)
    parts = data.split(seed=1)
    assert rows(parts.test) == list(range(80, 100))
    assert (len(parts.train), len(parts.validation)) == (72, 8)
    assert len(data.split(seed=1, validation=0.25).validation) == 20
    assert parts.train.test_count == 0


def test_official_validation_rows_stay_validation():
    labels = np.arange(100) % 5
    data = make("toy", np.arange(100)[:, None], labels, test_count=20, validation_count=30)
    for parts in (data.split(seed=1), data.split(seed=2, validation=0.5)):
        assert rows(parts.train) == list(range(50))
        assert rows(parts.validation) == list(range(50, 80))
        assert rows(parts.test) == list(range(80, 100))
    assert parts.train.validation_count == 0
    without_test = make("toy", np.arange(100)[:, None], labels, validation_count=30).split(test=0.2)
    assert rows(without_test.validation) == list(range(70, 100))
    assert (len(without_test.train), len(without_test.test)) == (56, 14)


def test_a_share_of_nothing_gives_an_empty_part():
    parts = numbered(np.arange(10) % 2).split(validation=0.0)
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (8, 0, 2)


@pytest.mark.parametrize("arguments", [{"seed": -1}, {"validation": -0.1}, {"validation": 0.6, "test": 0.4}])
def test_impossible_splits_are_refused(arguments):
    with pytest.raises(InputError, match="cannot split"):
        numbered(np.arange(10)).split(**arguments)


def test_digests_tell_data_apart():
    inputs, labels = np.zeros((4, 3), np.float32), np.array([0, 1, 0, 1])
    first = make("a", inputs, labels, ("x", "y"))
    assert first.digest == make("b", inputs.copy(), labels.astype(np.uint8), ("x", "y")).digest
    others = [make("a", inputs + 1, labels, ("x", "y")), make("a", inputs, labels[::-1], ("x", "y")),
              make("a", inputs, labels, ("x", "z")), make("a", inputs.reshape(4, 3, 1), labels, ("x", "y")),
              first.take(np.array([0, 1, 2, 3])), first.take(np.array([0]))]  # fmt: skip
    assert len({first.digest, *(other.digest for other in others)}) == 7


def test_pictures_get_a_channel_and_numbers_become_float32():
    assert make("a", np.zeros((2, 5, 4), np.uint8), np.zeros(2, int)).inputs.shape == (2, 5, 4, 1)
    data = make("a", np.array([[1, 2], [3, 4]], np.int64), np.array([0, 2]))
    assert (data.pictures, data.inputs.dtype, data.class_names, data.classes) == (False, np.float32, ("0", "1", "2"), 3)


@pytest.mark.parametrize(
    ("inputs", "labels", "names", "message"),
    [
        (np.zeros((0, 3)), np.zeros(0, int), None, "shape"),
        (np.zeros(3), np.zeros(3, int), None, "shape"),
        (np.zeros((2, 0, 4), np.uint8), np.zeros(2, int), None, "shape"),
        (np.zeros((2, 3)), np.zeros(3, int), None, "labels of shape"),
        (np.zeros((2, 3)), np.zeros(2), None, "float64 labels"),
        (np.zeros((2, 3)), np.array([0, -1]), None, "label -1 of sample 1"),
        (np.zeros((2, 3)), np.array([0, 2]), ("a", "b"), "label 2 of sample 1"),
        (np.zeros((2, 3)), np.array([10**9, 2]), None, "label 1000000000"),
        (np.zeros((2, 5, 5, 2), np.uint8), np.zeros(2, int), None, "channels|pictures of shape"),
        (np.array([[0.0], [np.nan]]), np.zeros(2, int), None, "sample 1"),
        (np.array([[0.0], [1e300]]), np.zeros(2, int), None, "sample 1"),
        (np.array([["a"], ["b"]]), np.zeros(2, int), None, "type"),
    ],
)
def test_data_that_does_not_fit_together_is_refused(inputs, labels, names, message):
    with pytest.raises(DataError, match=message):
        make("toy", inputs, labels, names)
