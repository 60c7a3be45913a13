"""Mutated pictures, label files and sounds: read, or refused with an error of ours."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from chipwise.core.errors import ChipwiseError
from chipwise.core.network import TensorSpec
from chipwise.core.task import Task
from chipwise.tasks.audio import read_wave
from chipwise.tasks.describe import read_labels, told
from chipwise.tasks.frames import open_frames
from chipwise.tasks.pictures import open_picture

EXAMPLES = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def picture(kind: str) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (12, 9, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, format=kind)
    return buffer.getvalue()


def sound() -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((2, 2, 16000, 0, "NONE", ""))
        file.writeframes(np.arange(40, dtype="<i2").tobytes())
    return buffer.getvalue()


PICTURES = {kind: picture(kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")}
SOUND = sound()
TABLE = b'class_index,name\n0,"tench, Tinca tinca"\n2,hen\n'
CUTS = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6)


def mutated(data: bytes, changes: list[tuple[int, int]], end: int) -> bytes:
    changed = bytearray(data[: len(data) - end % len(data)])
    for place, value in changes:
        if changed:
            changed[place % len(changed)] = value
    return bytes(changed)


def outcome(call: Callable[[], Any]) -> Any:
    """What a call gives, or the error of ours that it raises; any other error fails the test."""
    try:
        return call()
    except ChipwiseError as error:
        return error


@EXAMPLES
@given(st.sampled_from(sorted(PICTURES)), CUTS, st.integers(0, 50))
def test_pictures(tmp_path: Path, kind: str, changes: list[tuple[int, int]], end: int) -> None:
    path = tmp_path / f"x.{kind.lower()}"
    path.write_bytes(mutated(PICTURES[kind], changes, end))
    got = outcome(lambda: open_picture(path))
    assert path.name in got.message if isinstance(got, ChipwiseError) else got.dtype == np.uint8
    moving = path.rename(tmp_path / "x.gif")
    frames = outcome(lambda: list(open_frames(moving)[1]))
    assert isinstance(frames, ChipwiseError) or all(frame.ndim == 3 for _, frame in frames)


@EXAMPLES
@given(CUTS, st.integers(0, 200))
def test_sounds(tmp_path: Path, changes: list[tuple[int, int]], end: int) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(mutated(SOUND, changes, end))
    got = outcome(lambda: read_wave(path))
    assert "x.wav" in got.message if isinstance(got, ChipwiseError) else 0 < len(got[0]) <= len(SOUND)


@EXAMPLES
@given(st.one_of(st.binary(max_size=80), st.builds(mutated, st.just(TABLE), CUTS, st.integers(0, 40))))
def test_labels(tmp_path: Path, data: bytes) -> None:
    for name in ("x.csv", "x.txt"):
        path = tmp_path / name
        path.write_bytes(data)
        got = outcome(partial(read_labels, path))
        assert name in got.message if isinstance(got, ChipwiseError) else all(isinstance(each, str) for each in got)


WORDS = st.sampled_from(
    ["detection", "image", "sequence", ":", "yolox", "corners", "ssd", ",", "=", "step", "threshold", "order", "x", "y",
     "0.5", "-1", "nan", "1e400", "RGB", "scale", "size", "fit", "crop", "1/0", "224x224", "mean", "é", " "]
)  # fmt: skip


@EXAMPLES
@given(st.lists(WORDS, max_size=10).map("".join), st.booleans())
def test_lines_of_text(text: str, prepared: bool) -> None:
    inputs, outputs = (TensorSpec("x", (1, 3, 64, 64)),), (TensorSpec("y", (1, 84, 85)),)
    said = {"preprocess": text} if prepared else {"task": text}
    got = outcome(lambda: told(Task(), inputs, outputs, **said))
    assert got.message if isinstance(got, ChipwiseError) else isinstance(got, Task)
