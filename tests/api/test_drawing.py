"""Drawings: what is never written over, what they are signed with, and what has nothing to draw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from chipwise import api
from chipwise.api.drawing import signed
from chipwise.core.errors import InputError
from chipwise.tasks.pictures import png_bytes

HEAD = '<ir_version: 8, opset_import: ["": 17]> g '
CONV = """(float[N, 1, 4, 4] x) => (float[N, 2, 4, 4] y) <float[2, 1, 1, 1] w = {1, -1}> { [stem] y = Conv(x, w) }"""
DETECTOR = """(float[1,3,32,32] x) => (float[1,2,4] boxes, float[1,2,2] scores)
{ m = ReduceMin <keepdims=0> (x)
  boxes = Constant <value = float[1,2,4] {0.0,0.0,0.5,1.0, 0.5,0.0,1.0,0.5}> ()
  s = Constant <value = float[1,2,2] {0.1,0.9, 0.8,0.2}> ()
  scores = Add(s, m) }"""


class Notes:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def update(self, stage: str, fraction: float, message: str = "") -> None:
        pass

    def note(self, message: str) -> None:
        self.notes.append(message)


def saved(folder: Path, text: str) -> Path:
    onnx.save(onnx.parser.parse_model(HEAD + text), folder / "small.onnx")
    return folder / "small.onnx"


def test_a_signed_picture_is_the_same_picture(tmp_path: Path) -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    (tmp_path / "a.png").write_bytes(signed(png_bytes(pixels)))
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.info["Software"] == "chipwise"
        assert (np.asarray(picture) == pixels).all()
    with Image.open(tmp_path / "a.png") as picture:
        picture.verify()  # checksums


def test_pictures_of_others_are_never_drawn_over(tmp_path: Path) -> None:
    network, folder = saved(tmp_path, DETECTOR), tmp_path / "out"
    folder.mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "dog.bmp")
    Image.new("RGB", (5, 5)).save(folder / "dog.png")
    before = (folder / "dog.png").read_bytes()
    for _ in range(2):
        (said,) = api.run(network, tmp_path / "dog.bmp", output=folder).predictions
        assert Path(said.drawn).name == "dog-2.png"
    assert (folder / "dog.png").read_bytes() == before
    assert len(list(folder.iterdir())) == 2


def test_features_leave_their_input_as_it_was(tmp_path: Path) -> None:
    network, picture = saved(tmp_path, CONV), tmp_path / "stem.maps.png"
    Image.new("L", (4, 4), 7).save(picture)
    before = picture.read_bytes()
    (sheet,) = api.features(network, picture, "stem", output=tmp_path).sheets
    assert picture.read_bytes() == before
    assert Path(sheet.maps).name == "stem.maps-2.png"
    api.features(network, picture, "stem", output=tmp_path)
    assert len(list(tmp_path.glob("*.png"))) == 3, "its own drawings of before are renewed"


def test_features_read_a_plan_and_what_is_told_of_it(tmp_path: Path) -> None:
    plan = api.compile(saved(tmp_path, CONV), budget_s=1, runtimes=("onnxruntime",), output=tmp_path / "conv.plan")
    renamed = (tmp_path / "conv.plan").rename(tmp_path / "conv.model")
    ones, seen = np.full((4, 4), 255, np.uint8), []
    for given in (plan, renamed):
        layer = api.features(given).sheets[0].layer
        for options in ({}, {"preprocess": "scale=2"}):
            made = api.features(given, ones, layer, output=tmp_path / "out", **options)
            seen.append(made.sheets[0].shape)
    assert seen == [(2, 4, 4)] * 4
    for wrong, says in (({"weights": "w.pth"}, "holds its weights"), ({"task": "nosuch"}, "unknown task")):
        with pytest.raises(InputError, match=says):
            api.features(plan, **wrong)


def test_what_has_no_picture_is_counted(tmp_path: Path) -> None:
    network, watched = saved(tmp_path, "(float[N,3] x) => (float[N,3] y) { y = Neg(x) }"), Notes()
    api.run(network, [np.zeros(3, np.float32)] * 2, output=tmp_path / "out", progress=watched)
    assert watched.notes == ["note: 2 of 2 answers have nothing to draw"]


def test_boxes_of_arrays_are_drawn_on_a_blank_page(tmp_path: Path) -> None:
    array: Any = np.zeros((1, 3, 32, 32), np.float32)
    (said,) = api.run(saved(tmp_path, DETECTOR), array, output=tmp_path / "out").predictions
    with Image.open(said.drawn) as drawn:
        assert drawn.size == (320, 320)
        assert len(drawn.getcolors(1000) or ()) > 2, "the boxes are there"


@pytest.mark.parametrize("top", [0, -1])
def test_at_least_one_class_is_named(tmp_path: Path, top: int) -> None:
    with pytest.raises(InputError, match=f"top is {top}"):
        api.run(saved(tmp_path, DETECTOR), "dog.png", top=top)
