"""Maps of classes, pictures that come out, sounds and streams."""

from __future__ import annotations

import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chipwise.core.errors import DataError, InputError
from chipwise.core.network import TensorSpec
from chipwise.core.task import Preprocess, Rendering, Stream
from chipwise.tasks.audio import read_wave
from chipwise.tasks.classify import probabilities
from chipwise.tasks.frames import open_frames
from chipwise.tasks.pictures import png_bytes
from chipwise.tasks.placement import OUTSIDE
from chipwise.tasks.render import finished, rendered
from chipwise.tasks.segment import areas, class_maps
from chipwise.tasks.streams import pieces, run_stream

# --- segmentation


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_the_highest_score_is_the_class(layout: str) -> None:
    wanted = np.random.default_rng(0).integers(0, 5, (2, 3, 4))
    scores = np.eye(5, dtype=np.float32)[wanted]
    output = scores if layout == "NHWC" else scores.transpose(0, 3, 1, 2)
    assert np.array_equal(class_maps(output, layout), wanted)


def test_classes_may_come_as_they_are() -> None:
    classes = np.array([[[0, 3], [1, 2]]])
    assert np.array_equal(class_maps(classes), classes)
    assert np.array_equal(class_maps(classes[:, None]), classes)
    assert np.array_equal(class_maps(classes.astype(np.float32)), classes)


def test_one_score_is_a_class_against_the_background() -> None:
    assert class_maps(np.array([[[[0.4, 0.6]]]])).tolist() == [[[0, 1]]]
    assert class_maps(np.array([[[[-3.0, 0.4]]]])).tolist() == [[[0, 1]]]


@pytest.mark.parametrize(
    "output",
    [np.zeros((2, 3)), np.zeros((1, 0, 2, 2)), np.array([[[-1]]]), np.array([[[0.5]]]), np.array([[[70_000]]])],
)
def test_what_is_no_map_is_refused(output: np.ndarray) -> None:
    with pytest.raises(DataError):
        class_maps(output)


def test_nan_is_no_class() -> None:
    with pytest.raises(DataError, match="NaN"):
        class_maps(np.full((1, 2, 2, 2), np.nan))


def test_areas_leave_out_what_was_not_seen() -> None:
    classes = np.array([[0, 1, 1, OUTSIDE]])
    assert areas(classes, ("none", "cat")) == (("cat", 0.5), ("none", 0.25))
    assert areas(np.full((2, 2), OUTSIDE), ()) == ()


# --- pictures that come out


def test_pictures_are_scaled_clipped_and_put_in_order() -> None:
    output = np.array([0.0, 0.5, 2.0], np.float32).reshape(1, 3, 1, 1)
    assert rendered(output, Rendering(100, 50, "BGR")).ravel().tolist() == [250, 100, 50]
    assert rendered(output.transpose(0, 2, 3, 1), Rendering(255), "NHWC").ravel().tolist() == [0, 128, 255]


@pytest.mark.parametrize("output", [np.zeros((1, 2, 4, 4)), np.zeros((4, 4)), np.full((1, 3, 2, 2), np.nan)])
def test_what_is_no_picture_is_refused(output: np.ndarray) -> None:
    with pytest.raises(DataError):
        rendered(output, Rendering())


def test_the_border_of_fitting_goes_and_colours_return() -> None:
    seen = Preprocess(8, 8, fit="letterbox")
    picture = np.zeros((10, 20, 3), np.uint8) + np.array([200, 30, 30], np.uint8)
    luma = round(0.299 * 200 + 0.587 * 30 + 0.114 * 30)
    enlarged = np.full((24, 24, 1), luma, np.uint8)
    result = finished(enlarged, picture, seen, Rendering(order="L"))
    assert result.shape == (12, 24, 3)
    assert np.abs(result.astype(int) - picture[0, 0]).max() <= 2
    assert finished(enlarged, picture[..., :1], seen, Rendering(order="L")).shape == (12, 24, 1)


# --- shares of 8-bit networks


def test_eight_bit_softmax_is_read_as_shares() -> None:
    scores = np.array([[0, 64, 191]], np.uint8)
    assert probabilities(scores)[0].tolist() == pytest.approx([0, 64 / 255, 191 / 255])
    assert np.allclose(probabilities((scores.astype(int) - 128).astype(np.int8)), probabilities(scores))
    assert probabilities(np.array([[3, 5]], np.uint8))[0, 1] == pytest.approx(1 / (1 + np.exp(-2)))


# --- sounds


def write_wave(path: Path, samples: np.ndarray, rate: int = 16000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(samples.dtype.itemsize)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path


def test_stereo_becomes_its_mean(tmp_path: Path) -> None:
    path = write_wave(tmp_path / "x.wav", np.array([[0, 16384], [-32768, -32768]], "<i2"), 8000)
    samples, rate = read_wave(path)
    assert samples.tolist() == [0.25, -1.0]
    assert (samples.dtype, rate) == (np.float32, 8000)


def test_sounds_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    write_wave(tmp_path / "eight.wav", np.zeros(4, np.uint8))
    write_wave(tmp_path / "empty.wav", np.zeros(0, "<i2"))
    (tmp_path / "text.wav").write_text("no sound at all")
    float_format = struct.pack("<HHIIHH", 3, 1, 16000, 64000, 4, 32)
    body = b"WAVEfmt " + struct.pack("<I", len(float_format)) + float_format + b"data" + struct.pack("<I", 4) + b"0000"
    (tmp_path / "float.wav").write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    for name in ("eight", "empty", "text", "float", "absent"):
        with pytest.raises(DataError, match=f"{name}.wav"):
            read_wave(tmp_path / f"{name}.wav")


def test_a_header_that_promises_too_much_allocates_nothing(tmp_path: Path) -> None:
    path = write_wave(tmp_path / "x.wav", np.arange(4, dtype="<i2"))
    data = bytearray(path.read_bytes())
    data[40:44] = struct.pack("<I", 0xFFFFFFF0)
    path.write_bytes(data)
    assert len(read_wave(path)[0]) == 4


# --- streams


def test_pieces_overlap_by_their_context_and_are_filled_up() -> None:
    signal = np.arange(1, 6, dtype=np.float32)
    got = [piece.tolist() for piece in pieces(signal, Stream(step=2, context=3))]
    assert got == [[0, 0, 0, 1, 2], [0, 1, 2, 3, 4], [2, 3, 4, 5, 0]]


def test_states_are_carried_and_constants_held() -> None:
    """A network that adds up what it has heard, times a constant."""
    inputs = (TensorSpec("sound", ("b", "s")), TensorSpec("gain", (), "int64"), TensorSpec("sum", (1, 1)))
    outputs = (TensorSpec("now", ("b", 1)), TensorSpec("next", (1, 1)))
    stream = Stream(2, 0, (("sum", "next"),), {"gain": 10.0})

    def run(arrays: list[np.ndarray]) -> list[np.ndarray]:
        sound, gain, before = arrays
        assert (gain.dtype, gain.shape, sound.shape) == (np.int64, (), (1, 2))
        total = before + sound.sum() * gain
        return [total * 2, total]

    got = run_stream(np.arange(5, dtype=np.float32), stream, inputs, outputs, run)
    assert got["now"].ravel().tolist() == [20, 120, 200]
    assert got["next"].tolist() == [[100.0]]


def test_streams_that_do_not_fit_are_refused() -> None:
    inputs, outputs = (TensorSpec("a", (1, 4)), TensorSpec("b", (1, 4))), (TensorSpec("c", (1, 4)),)

    def never(arrays: list[np.ndarray]) -> list[np.ndarray]:
        raise AssertionError

    for stream, says in [
        (Stream(4), "2 inputs are left"),
        (Stream(4, states=(("x", "c"),)), "no input 'x'"),
        (Stream(4, states=(("b", "d"),)), "no output 'd'"),
        (Stream(3, states=(("b", "c"),)), "takes"),
    ]:
        with pytest.raises(InputError, match=says):
            run_stream(np.zeros(8, np.float32), stream, inputs, outputs, never)


# --- frames


def test_a_moving_picture_gives_all_its_frames(tmp_path: Path) -> None:
    shades = [Image.new("L", (6, 4), shade) for shade in (0, 100, 200)]
    shades[0].save(tmp_path / "x.gif", save_all=True, append_images=shades[1:], duration=100)
    count, frames = open_frames(tmp_path / "x.gif")
    got = list(frames)
    assert count == len(got) == 3
    assert [int(picture[0, 0, 0]) for _, picture in got] == pytest.approx([0, 100, 200], abs=3)
    assert got[2][0].endswith("x.gif[2]")


def test_a_film_gives_all_its_frames(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    writer = cv2.VideoWriter(str(tmp_path / "x.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for shade in (0, 120, 240):
        writer.write(np.full((48, 64, 3), (shade, 0, 0), np.uint8))
    writer.release()
    count, frames = open_frames(tmp_path / "x.avi")
    got = [picture for _, picture in frames]
    assert count == len(got) == 3
    assert np.abs(got[2][20, 20].astype(int) - (0, 0, 240)).max() < 30, "blue is last in RGB"


def test_what_holds_no_frames_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "note.txt").write_text("no film")
    (tmp_path / "x.gif").write_bytes(b"GIF89a")
    for name in ("empty", "absent", "x.gif"):
        with pytest.raises(DataError, match=name):
            open_frames(tmp_path / name)
    pytest.importorskip("cv2")
    with pytest.raises(DataError, match="no film"):
        open_frames(tmp_path / "note.txt")


def test_a_folder_names_the_frame_that_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_bytes(np.zeros((2, 2, 3), np.uint8)))
    (tmp_path / "b.png").write_bytes(b"\x89PNG")
    _, frames = open_frames(tmp_path)
    assert next(frames)[0].endswith("a.png")
    with pytest.raises(DataError, match=r"b\.png"):
        next(frames)
