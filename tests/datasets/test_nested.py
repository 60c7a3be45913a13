"""Nested parts of a data set."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from chipwise.datasets.dataset import make
from chipwise.datasets.nested import nested


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=200),
    st.lists(st.floats(0.01, 1.0), min_size=1, max_size=5),
    st.integers(0, 9),
)
def test_each_part_holds_the_smaller_ones_with_the_shares_of_the_whole(
    labels: list[int], shares: list[float], seed: int
) -> None:
    data = make("toy", np.zeros((len(labels), 1), np.float32), np.array(labels), tuple("abcde"))
    shares = sorted(shares)
    parts = nested(data, shares, seed)
    for small, large in pairwise(parts):
        assert set(small) <= set(large)
    whole = np.bincount(data.labels, minlength=5) / len(data)
    for share, rows in zip(shares, parts, strict=True):
        assert len(rows) == len(set(rows)) == max(1, round(share * len(data)))
        assert np.abs(np.bincount(data.labels[rows], minlength=5) - whole * len(rows)).max() <= 1.5


def test_another_seed_chooses_others_and_the_same_one_the_same() -> None:
    data = make("toy", np.zeros((100, 1), np.float32), np.arange(100) % 4)
    one, again, other = (nested(data, (0.2,), seed)[0].tolist() for seed in (0, 0, 1))
    assert one == again != other
