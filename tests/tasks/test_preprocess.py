"""Pictures to network inputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from chipwise.core.errors import DataError, InputError, UnknownNameError
from chipwise.core.network import TensorSpec
from chipwise.core.task import Preprocess
from chipwise.tasks.preprocess import default_preprocess, from_pixels, parse_preprocess, prepare, sized

GREY = Preprocess(height=8, width=8)
RGB = Preprocess(height=8, width=8, channels=3, order="RGB")
SIDES = st.integers(1, 40)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


FITS = st.sampled_from(["auto", "pad", "letterbox", "stretch", "crop"])
LAYOUTS = st.sampled_from(["NCHW", "NHWC", "flat"])


@settings(max_examples=60, deadline=None)
@given(st.tuples(SIDES, SIDES, st.sampled_from([1, 3])), st.sampled_from([GREY, RGB]), FITS, LAYOUTS)
def test_any_picture_gets_the_wanted_shape_and_range(shape, start, fit, layout):
    preprocess = replace(start, fit=fit, layout=layout, height=9, width=7)
    result = prepare(noise(2, *shape), preprocess)
    wanted = {"NCHW": (2, start.channels, 9, 7), "NHWC": (2, 9, 7, start.channels), "flat": (2, 63 * start.channels)}
    assert result.shape == wanted[layout]
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    assert 0 <= result.min() <= result.max() <= 1


def test_padding_centres_on_black():
    result = prepare(np.full((1, 28, 28, 1), 255, np.uint8), Preprocess(height=32, width=32))
    assert result[0, 0, 2:30, 2:30].min() == 1
    assert result.sum() == 28 * 28


@pytest.mark.parametrize(("side", "padded"), [(24, True), (32, True), (23, False), (33, False)])
def test_auto_pads_from_three_quarters_on(side, padded):
    pictures = noise(1, side, min(side, 31), 1)
    start = Preprocess(height=32, width=32)
    same = np.array_equal(prepare(pictures, start), prepare(pictures, replace(start, fit="pad")))
    stretched = np.array_equal(prepare(pictures, start), prepare(pictures, replace(start, fit="stretch")))
    assert (same, stretched) == ((True, False) if padded else (False, True))


def test_pad_makes_a_large_picture_smaller_in_proportion():
    result = prepare(np.full((1, 40, 20, 1), 255, np.uint8), replace(GREY, fit="pad"))
    assert result[0, 0, :, 2:6].min() == 1
    assert result.sum() == 8 * 4


def test_stretch_is_pillows_bilinear():
    picture = noise(30, 17, 3)
    wanted = np.asarray(Image.fromarray(picture).resize((8, 8), Image.Resampling.BILINEAR))
    result = prepare([picture], replace(RGB, fit="stretch", layout="NHWC", scale=1.0))
    assert np.array_equal(result[0], wanted)


def test_crop_is_the_centre_of_the_resized_picture():
    picture = noise(300, 512, 3)
    covering = np.asarray(Image.fromarray(picture).resize((437, 256), Image.Resampling.BILINEAR))
    preprocess = Preprocess(height=224, width=224, channels=3, order="RGB", layout="NHWC", fit="crop", scale=1.0)
    assert np.array_equal(prepare([picture], preprocess)[0], covering[16:240, 106:330])


def test_crop_of_a_strip_stays_small():
    preprocess = replace(GREY, height=224, width=224, fit="crop")
    assert prepare([noise(1, 20_000, 1)], preprocess).shape == (1, 1, 224, 224)


def test_grey_is_pillows_luma():
    picture = noise(8, 8, 3)
    wanted = np.asarray(Image.fromarray(picture).convert("L"))
    assert np.array_equal(prepare([picture], replace(GREY, scale=1.0))[0, 0], wanted)


def test_grey_spreads_over_three_channels():
    result = prepare(noise(1, 8, 8, 1), RGB)
    assert np.array_equal(result[:, 0], result[:, 2])


def test_bgr_is_the_other_way_round():
    pictures = noise(2, 8, 8, 3)
    assert np.array_equal(prepare(pictures, RGB)[:, ::-1], prepare(pictures, replace(RGB, order="BGR")))


def test_mean_and_std_apply_channel_by_channel_in_the_networks_order():
    preprocess = replace(RGB, order="BGR", scale=1.0, mean=(1.0, 2.0, 3.0), std=(2.0, 4.0, 8.0))
    picture = np.zeros((8, 8, 3), np.uint8) + np.array([10, 20, 30], np.uint8)
    assert prepare([picture], preprocess)[0, :, 0, 0].tolist() == [(30 - 1) / 2, (20 - 2) / 4, (10 - 3) / 8]


@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "flat"])
@pytest.mark.parametrize("fit", ["crop", "letterbox", "stretch"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_become_the_floats_of_the_same_pictures(layout, fit, channels):
    order = "BGR" if channels == 3 else "L"
    wanted = Preprocess(
        6, 5, channels, order, layout, fit, 1 / 255, (0.5, 0.4, 0.3)[:channels], (0.2, 0.3, 0.4)[:channels]
    )
    taken = replace(wanted, scale=1.0, mean=(0.0,), std=(1.0,))
    pictures = np.random.default_rng(0).integers(0, 256, (3, 9, 12, 3), dtype=np.uint8)
    pixels = prepare(pictures, taken, "uint8")
    if layout == "NHWC":
        np.testing.assert_array_equal(pixels, sized(pictures, taken))
    np.testing.assert_array_equal(from_pixels(pixels, taken, wanted), prepare(pictures, wanted))


def test_arrays_without_channel_axis_are_grey():
    assert np.array_equal(prepare(noise(3, 8, 8), GREY), prepare(noise(3, 8, 8)[..., None], GREY))
    assert np.array_equal(prepare([noise(8, 8)], GREY), prepare(noise(8, 8)[None, :, :, None], GREY))


def test_many_pictures_equal_one_by_one():
    pictures = noise(1100, 8, 8, 1)
    singles = np.concatenate([prepare(pictures[index : index + 1], GREY) for index in (0, 1023, 1024, 1099)])
    assert np.array_equal(prepare(pictures, GREY)[[0, 1023, 1024, 1099]], singles)


def test_no_pictures_give_an_empty_input():
    assert prepare(np.empty((0, 8, 8, 1), np.uint8), GREY).shape == (0, 1, 8, 8)
    assert prepare([], GREY).shape == (0, 1, 8, 8)


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        ([np.empty((0, 8, 1), np.uint8)], "zero size"),
        (np.empty((2, 8, 0, 1), np.uint8), "zero size"),
        ([np.zeros((8, 8, 4), np.uint8)], "no picture"),
        ([np.zeros((8, 8, 1), np.float32)], "no picture"),
        (np.zeros((2, 8), np.uint8), "no picture"),
    ],
)
def test_what_is_no_picture_is_refused(pictures, message):
    with pytest.raises(DataError, match=message):
        prepare(pictures, GREY)


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        (("batch", 1, 28, 28), Preprocess(28, 28)),
        ((1, 3, 224, 160), Preprocess(224, 160, 3, "RGB")),
        (("batch", 32, 24, 3), Preprocess(32, 24, 3, "RGB", "NHWC")),
        (("batch", 28, 28, 1), Preprocess(28, 28, 1, "L", "NHWC")),
        (("batch", 784), Preprocess(28, 28, layout="flat")),
        (("batch", 4), None),
        (("batch", 785), None),
        (("batch", 3, "height", "width"), None),
        (("batch", 12, 28, 28), None),
        (("batch", 16, 100), None),
        ((3,), None),
        (("batch", 1, 0, 4), None),
    ],
)
def test_default_from_the_inputs_shape(shape, wanted):
    assert default_preprocess(TensorSpec("x", shape)) == wanted


def test_integer_inputs_take_no_pictures():
    assert default_preprocess(TensorSpec("x", ("batch", 1, 28, 28), "int64")) is None


def test_options_change_what_they_name():
    text = "scale=1/2, mean=0.485/0.456/0.406,std=2,order=bgr,fit=crop"
    wanted = replace(RGB, scale=0.5, mean=(0.485, 0.456, 0.406), std=(2.0,), order="BGR", fit="crop")
    assert parse_preprocess(text, RGB) == wanted
    assert parse_preprocess("", RGB) == RGB


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mean=1/2", "2 values for 3"),
        ("std=1/0/1", "divide by zero"),
        ("scale=0", "scale"),
        ("scale=1/2/3", "scale"),
        ("scale=x", "'x'"),
        ("mean=nan", "'nan'"),
        ("fit=zoom", "'zoom'"),
        ("order=L", "'L'"),
        ("scale", "no value"),
    ],
)
def test_options_that_cannot_be_read_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse_preprocess(text, RGB)


def test_an_unknown_option_suggests_the_nearest():
    with pytest.raises(UnknownNameError) as caught:
        parse_preprocess("scael=1", RGB)
    assert "did you mean scale" in caught.value.hint


@pytest.mark.parametrize(
    ("dtype", "wanted"),
    [
        ("uint8", Preprocess(32, 24, 3, "RGB", "NHWC", scale=1.0)),
        ("int8", Preprocess(32, 24, 3, "RGB", "NHWC", scale=1.0, mean=(128.0,))),
    ],
)
def test_whole_number_inputs_take_pixels(dtype, wanted):
    assert default_preprocess(TensorSpec("x", (1, 32, 24, 3), dtype)) == wanted
    pictures = noise(2, 32, 24, 3)
    result = prepare(pictures, wanted, dtype)
    assert result.dtype == np.dtype(dtype)
    assert np.array_equal(result.astype(int) + (128 if dtype == "int8" else 0), pictures)


def test_whole_number_inputs_are_rounded_and_clipped():
    start = Preprocess(1, 2, scale=1.0, layout="NHWC")
    pictures = np.array([[[[10], [255]]]], np.uint8)
    assert prepare(pictures, replace(start, mean=(0.4,), std=(4.0,)), "int8").ravel().tolist() == [2, 64]
    assert prepare(pictures, replace(start, mean=(20.0,), scale=2.0), "uint8").ravel().tolist() == [0, 255]


def test_halves_are_floats():
    assert prepare(noise(1, 8, 8, 1), GREY, "float16").dtype == np.float16


def test_every_option_of_fitting_is_read():
    text = "fit=letterbox,fill=114,corner=yes,resize=256,crop=224,size=9x7"
    wanted = replace(RGB, fit="letterbox", fill=114, corner=True, resize=256, crop=224, height=9, width=7)
    assert parse_preprocess(text, RGB) == wanted
    assert not parse_preprocess("corner=no", wanted).corner


@pytest.mark.parametrize(
    "text", ["fill=256", "fill=-1", "corner=maybe", "resize=9999999999", "crop=1.5", "size=0x4", "size=4", "size=x"]
)
def test_options_of_fitting_that_cannot_be_read_are_refused(text):
    with pytest.raises(InputError):
        parse_preprocess(text, RGB)
