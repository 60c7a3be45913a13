"""Samples in batches: none is lost, a fixed batch is always full, and what fills it up is told apart."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from chipwise.core.network import TensorSpec
from chipwise.runtimes.batches import batches


@given(st.integers(0, 40), st.integers(1, 12), st.booleans())
def test_every_sample_is_in_one_batch(count: int, size: int, fixed: bool) -> None:
    inputs = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
    spec = TensorSpec("x", (size if fixed else "N", 2))
    found = list(batches(spec, inputs, 7))
    most = size if fixed else 7
    assert all(len(fed) == most if fixed else len(fed) <= most for fed, _ in found)
    assert all(fed.flags.c_contiguous for fed, _ in found)
    kept = [fed[:rows] for fed, rows in found]
    assert np.array_equal(np.concatenate(kept) if kept else inputs[:0], inputs)
    for fed, rows in found:
        assert np.array_equal(fed[rows:], np.repeat(fed[rows - 1 : rows], len(fed) - rows, axis=0))
