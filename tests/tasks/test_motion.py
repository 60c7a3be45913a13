"""Moved pictures: exact where they can be, and bilinear in between."""

from __future__ import annotations

import numpy as np
import pytest

from chipwise.tasks.motion import edge_value, scaled, shifted, turned

RANDOM = np.random.default_rng(0).integers(0, 256, (70, 9, 9, 3), np.uint8)  # more than are turned at a time
FILL = (1, 2, 3)


@pytest.mark.parametrize(("down", "right"), [(0, 0), (2, 0), (-3, 1), (0, -4), (9, 0)])
def test_shift_by_whole_pixels_is_exact(down: int, right: int) -> None:
    framed = np.empty((70, 27, 27, 3), np.uint8)
    framed[:] = FILL
    framed[:, 9:18, 9:18] = RANDOM
    wanted = framed[:, 9 - down : 18 - down, 9 - right : 18 - right]
    assert np.array_equal(shifted(RANDOM, down, right, FILL), wanted)


def test_half_a_pixel_is_the_mean_of_two() -> None:
    picture = np.array([[10, 20, 40]], np.uint8).reshape(1, 1, 3, 1)
    assert shifted(picture, 0, 0.5, (0,)).ravel().tolist() == [5, 15, 30]


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_turns_by_right_angles_are_exact(quarters: int) -> None:
    wanted = np.rot90(RANDOM, quarters, axes=(1, 2))
    assert np.array_equal(turned(RANDOM, 90 * quarters, FILL), wanted)
    assert np.array_equal(turned(RANDOM, 90 * quarters - 360, FILL), wanted)


def test_scale_one_is_the_picture_and_two_doubles_about_the_middle() -> None:
    assert np.array_equal(scaled(RANDOM, 1.0, FILL), RANDOM)
    picture = np.array([[0, 8, 16, 24, 32]], np.uint8).reshape(1, 1, 5, 1)
    assert scaled(picture, 2.0, (0,)).ravel().tolist() == [8, 12, 16, 20, 24]
    assert scaled(picture, 0.5, (7,)).ravel().tolist() == [7, 0, 16, 32, 7]


def test_the_background_is_the_median_of_the_edges() -> None:
    pictures = np.full((3, 4, 4, 2), (9, 200), np.uint8)
    pictures[:, 1:3, 1:3] = 77
    pictures[0, 0, 0] = 255
    assert edge_value(pictures) == (9, 200)
