"""Drawings: what is drawn where, in which colours, and that nothing leaves the page."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from chipwise.core.report import Box, Prediction, RunResult
from chipwise.views.overlay import areas_png, boxes_png, classes_png, image_png
from chipwise.views.predictions import lines
from chipwise.views.signals import heat_png, values_png

GREY = np.full((400, 500, 3), 128, np.uint8)


def pixels(data: bytes | None) -> np.ndarray:
    assert data is not None
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def test_a_box_is_drawn_where_it_is_and_nowhere_else() -> None:
    drawn = pixels(boxes_png(GREY, (Box("dog", 0.9, 100, 150, 300, 350),)))
    changed = (drawn != 128).any(axis=2)
    assert changed[150:153, 200].any()
    assert changed[250, 298:302].any()
    assert not changed[250, 110:290].any()
    assert not changed[:, 320:].any()


def test_names_stay_in_the_picture_and_do_not_hide_each_other() -> None:
    boxes = tuple(Box(f"a very long name of a class {n}", 0.9, 495, 0, 500, 5) for n in range(4))
    drawn = pixels(boxes_png(GREY, boxes))
    assert drawn.shape == (400, 500, 3)
    rows = (drawn != 128).any(axis=2)[:, 480]
    assert rows[19:94].sum() >= 72, "four names, one under the other, below the small boxes"


def test_names_of_small_things_are_small() -> None:
    def inked(side: int) -> int:
        drawn = pixels(boxes_png(np.tile(GREY, (2, 2, 1)), [Box("mite", 0.9, 200, 200, 200 + side, 200 + side)]))
        return int((drawn[150:200] != 128).any(axis=2).sum())

    assert inked(15) < inked(150)


def test_classes_have_their_own_colours_the_same_in_every_picture() -> None:
    one = pixels(boxes_png(GREY, (Box("dog", 0.9, 50, 100, 450, 390),)))
    two = pixels(boxes_png(GREY, (Box("dog", 0.9, 50, 100, 450, 390), Box("cat", 0.8, 100, 200, 200, 300))))
    assert np.array_equal(one[388, 250], two[388, 250])
    assert not np.array_equal(two[388, 250], two[298, 150])


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.lists(st.tuples(*(st.floats(-10, 80) for _ in range(4))), max_size=4),
    st.text(max_size=12),
)
def test_any_box_and_any_name_can_be_drawn(size: tuple[int, int], edges: list[tuple[float, ...]], name: str) -> None:
    assert pixels(boxes_png(np.zeros((*size, 1), np.uint8), [Box(name, 0.5, *edge) for edge in edges])).size


def test_tiny_pictures_are_enlarged_and_huge_ones_made_smaller() -> None:
    assert max(pixels(boxes_png(np.zeros((28, 28, 1), np.uint8), ())).shape) >= 320
    assert max(pixels(boxes_png(np.zeros((100, 5000, 1), np.uint8), ())).shape) == 1600


def test_bars_are_as_long_as_the_share() -> None:
    drawn = pixels(classes_png(GREY, (("cat", 0.75), ("dog", 0.25))))
    accent = (np.abs(drawn - (184, 67, 15)).sum(axis=2) < 10).sum(axis=1)
    lengths = sorted(set(accent[accent > 20]))
    assert lengths == [pytest.approx(85, abs=3), pytest.approx(255, abs=3)]
    assert pixels(classes_png(None, (("cat", 1.0),))).shape[1] == 380


def test_areas_are_tinted_with_voc_colours_under_a_legend() -> None:
    classes = np.zeros((400, 500), np.int64)
    classes[:, 250:] = 3
    classes[:100] = -1
    drawn = pixels(areas_png(GREY, classes, ("background", "a", "b", "bird"), (("background", 0.5), ("bird", 0.5))))
    assert drawn.shape[0] > 400
    assert drawn[300, 100].tolist() == [128, 128, 128]
    assert drawn[50, 400].tolist() == [128, 128, 128], "not seen"
    assert drawn[300, 400].tolist() == pytest.approx([128, 128, 58], abs=1), "class 3 of VOC is (128, 128, 0)"
    assert (np.abs(drawn[400:] - (128, 128, 0)).sum(axis=2) == 0).any()


def test_class_0_is_tinted_where_it_is_no_background() -> None:
    drawn = pixels(areas_png(GREY, np.zeros((400, 500), np.int64), ("road",), (("road", 1.0),)))
    assert drawn[200, 200].tolist() != [128, 128, 128]
    assert pixels(areas_png(None, np.ones((50, 50), np.int64), (), (("class 1", 1.0),))).size


def test_pictures_come_out_as_they_are() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    assert np.array_equal(pixels(image_png(noise)), noise)
    assert np.array_equal(pixels(image_png(noise[..., :1]))[..., 2], noise[..., 0])


def test_charts_and_heat_maps_are_pictures() -> None:
    sound = np.sin(np.arange(16000) / 50).astype(np.float32)
    with_sound = pixels(values_png((0.1, 0.9), step_s=0.5, signal=sound, rate=16000))
    assert with_sound.shape[0] > pixels(values_png((0.1, 0.9))).shape[0]
    assert pixels(heat_png(np.random.default_rng(0).random((1, 2, 30, 3000)))).size
    assert pixels(heat_png(np.full((3, 3), np.nan))).size
    assert heat_png(np.zeros((1, 5))) is None
    assert heat_png(np.array([["a", "b"], ["c", "d"]])) is None


def test_every_task_reads_in_its_own_way() -> None:
    said = Prediction("x", values=(0.25, 0.75, 1.0), areas=(("bird", 0.5),), drawn="out/x.png")
    assert [text for text, _ in lines(said)] == [
        "50.00%: bird",
        "3 values: mean 0.6667, 66.67% over half",
        "drawn: out/x.png",
    ]
    assert lines(Prediction("x")) == [("nothing found", "dim")]
    assert RunResult.__dataclass_fields__["complete"].default is True
