"""The embedded digits are the published ones."""

from __future__ import annotations

import numpy as np
import pytest

from chipwise import datasets
from chipwise.datasets import digits


def test_every_pixel_and_label_is_scikit_learns():
    reference = pytest.importorskip("sklearn.datasets").load_digits()
    pixels, labels = digits.original()
    assert np.array_equal(pixels, reference.images)
    assert np.array_equal(labels, reference.target)


def test_pixels_span_the_whole_range_in_even_steps():
    data = datasets.load("digits")
    assert data.inputs.shape == (1797, 8, 8, 1)
    levels = np.unique(data.inputs)
    assert len(levels) == 17
    assert (levels[0], levels[-1]) == (0, 255)
    assert set(np.diff(levels.astype(int))) == {15, 16}
    assert data.class_names == tuple("0123456789")


def test_the_split_holds_out_enough():
    for seed in range(5):
        parts = datasets.load("digits").split(seed)
        assert len(parts.test) >= 360
        assert len(parts.validation) >= 360
        assert np.bincount(parts.test.labels).min() >= 34


def test_the_data_has_not_changed():
    assert datasets.load("digits").digest == "7b826a659f1462ce8fa2404786b3ca36cac3580c9c7cbc5e48e73a5675beae3e"
