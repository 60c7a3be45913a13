"""Picture files, whole and broken."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chipwise.core.errors import DataError
from chipwise.tasks.pictures import open_picture, picture_from_bytes, picture_shape, png_bytes, resize


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("shape", [(5, 7, 1), (5, 7, 3)])
def test_png_comes_back_as_it_was(tmp_path, shape):
    path = tmp_path / "a.png"
    path.write_bytes(png_bytes(noise(*shape)))
    assert np.array_equal(open_picture(path), noise(*shape))
    assert picture_shape(path) == shape


def test_a_picture_in_memory_is_read_as_the_file_would_be(tmp_path):
    data = png_bytes(noise(5, 7, 3))
    assert np.array_equal(picture_from_bytes(data, "the body"), noise(5, 7, 3))
    Image.fromarray(noise(5, 7, 3)).save(tmp_path / "a.eps")
    for broken in (data[:40], b"", b"text", (tmp_path / "a.eps").read_bytes()):
        with pytest.raises(DataError, match="the body is no picture, or damaged"):
            picture_from_bytes(broken, "the body")


def test_a_missing_channel_axis_is_grey():
    assert png_bytes(noise(5, 7)) == png_bytes(noise(5, 7)[..., None])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_every_mode_becomes_grey_or_colour(tmp_path, mode):
    image = Image.new("I;16", (6, 4), 0x80FF) if mode == "I;16" else Image.fromarray(noise(4, 6, 3)).convert(mode)
    path = tmp_path / "a.tif"
    image.save(path)
    picture = open_picture(path)
    assert picture.dtype == np.uint8
    assert picture.shape == picture_shape(path)
    assert picture.shape[2] == (1 if mode in {"1", "L", "LA", "I;16"} else 3)
    if mode == "I;16":
        assert (picture == 0x80).all()


def test_transparent_parts_show_white(tmp_path):
    Image.new("RGBA", (3, 3), (0, 0, 0, 0)).save(tmp_path / "a.png")
    Image.new("LA", (3, 3), (0, 0)).save(tmp_path / "b.png")
    assert open_picture(tmp_path / "a.png").min() == 255
    assert open_picture(tmp_path / "b.png").min() == 255


def test_exif_orientation_is_applied(tmp_path):
    path = tmp_path / "phone.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 10)).save(path, exif=exif)
    assert open_picture(path).shape == picture_shape(path) == (20, 10, 3)


def test_resize_of_the_same_size_changes_nothing():
    assert np.array_equal(resize(noise(5, 7, 1), 5, 7), noise(5, 7, 1))
    assert resize(noise(5, 7, 1), 9, 2).shape == (9, 2, 1)


@pytest.mark.parametrize("content", [b"", b"just text", b"\x89PNG\r\n\x1a\n"])
def test_text_named_png_is_refused_by_name(tmp_path, content):
    path = tmp_path / "text.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"text\.png"):
        open_picture(path)
    with pytest.raises(DataError, match=r"text\.png"):
        picture_shape(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "tif", "webp"])
def test_a_cut_picture_is_refused_by_name(tmp_path, suffix):
    path = tmp_path / f"cut.{suffix}"
    Image.fromarray(noise(64, 64, 3)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"cut\.{suffix}"):
        open_picture(path)


def test_a_flipped_bit_in_a_png_is_found(tmp_path):
    data = bytearray(png_bytes(noise(64, 64, 1)))
    data[len(data) // 2] ^= 0x10
    path = tmp_path / "flipped.png"
    path.write_bytes(data)
    with pytest.raises(DataError, match="flipped"):
        open_picture(path)


def test_a_decompression_bomb_is_refused_before_it_opens(tmp_path, monkeypatch):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_bytes(np.zeros((100, 100), np.uint8)))
    for limit in (9_000, 4_000):  # Pillow warns above its limit and raises above twice that
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(DataError, match="too many pixels"):
            open_picture(path)


def test_missing_file_and_folder_are_named(tmp_path):
    with pytest.raises(DataError, match="no such picture"):
        open_picture(tmp_path / "none.png")
    with pytest.raises(DataError, match="is a folder"):
        open_picture(tmp_path)


def test_floating_point_pixels_are_refused(tmp_path):
    Image.new("F", (3, 3)).save(tmp_path / "f.tif")
    with pytest.raises(DataError, match="floating-point"):
        open_picture(tmp_path / "f.tif")


def test_threads_that_read_leave_warnings_as_they_were(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(64)]
    for number, path in enumerate(paths):
        path.write_bytes(png_bytes(np.full((8 + number % 5, 8, 3), number, np.uint8)))
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            list(pool.map(open_picture, paths))
    assert warnings.filters == before
    with pytest.warns(UserWarning, match="still heard"):
        warnings.warn("still heard", stacklevel=1)
