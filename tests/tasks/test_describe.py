"""What a network is for: guessed from shapes, said in one line, named by files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from chipwise.core.errors import DataError, InputError
from chipwise.core.network import TensorSpec
from chipwise.core.task import Detection, Preprocess, Rendering, Stream, Task
from chipwise.tasks.class_names import COCO_80, VOC_20, VOC_21
from chipwise.tasks.describe import read_labels, told
from chipwise.tasks.guess import as_declared, guess_task

PHOTO = (TensorSpec("x", (1, 3, 416, 416)),)
SILERO_IN = (TensorSpec("input", ("b", "s")), TensorSpec("state", (2, "b", 128)), TensorSpec("sr", (), "int64"))
SILERO_OUT = (TensorSpec("output", ("b", 1)), TensorSpec("stateN", ("a", "b", "c")))


def spec(*shape: int | str, dtype: str = "float32", name: str = "y") -> TensorSpec:
    return TensorSpec(name, shape, dtype)


@pytest.mark.parametrize(
    ("inputs", "outputs", "kind"),
    [
        (PHOTO, (spec(1, 1000),), "classification"),
        (PHOTO, (spec(1, 1000, 1, 1),), "classification"),
        (PHOTO, (spec(1, 1),), "tensor"),
        (PHOTO, (spec(1, 1000, 2, 2),), "tensor"),
        (PHOTO, (spec(1, 3549, 85),), "detection"),
        (PHOTO, (spec(1, 3550, 85),), "tensor"),
        (PHOTO, (spec(1, 99, 4), spec(1, 99, 21)), "detection"),
        (PHOTO, (spec(1, 99, 4), spec(1, 98, 21)), "tensor"),
        (PHOTO, (spec(1, 99, 4), spec(1, 99, 4)), "tensor"),
        (PHOTO, (spec(1, 21, 416, 416),), "segmentation"),
        (PHOTO, (spec(1, 416, 416, dtype="int64"),), "segmentation"),
        (PHOTO, (spec(1, 1, 416, 416, dtype="int64"),), "segmentation"),
        (PHOTO, (spec(1, 3, 416, 416),), "image"),
        (PHOTO, (spec(1, 1, 416, 416),), "image"),
        (PHOTO, (spec(1, 3, 832, 832),), "image"),
        ((spec(1, 64, 48, 3, dtype="uint8"),), (spec(1, 64, 48, 5),), "segmentation"),
        ((spec("n", 640),), (spec("n", 640),), "tensor"),
        ((spec(1, 4), spec(1, 4)), (spec(1, 4),), "classification"),
        (SILERO_IN, SILERO_OUT, "sequence"),
    ],
)
def test_kinds_by_shape(inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], kind: str) -> None:
    assert guess_task(inputs, outputs).kind == kind


def test_yolox_is_known_with_all_it_wants() -> None:
    task = guess_task(PHOTO, (spec(1, 3549, 85),))
    assert task.labels == COCO_80
    assert task.preprocess == Preprocess(416, 416, 3, "BGR", "NCHW", "letterbox", scale=1.0, fill=114, corner=True)
    assert task.detection is not None
    assert [head.rows for head in task.detection.heads] == [52, 26, 13]


def test_ultraface_is_known_by_its_size() -> None:
    task = guess_task((spec(1, 3, 240, 320),), (spec(1, 4420, 2), spec(1, 4420, 4)))
    assert task.labels == ("background", "face")
    assert task.preprocess is not None
    assert (task.preprocess.scale, task.preprocess.mean, task.preprocess.std) == (1.0, (127.0,), (128.0,))


def test_labels_where_the_number_of_classes_says_which() -> None:
    assert guess_task(PHOTO, (spec(1, 3549, 25),)).labels == VOC_20
    assert guess_task(PHOTO, (spec(1, 21, 416, 416),)).labels == VOC_21
    assert guess_task(PHOTO, (spec(1, 20, 416, 416),)).labels == ()
    assert guess_task(PHOTO, (spec(1, 10),)).labels == ()


def test_pictures_that_come_out_have_the_range_of_those_that_go_in() -> None:
    grey = (spec(1, 1, 224, 224),)
    out = (spec(1, 1, 672, 672),)
    task = guess_task(grey, out)
    assert task.rendering == Rendering(255.0, 0.0, "L")
    said = told(task, grey, out, preprocess="scale=1")
    assert said.rendering == Rendering(1.0, 0.0, "L")
    said = told(task, grey, out, preprocess="scale=1", task="image:scale=3,offset=-1,order=L")
    assert said.rendering == Rendering(3.0, -1.0, "L")


def test_what_is_said_of_a_stream() -> None:
    inputs = (spec(1, 1, 257, name="input_2"), spec(1, 2, 128, 2, name="input_3"), spec(name="sr", dtype="int64"))
    outputs = (spec(1, 1, 257, name="mask"), spec(1, 2, 128, 2, name="kept"))
    text = "sequence:step=512,context=64,rate=16000,input_3=kept,sr=16000"
    said = told(Task("tensor"), inputs, outputs, task=text)
    assert (said.kind, said.stream) == ("sequence", Stream(512, 64, (("input_3", "kept"),), {"sr": 16000.0}, 16000))
    assert told(Task(), inputs, outputs, task="sequence").stream is None


def test_a_detector_keeps_what_is_not_said() -> None:
    stored = Task("detection", detection=Detection("yolo", (), 0.2, 0.6))
    said = told(stored, PHOTO, (), task="detection:threshold=0.5")
    assert said.detection == Detection("yolo", (), 0.5, 0.6)
    assert told(said, PHOTO, (), threshold=0.1, overlap=0.2).detection == Detection("yolo", (), 0.1, 0.2)
    assert told(stored, PHOTO, (), task="classification").kind == "classification"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("clasification", "unknown task"),
        ("", "unknown task"),
        ("classification:top", "has no variants"),
        ("classification:top=5", "has no options; received 'top'"),
        ("detection", "may mean many things"),
        ("detection:yolov9", "unknown detector"),
        ("detection:ssd", "needs its anchors"),
        ("detection:yolox,threshold=2", "between 0 and 1"),
        ("detection:yolox,threshold=x", "as a number"),
        ("detection:yolox,iou=1", "unknown option of a detector"),
        ("detection:yolox,threshold", "cannot read 'threshold'"),
        ("detection:yolox,threshold=1,threshold=0", "twice"),
        ("image:order=CMYK", "order='CMYK'"),
        ("image:gamma=2", "unknown option of an image"),
        ("image:scale=nan", "as a number"),
        ("sequence:step=0", "cannot read '0' in step"),
        ("sequence:step=99999999999", "in step"),
        ("sequence:hop=2", "unknown option of a sequence"),
        ("sequence:x=unknown", "as a number"),
    ],
)
def test_what_cannot_be_read_is_refused(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        told(Task(preprocess=Preprocess(416, 416, 3, "RGB")), PHOTO, (spec(1, 9),), task=text)


def test_limits_are_for_detectors() -> None:
    with pytest.raises(InputError, match=r"^threshold is for detectors"):
        told(Task(), PHOTO, (), threshold=0.5)
    with pytest.raises(InputError, match="between 0 and 1"):
        told(Task("detection", detection=Detection("corners")), PHOTO, (), overlap=-1.0)


def test_size_is_for_networks_that_take_any() -> None:
    free = (spec("n", 3, "h", "w"),)
    said = told(Task(), free, (), preprocess="size=48x64,scale=1")
    assert said.preprocess == Preprocess(48, 64, 3, "RGB", scale=1.0)
    with pytest.raises(InputError, match="pictures of any size"):
        told(Task(), free, (), preprocess="scale=1")
    fixed = Task(preprocess=Preprocess(416, 416, 3, "RGB"))
    assert told(fixed, PHOTO, (), preprocess="size=416x416") == fixed
    with pytest.raises(InputError, match="takes 416x416 only"):
        told(fixed, PHOTO, (), preprocess="size=32x32")
    with pytest.raises(InputError, match="takes one picture"):
        told(Task(), SILERO_IN, (), preprocess="scale=1")


def test_labels_from_a_table(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text('file,class_index,wnid,name\na.jpg,0,n01,"tench, Tinca tinca"\nb.jpg,2,n02,hen\n')
    assert read_labels(path) == ("tench, Tinca tinca", "", "hen")
    path.write_text("name\ncat\n\ndog\n")
    assert read_labels(path) == ("cat", "dog")


def test_labels_by_name_or_line_by_line(tmp_path: Path) -> None:
    assert read_labels(Path("voc-21")) == VOC_21
    path = tmp_path / "coco.names"
    path.write_text("person\r\nbicycle\r\n\r\n")
    assert read_labels(path) == ("person", "bicycle")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no column of names; its heading is empty"),
        (b"index,wnid\n0,n01\n", "no column of names"),
        (b"class_index,name\n0\n", "row 2 has 1 cells"),
        (b"class_index,name\n-1,a\n", "no number of a class"),
        (b"class_index,name\n9999999,a\n", "no number of a class"),
        (b'name\n"open\n', "no table"),
        (b"name\n", "no class names"),
        (b"\xff\xfe", "no text"),
    ],
)
def test_tables_that_cannot_be_read_are_refused(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_labels(path)


def test_labels_of_a_device_are_refused_unread() -> None:
    with pytest.raises(DataError, match="cannot read labels /dev/zero: it is a device"):
        read_labels(Path("/dev/zero"))


def test_an_autoencoder_of_pictures_is_an_image_task() -> None:
    task = guess_task((spec(1, 32, 32, 3),), (spec(1, 32, 32, 3),))
    assert task.preprocess is not None
    assert (task.kind, task.preprocess.layout) == ("image", "NHWC")
    assert replace(task.rendering, order="RGB") == Rendering(255.0) if task.rendering else False
    assert np.isclose(task.preprocess.scale, 1 / 255)


def test_metadata_of_a_file_says_range_and_order() -> None:
    task = guess_task(PHOTO, (spec(1, 1000),))
    said = as_declared(task, {"Image.NominalPixelRange": "NominalRange_0_255", "Image.BitmapPixelFormat": "Bgr8"})
    assert said.preprocess is not None
    assert (said.preprocess.scale, said.preprocess.order) == (1.0, "BGR")
    assert as_declared(task, {}) == task
