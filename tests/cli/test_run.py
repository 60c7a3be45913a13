"""`chipwise run`: drawings, frames, hints, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

import chipwise
from chipwise.api.given import assumed_pixels, network_from
from chipwise.core.task import Preprocess, Task

DETECTOR = """<ir_version: 8, opset_import: ["": 17]> g
(float[1,3,32,32] x) => (float[1,2,4] boxes, float[1,2,2] scores)
{ m = ReduceMin <keepdims=0> (x)
  boxes = Constant <value = float[1,2,4] {0.0,0.0,0.5,1.0, 0.5,0.0,1.0,0.5}> ()
  s = Constant <value = float[1,2,2] {0.1,0.9, 0.8,0.2}> ()
  scores = Add(s, m) }"""

ASSUMED = "note: pixels are assumed to be scaled to 0..1 (nothing in {} says so); say otherwise with --preprocess"


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    onnx.save(onnx.parser.parse_model(DETECTOR), tmp_path / "detector.onnx")
    return tmp_path / "detector.onnx"


@pytest.fixture
def dog(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    Image.new("RGB", (64, 48)).save(tmp_path / "in" / "dog.png")
    return tmp_path / "in" / "dog.png"


def test_boxes_are_printed_and_drawn(cli, detector: Path, dog: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("nothing\ndog\n")
    done = cli("run", detector, dog, "--labels", tmp_path / "labels.txt", "-o", tmp_path / "out", "--threshold", 0.5)
    assert (done.code, done.err.splitlines()) == (0, [ASSUMED.format(detector)])
    assert "dog 90% at 0,0-32,48" in done.out
    assert Image.open(tmp_path / "out" / "dog.png").size == (320, 240)


def test_without_a_folder_a_hint_says_how_to_draw(cli, detector: Path, dog: Path) -> None:
    done = cli("run", detector, dog)
    assert done.err.splitlines() == [ASSUMED.format(detector), "hint: -o DIR draws the boxes"]
    assert "-o DIR" not in cli("run", detector, dog.with_name("absent.png")).err


def test_json_says_everything(cli, detector: Path, dog: Path) -> None:
    document = json.loads(cli("run", detector, dog, "--json", "--threshold", 0.5).out)
    assert document["schema"] == "chipwise.run/1"
    (box,) = document["predictions"][0]["boxes"]
    assert box == {"label": "class 1", "score": pytest.approx(0.9), "left": 0, "top": 0, "right": 32, "bottom": 48}
    assert document["choice"]["source"] is True


def test_inputs_and_what_is_no_png_are_never_overwritten(cli, detector: Path, dog: Path) -> None:
    folder = dog.parent
    (folder / "cat.png").write_bytes(b"precious")
    before = dog.read_bytes()
    Image.new("RGB", (9, 9)).save(folder / "cat.bmp")
    assert cli("run", detector, dog, folder / "cat.bmp", "-o", folder).code == 0
    assert dog.read_bytes() == before
    assert (folder / "cat.png").read_bytes() == b"precious"
    assert {path.name for path in folder.iterdir()} == {"dog.png", "dog-2.png", "cat.png", "cat-2.png", "cat.bmp"}
    cli("run", detector, dog, "-o", folder)
    assert not (folder / "dog-3.png").exists(), "its own drawing of before is renewed"


def test_two_inputs_of_one_name_get_two_drawings(cli, detector: Path, dog: Path, tmp_path: Path) -> None:
    done = cli("run", detector, dog, dog, "-o", tmp_path / "out")
    assert done.out.count("drawn:") == 2
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"dog.png", "dog-2.png"}


def test_frames_of_a_folder(cli, detector: Path, dog: Path, tmp_path: Path) -> None:
    Image.new("RGB", (64, 48)).save(dog.with_name("a.png"))
    done = cli("run", detector, "--frames", dog.parent, "-o", tmp_path / "out")
    assert "2 frames at" in done.out
    assert done.out.index("a.png") < done.out.index("dog.png")
    assert "frames done in" in done.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"frame-00001.png", "frame-00002.png"}


def test_frames_are_never_drawn_over(cli, detector: Path, dog: Path) -> None:
    frame = dog.rename(dog.with_name("frame-00001.png"))
    before = frame.read_bytes()
    assert cli("run", detector, "--frames", frame.parent, "-o", frame.parent).code == 0
    assert frame.read_bytes() == before
    assert frame.with_name("frame-00001-2.png").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "no input was given"),
        (("dog.png", "--frames", "."), "one of them is run"),
        (("--frames", "absent"), "no such folder or film"),
        (("absent.png",), "no such file: absent.png"),
        (("x.npy",), "absent"),
        (("dog.png", "--threshold", "2"), "between 0 and 1"),
        (("dog.png", "--task", "classification"), "classification needs scores"),
        (("dog.png", "--task", "tensor", "--overlap", "0.5"), "overlap is for detectors"),
        (("dog.png", "--task", "detection:rcnn"), "unknown detector 'rcnn'"),
        (("dog.png", "--preprocess", "fit=zoom"), "fit='zoom'"),
        (("dog.png", "--labels", "absent.txt"), "cannot read labels"),
        (("dog.png", "--labels", "coco80"), "unknown list of labels 'coco80'"),
        (("dog.png", "--weights", "w.pth"), "holds its weights itself"),
    ],
)
def test_what_is_refused(
    cli, detector: Path, dog: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], says: str
) -> None:
    monkeypatch.chdir(dog.parent)
    done = cli("run", detector, *(word.replace("x.npy", "absent.npy") for word in words))
    assert (done.code, done.out) == (2, "")
    error = next(line for line in done.err.splitlines() if line.startswith("error:"))
    assert says in error


def test_a_folder_that_cannot_be_written_is_found_out_first(cli, detector: Path, dog: Path) -> None:
    done = cli("run", detector, dog, "-o", dog)
    assert (done.code, done.out) == (2, "")
    assert "it is a file" in done.err
    assert "it lies in a file" in cli("run", detector, dog, "-o", dog / "out").err
    looked = cli("run", detector, dog, "--features", "m", "-o", dog)
    assert looked.code == 2
    assert "is a file" in looked.err


def test_arrays_are_drawn_as_heat_maps_where_they_have_rows(cli, tmp_path: Path) -> None:
    text = '<ir_version: 8, opset_import: ["": 17]> g (float[N,6,7] x) => (float[N,6,7] y) { y = Neg(x) }'
    onnx.save(onnx.parser.parse_model(text), tmp_path / "neg.onnx")
    np.save(tmp_path / "x.npy", np.arange(42, dtype=np.float32).reshape(6, 7))
    done = cli("run", tmp_path / "neg.onnx", tmp_path / "x.npy", "-o", tmp_path / "out")
    assert (done.code, done.err) == (0, "")
    assert "y: float32 (1, 6, 7)" in done.out
    assert (tmp_path / "out" / "x.png").read_bytes().startswith(b"\x89PNG")


def test_pixels_that_nothing_describes_are_told_of(cli, detector: Path, dog: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1, 3, 32, 32), np.float32))
    np.save(tmp_path / "bytes.npy", np.zeros((3, 4, 3), np.uint8))
    assert ASSUMED.format(detector) in cli("run", detector, tmp_path / "bytes.npy").err
    assert ASSUMED.format(detector) in cli("run", detector, "--frames", dog.parent).err
    assert "assumed" not in cli("run", detector, tmp_path / "x.npy").err, "no pixels, nothing assumed"
    assert "assumed" not in cli("run", detector, dog, "--preprocess", "scale=1/255").err
    said = onnx.load(detector)
    said.metadata_props.add(key="Image.NominalPixelRange", value="Normalized_0_1")
    onnx.save(said, detector)
    assert "assumed" not in cli("run", detector, dog).err


def test_a_folder_is_pointed_to_frames(cli, detector: Path, dog: Path) -> None:
    assert cli("run", detector, dog.parent).err.splitlines() == [
        f"error: {dog.parent} is a folder",
        f"hint: name the pictures in it, or run them all: --frames {dog.parent}",
    ]


def test_inputs_are_counted_before_anything_is_exported(cli, dog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chipwise.api.running.load", lambda *_, **__: pytest.fail("opened"))
    done = cli("run", "bert-base", dog)
    assert done.code == 2
    assert "takes 3 inputs" in done.err
    assert "hint: give one .npy file or array for each, in this order: input_ids int64 [" in done.err


@pytest.mark.runtime
def test_python_hears_of_random_weights_as_a_warning(cli, dog: Path, recwarn: pytest.WarningsRecorder) -> None:
    chipwise.load("mlp-4096")
    chipwise.run("lenet5", np.zeros((1, 1, 32, 32), np.float32))
    heard = [each for each in recwarn if "no weights were given" in str(each.message)]
    assert [(each.category, Path(each.filename)) for each in heard] == [(UserWarning, Path(__file__))] * 2
    recwarn.clear()
    assert cli("run", "lenet5", dog).err.count("no weights were given") == 1
    assert not [each for each in recwarn if "no weights" in str(each.message)]
    chipwise.features("lenet5")
    assert not [each for each in recwarn if "no weights" in str(each.message)]


@pytest.mark.runtime
def test_a_network_without_weights_is_run_with_a_warning(cli, dog: Path) -> None:
    done = cli("run", "lenet5", dog, "--top", 1)
    assert done.code == 0
    assert done.err.startswith("warning: no weights")


def test_caffe_files_are_assumed_to_be_trained_on_imagenets_means(detector: Path) -> None:
    loaded = network_from(detector)
    seen = Preprocess(32, 32, 3, "BGR", scale=1.0, mean=(104, 117, 123))
    caffe = replace(loaded, origin="a.prototxt", task=Task(preprocess=seen))
    assert "BGR from 0 to 255, less 104/117/123 (nothing in a.prototxt" in assumed_pixels(caffe)
    assert not assumed_pixels(replace(caffe, origin="a.onnx")), "that was somebody's word"
    assert not assumed_pixels(replace(loaded, origin="a.cfg"))
