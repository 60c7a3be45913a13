"""Where a picture lies in the input: points go there and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chipwise.core.task import Preprocess
from chipwise.tasks.placement import OUTSIDE, Region, place
from chipwise.tasks.preprocess import prepare, sized

SIDES = st.integers(1, 60)
FITS = st.sampled_from(["auto", "pad", "stretch", "crop", "letterbox"])


def seen(**fields: object) -> Preprocess:
    return Preprocess(**{"height": 40, "width": 60, "channels": 3, "order": "RGB", "layout": "NHWC", **fields})


def test_letterbox_is_as_large_as_fits_and_centred() -> None:
    placement = place(100, 100, seen(fit="letterbox"))
    assert placement.seen() == Region(0, 10, 40, 40)
    assert placement.boxes(np.array([[10.0, 0, 50, 40]])).tolist() == [[0, 0, 100, 100]]


def test_letterbox_may_lie_in_the_corner_and_fills_the_rest() -> None:
    preprocess = seen(fit="letterbox", corner=True, fill=114, scale=1.0)
    result = prepare(np.full((1, 20, 20, 3), 200, np.uint8), preprocess)[0]
    assert result[:, :40].min() == result[:, :40].max() == 200
    assert result[:, 40:].min() == result[:, 40:].max() == 114


def test_pad_has_its_own_fill() -> None:
    result = prepare(np.zeros((1, 30, 40, 3), np.uint8), seen(fit="pad", fill=255, scale=1.0))[0]
    assert (result == 0).all(axis=2).sum() == 30 * 40
    assert result[0, 0, 0] == 255


def test_crop_takes_the_middle_of_the_resized_picture() -> None:
    placement = place(100, 200, seen(height=32, width=32, fit="crop", resize=50, crop=40))
    assert (placement.resized, placement.window) == ((50, 100), Region(5, 30, 40, 40))
    left, top, right, bottom = placement.boxes(np.array([[0.0, 0, 32, 32]]))[0]
    assert (left, top, right, bottom) == pytest.approx((60, 10, 140, 90))


def test_a_crop_larger_than_the_resize_is_covered() -> None:
    assert place(10, 10, seen(height=32, width=32, fit="crop", resize=20)).resized == (32, 32)


@settings(max_examples=150, deadline=None)
@given(SIDES, SIDES, FITS, st.booleans(), st.sampled_from([(0, 0), (45, 0), (0, 38), (70, 50)]))
def test_the_input_shows_the_picture_where_it_says(
    height: int, width: int, fit: str, corner: bool, cut: tuple[int, int]
) -> None:
    """A white picture on a black fill: what is white is the region that `seen` names."""
    preprocess = seen(fit=fit, corner=corner, resize=cut[0], crop=cut[1], fill=0)
    result = sized(np.full((1, height, width, 3), 255, np.uint8), preprocess)[0, :, :, 0]
    region = place(height, width, preprocess).seen()
    white = np.zeros_like(result)
    white[region.top : region.top + region.height, region.left : region.left + region.width] = 255
    # A picture of one pixel's height may be rounded up to a row that is not quite there.
    assert np.count_nonzero(white != result) <= max(result.shape)


@settings(max_examples=100, deadline=None)
@given(SIDES, SIDES, FITS)
def test_boxes_of_everything_stay_in_the_picture(height: int, width: int, fit: str) -> None:
    boxes = np.array([[-1e6, -1e6, 1e6, 1e6]])
    assert place(height, width, seen(fit=fit)).boxes(boxes).tolist() == [[0, 0, width, height]]


def test_maps_come_back_at_any_resolution() -> None:
    placement = place(4, 8, seen(height=8, width=8, fit="letterbox"))  # rows 2..5 of the input show it
    small = np.array([[9, 9, 9, 9], [1, 2, 3, 4], [5, 6, 7, 8], [9, 9, 9, 9]])
    spread = placement.classes(small)
    assert spread.tolist() == [[1, 1, 2, 2, 3, 3, 4, 4]] * 2 + [[5, 5, 6, 6, 7, 7, 8, 8]] * 2


def test_what_the_crop_left_out_has_no_class() -> None:
    placement = place(10, 30, seen(height=10, width=10, fit="crop", resize=10))
    spread = placement.classes(np.ones((10, 10), np.int64))
    assert (spread[:, 10:20] == 1).all()
    assert (spread[:, :10] == OUTSIDE).all()
    assert (spread[:, 20:] == OUTSIDE).all()
