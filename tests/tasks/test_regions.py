"""Regions of drawn pictures, whose boxes are known."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cv2")

from chipwise.core.errors import DataError
from chipwise.core.pipeline import (
    Blur,
    Channel,
    Close,
    Crop,
    Expand,
    Keep,
    Open,
    Regions,
    Stage,
    Threshold,
)
from chipwise.tasks.regions import candidates, cut

BROWN, BLUE = (110, 50, 30), (30, 50, 200)


def board() -> np.ndarray:
    """Three brown blocks (one of them at the edge), a blue one and a thin line on a light board of 100 x 80."""
    picture = np.full((80, 100, 3), 230, np.uint8)
    picture[10:16, 20:32] = BROWN
    picture[40:44, 50:54] = BROWN
    picture[60:70, 0:8] = BROWN
    picture[20:30, 70:80] = BLUE
    picture[75, 30:70] = BROWN
    return picture


def found(*stages: Stage, picture: np.ndarray | None = None) -> list[list[int]]:
    return candidates(board() if picture is None else picture, stages).tolist()


FIRST, SECOND, EDGE, BLUE_ONE, LINE = (
    [20, 10, 32, 16],
    [50, 40, 54, 44],
    [0, 60, 8, 70],
    [70, 20, 80, 30],
    [30, 75, 70, 76],
)
GREY = (Channel(), Threshold("value", value=128))


def test_boxes_are_where_they_were_drawn() -> None:
    assert found(*GREY, Regions()) == [FIRST, BLUE_ONE, SECOND, EDGE, LINE]
    assert found(Channel("blue"), Threshold("value", value=128), Regions()) == [FIRST, SECOND, EDGE, LINE]


def test_regions_are_chosen_by_area_shape_and_border() -> None:
    assert found(*GREY, Regions(min_area=17)) == [FIRST, BLUE_ONE, EDGE, LINE]
    assert found(*GREY, Regions(min_area=17, max_area=72)) == [FIRST, LINE]
    assert found(*GREY, Regions(longest=3)) == [FIRST, BLUE_ONE, SECOND, EDGE]
    assert found(*GREY, Regions(border=False)) == [FIRST, BLUE_ONE, SECOND, LINE]


def test_morphology_removes_lines_and_joins_parts() -> None:
    assert LINE not in found(*GREY, Open(), Regions())
    broken = board()
    broken[10:16, 25] = 230
    assert len(found(*GREY, Regions(), picture=broken)) == 6
    assert found(*GREY, Close(), Regions(), picture=broken)[0] == FIRST


@pytest.mark.parametrize("method", ["otsu", "adaptive", "value"])
def test_light_is_the_other_side_of_dark(method: str) -> None:
    picture = board()
    kept = found(Channel(), Threshold(method), Regions(min_area=16, longest=4), picture=picture)
    swapped = found(Channel(), Threshold(method, "light"), Regions(min_area=16, longest=4), picture=255 - picture)
    assert kept == swapped
    assert FIRST in kept


def test_value_divides_exactly() -> None:
    picture = np.full((9, 9, 1), 100, np.uint8)
    picture[4, 4] = 99
    assert found(Channel(), Threshold("value", "dark", 100), Regions(), picture=picture) == [[4, 4, 5, 5]]
    assert found(Channel(), Threshold("value", "light", 100), Regions(), picture=picture) == [[0, 0, 9, 9]]
    assert found(Channel(), Threshold("value", "light", 0), Regions(), picture=picture) == [[0, 0, 9, 9]]


def test_adaptive_follows_a_gradient_where_one_value_cannot() -> None:
    picture = np.repeat(np.linspace(60, 250, 100).astype(np.uint8)[None], 80, axis=0)[..., None]
    for left in (20, 80):
        picture[30:36, left : left + 6, 0] -= 40
    boxes = found(Channel(), Threshold("adaptive", window=31, offset=15), Regions(min_area=20), picture=picture)
    assert boxes == [[20, 30, 26, 36], [80, 30, 86, 36]]


def test_crop_keeps_the_coordinates_of_the_whole_picture() -> None:
    assert found(Crop(left=40, top=30, right=60, bottom=50), *GREY, Regions()) == [SECOND]
    assert found(Crop(left=10), Crop(left=10), *GREY, Regions())[0] == FIRST
    with pytest.raises(DataError, match="the crop begins at 100, 0, the picture has 100 x 80 pixels"):
        found(Crop(left=100), *GREY, Regions())


def test_blur_removes_specks() -> None:
    noisy = board()
    noisy[np.random.default_rng(0).random((80, 100)) < 0.01] = 0
    assert len(found(*GREY, Regions(), picture=noisy)) > 50
    assert len(found(Blur(1, "median"), *GREY, Regions(), picture=noisy)) < 8
    assert len(found(Channel(), Blur(2), Threshold("value", value=128), Regions(), picture=noisy)) < 12


def test_expand_squares_about_the_centre_and_stays_inside() -> None:
    grown = found(*GREY, Regions(min_area=60, max_area=90), Expand(pixels=2))
    assert grown == [[18, 5, 34, 21], [0, 58, 11, 72]]
    assert found(*GREY, Regions(max_area=16), Expand(pixels=3, square=False)) == [[47, 37, 57, 47]]
    assert [part.shape for part in cut(board(), np.array(grown))] == [(16, 16, 3), (14, 11, 3)]


def test_grey_pictures_and_colours() -> None:
    grey = board()[:, :, :1]
    assert found(*GREY, Regions(), picture=grey) == found(Channel("red"), *GREY[1:], Regions())
    with pytest.raises(DataError, match="a grey picture has no saturation"):
        found(Channel("saturation"), *GREY[1:], Regions(), picture=grey)
    light = Threshold("value", "light", 100)
    assert found(Channel("saturation"), light, Regions()) == [FIRST, BLUE_ONE, SECOND, EDGE, LINE]
    assert found(Channel("hue"), light, Regions()) == [BLUE_ONE]


def test_an_empty_board_has_no_regions_and_noise_too_many() -> None:
    blank = np.full((50, 50, 3), 200, np.uint8)
    assert found(*GREY, Regions(), Expand(), Keep(), picture=blank) == []
    dots = np.full((300, 300, 1), 255, np.uint8)
    dots[::2, ::2] = 0
    with pytest.raises(DataError, match="22,500 regions were found, 10,000 at most"):
        found(*GREY, Regions(), picture=dots)
