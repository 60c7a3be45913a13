"""Networks that others trained, on real pictures and sounds, through the functions that `chipwise run` calls."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import chipwise
from chipwise.core.report import Box, Prediction
from chipwise.core.task import Detection, Head, Preprocess, Task
from chipwise.networks.onnx_file import load as load_onnx
from chipwise.tasks.class_names import COCO_80
from chipwise.tasks.pictures import open_picture

pytestmark = pytest.mark.shared

# What has to be said of each classifier, and nothing else.
CORAL = "imagenet/coral_imagenet_labels_1001.txt"  # the background is the first
CLASSIFIERS = {
    "squeezenet_fp16": ("order=BGR,scale=1,mean=104/117/123,fit=crop,resize=256", "imagenet/labels.csv"),
    "derived_squeezenet_v1.0_deepcompressed_fp32": (
        "order=BGR,scale=1,mean=104/117/123,fit=crop,resize=256",
        "imagenet/labels.csv",
    ),
    "derived_mobilenet_v2_1.0_224_quant": ("fit=crop,resize=256,crop=224", CORAL),
    "derived_mobilenet_v1_0.25_128_quant": ("fit=crop,resize=256,crop=224", CORAL),
    "derived_mobilenet_v1_0.5_160_quant": ("fit=crop,resize=256,crop=224", CORAL),
}

WORDS = ("Down", "Go", "Left", "No", "Off", "On", "Right", "Stop", "Up", "Yes", "Silence", "Unknown")
SLOW = ("derived_squeezenet_v1.0_deepcompressed_fp32", "derived_mobilenet_v2_1.0_224_quant")


def stated(shared_data: Path, model: str, data: str) -> dict[str, float]:
    """What another runtime measured."""
    rows = json.loads((shared_data / "expected_metrics.json").read_text())["results"]
    return next(row for row in rows if model in row["model"] and data in row["data"])


def one(network: object, given: object, **options: object) -> Prediction:
    (prediction,) = chipwise.run(network, [given], **options).predictions
    return prediction


def of(boxes: tuple[Box, ...], label: str) -> Box:
    return next(box for box in boxes if box.label == label)


def overlap(box: Box, left: float, top: float, right: float, bottom: float) -> float:
    wide = max(min(box.right, right) - max(box.left, left), 0)
    high = max(min(box.bottom, bottom) - max(box.top, top), 0)
    whole = (box.right - box.left) * (box.bottom - box.top) + (right - left) * (bottom - top)
    return wide * high / (whole - wide * high)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in CLASSIFIERS]
)
def test_classifiers_reach_the_stated_accuracy(shared_data: Path, name: str) -> None:
    preprocess, labels = CLASSIFIERS[name]
    with (shared_data / "imagenet" / "labels.csv").open(newline="") as file:
        truth = {row["file"]: row["name"] for row in csv.DictReader(file)}
    photos = [shared_data / "imagenet" / photo for photo in truth]
    network = shared_data / "imagenet" / "models" / f"{name}.onnx"
    result = chipwise.run(network, photos, preprocess=preprocess, labels=shared_data / labels)
    named = [[label for label, _ in each.top] for each in result.predictions]
    want = stated(shared_data, name.removeprefix("derived_"), "shared/imagenet")
    assert len(named) == want["n"] == 125
    for count, key in ((1, "top1"), (5, "top5")):
        right = sum(names in top[:count] for names, top in zip(truth.values(), named, strict=True))
        assert abs(right - want[key] * 125) <= 1, f"{key}: {right} of 125"


@pytest.mark.parametrize(
    ("picture", "label"),
    [("cat.bmp", "Egyptian cat"), ("bird.bmp", "chickadee"), ("hot_dog.jpg", "hotdog, hot dog, red hot")],
)
def test_the_whole_picture_squashed(shared_data: Path, picture: str, label: str) -> None:
    network = shared_data / "imagenet" / "models" / "derived_mobilenet_v2_1.0_224_quant.onnx"
    said = one(
        network, shared_data / "images" / "coral" / picture, preprocess="fit=stretch", labels=shared_data / CORAL
    )
    assert said.top[0][0] == label


def test_yolox_finds_dog_car_and_bicycle_by_itself(shared_data: Path) -> None:
    dog = shared_data / "images" / "darknet" / "dog.jpg"
    boxes = one(shared_data / "onnx" / "yolox_nano.onnx", dog).boxes
    assert overlap(of(boxes, "dog"), 131, 220, 310, 540) > 0.8
    assert overlap(of(boxes, "bicycle"), 120, 125, 568, 425) > 0.7
    assert overlap(of(boxes, "car"), 465, 75, 690, 172) > 0.8


def test_yolox_outputs_equal_the_golden(shared_data: Path) -> None:
    golden = np.load(shared_data / "golden" / "yolox_nano.npz")
    runner = chipwise.load(shared_data / "onnx" / "yolox_nano.onnx")
    feed = runner.read(shared_data / "images" / "darknet" / "dog.jpg")
    wanted = golden["letterboxed_rgb_uint8"][0, :, :, ::-1].transpose(2, 0, 1)
    assert np.array_equal(feed.arrays[0][0], wanted), "the letterbox is the one that the golden was made with"
    got = runner.run(*feed.arrays)["output"]
    np.testing.assert_allclose(got, golden["output"][:1], atol=1e-3)


def test_yolo_fastest_from_onnx_finds_dog_bicycle_and_car(shared_data: Path) -> None:
    anchors = ((12.0, 18.0), (37.0, 49.0), (52.0, 132.0), (115.0, 73.0), (119.0, 199.0), (242.0, 238.0))
    heads = (Head(10, 10, anchors[3:]), Head(20, 20, anchors[:3]))
    task = Task(
        "detection", COCO_80, Preprocess(320, 320, 3, "RGB", fit="stretch"), Detection("yolo", heads, threshold=0.2)
    )
    network = load_onnx(shared_data / "darknet" / "derived_yolo-fastest-1.1.onnx")
    boxes = one(replace(network, task=task), shared_data / "images" / "darknet" / "dog.jpg").boxes
    assert overlap(of(boxes, "dog"), 131, 220, 310, 540) > 0.6
    assert overlap(of(boxes, "bicycle"), 120, 125, 568, 425) > 0.5
    assert {"car", "truck"} & {box.label for box in boxes}


def test_yolo_fastest_from_darknets_own_files(shared_data: Path) -> None:
    boxes = one(
        shared_data / "darknet" / "yolo-fastest-1.1.cfg",
        shared_data / "images" / "darknet" / "dog.jpg",
        labels=shared_data / "darknet" / "coco.names",
        threshold=0.2,
    ).boxes
    assert overlap(of(boxes, "dog"), 131, 220, 310, 540) > 0.6
    assert overlap(of(boxes, "bicycle"), 120, 125, 568, 425) > 0.5
    assert {"car", "truck"} & {box.label for box in boxes}


def test_ultraface_finds_the_face_by_itself(shared_data: Path) -> None:
    picture = shared_data / "images" / "coral" / "grace_hopper.bmp"
    (face,) = one(shared_data / "onnx" / "ultraface_version-RFB-320.onnx", picture).boxes
    assert face.label == "face"
    assert face.score > 0.99
    assert overlap(face, 170, 110, 360, 335) > 0.8


def test_deeplab_finds_the_bird(shared_data: Path) -> None:
    coral = shared_data / "images" / "coral"
    network = shared_data / "tflite" / "derived_deeplabv3_mnv2_dm05_pascal_quant.onnx"
    runner = chipwise.load(network, labels="voc-21")
    (answer,) = runner.answer(runner.read(coral / "bird_segmentation.bmp"))
    assert answer.classes is not None
    truth, found = open_picture(coral / "bird_segmentation_mask.bmp")[..., 0] == 3, answer.classes == 3
    assert (truth & found).sum() / (truth | found).sum() >= 0.8
    golden = np.load(shared_data / "golden" / "deeplabv3_mnv2_dm05_pascal_quant.npz")["class_map"]
    assert (answer.classes == golden).mean() > 0.99
    assert [label for label, _ in answer.prediction.areas[:2]] == ["background", "bird"]


@pytest.mark.parametrize("form", ["int8", "float"])
def test_keyword_spotting(shared_data: Path, tmp_path: Path, form: str) -> None:
    samples = np.load(shared_data / "mlperf_tiny" / "kws01_750.npz")
    inputs = samples["x"].reshape(-1, 49, 10, 1)
    if form == "float":
        inputs = ((inputs.astype(np.float32) - 83) * np.float32(0.5847029)).astype(np.float32)
    (tmp_path / "words.txt").write_text("\n".join(WORDS))
    network = shared_data / "mlperf_tiny" / f"derived_kws_dscnn_{form}.onnx"
    said = chipwise.run(network, inputs, labels=tmp_path / "words.txt").predictions
    right = sum(each.top[0][0] == WORDS[truth] for each, truth in zip(said, samples["y"], strict=True))
    assert abs(right / len(said) - stated(shared_data, f"kws_dscnn_{form}", "kws01")["top1"]) <= 2 / 750


def test_silero_hears_speech_by_itself(shared_data: Path) -> None:
    said = one(shared_data / "onnx" / "silero_vad_16k_op15.onnx", shared_data / "audio" / "silero_test_16k.wav")
    want = stated(shared_data, "silero_vad", "silero_test")
    assert len(said.values) == want["frames"] == 1875
    assert sum(said.values) == pytest.approx(want["sum_of_probs"], abs=0.01)
    assert sum(value > 0.5 for value in said.values) / 1875 == pytest.approx(want["fraction_over_half"], abs=1e-4)
    golden = np.load(shared_data / "golden" / "silero_vad_16k_op15.npz")
    np.testing.assert_allclose(said.values, golden["prob"], atol=1e-4)


def test_dtln_carries_its_state(shared_data: Path) -> None:
    golden = np.load(shared_data / "golden" / "dtln_model_1.npz")
    task = "sequence:step=1,input_3=tf_op_layer_stack_2"
    runner = chipwise.load(shared_data / "onnx" / "dtln_model_1.onnx", task=task)
    (answer,) = runner.answer(runner.read(golden["input"]))
    assert answer.array is not None
    np.testing.assert_allclose(answer.array.reshape(200, 257), golden["output"].reshape(200, 257), atol=1e-4)


@pytest.mark.parametrize("name", ["derived_super_resolution_op13", "super_resolution"])
def test_super_resolution_keeps_colours(shared_data: Path, tmp_path: Path, name: str) -> None:
    source = shared_data / "images" / "misc" / "super-res-input.jpg"
    said = one(shared_data / "onnx" / f"{name}.onnx", source, output=tmp_path)
    drawn, given = open_picture(said.drawn), open_picture(source)
    assert drawn.shape == (672, 672, 3)
    np.testing.assert_allclose(drawn.mean(axis=(0, 1)), given.mean(axis=(0, 1)), atol=3)


def test_super_resolution_outputs_equal_the_golden(shared_data: Path) -> None:
    golden = np.load(shared_data / "golden" / "derived_super_resolution_op13.npz")
    runner = chipwise.load(shared_data / "onnx" / "derived_super_resolution_op13.onnx")
    feed = runner.read(golden["y_uint8_224"])
    np.testing.assert_allclose(runner.run(*feed.arrays)["output"], golden["output"], atol=1e-4)


def test_style_is_drawn(shared_data: Path, tmp_path: Path) -> None:
    said = one(
        shared_data / "onnx" / "style_candy.onnx",
        shared_data / "images" / "style_input.jpg",
        preprocess="scale=1,order=BGR,fit=crop,resize=720",
        output=tmp_path,
    )
    golden = np.load(shared_data / "golden" / "style_candy.npz")["output_bgr_center_256"][0].clip(0, 255)
    drawn = open_picture(said.drawn)[232:488, 232:488, ::-1].transpose(2, 0, 1)
    assert np.abs(drawn - golden).mean() < 3, "JPEG decoders differ a little"


def test_a_plan_of_a_detector_finds_the_same(shared_data: Path, tmp_path: Path) -> None:
    network = shared_data / "onnx" / "ultraface_version-RFB-320.onnx"
    plan = chipwise.compile(network, output=tmp_path / "x.plan", budget_s=1, runtimes=("onnxruntime",))
    picture = shared_data / "images" / "coral" / "grace_hopper.bmp"
    before, after = one(network, picture).boxes, one(plan, picture).boxes
    assert [box.label for box in after] == [box.label for box in before] == ["face"]
    assert overlap(before[0], after[0].left, after[0].top, after[0].right, after[0].bottom) > 0.99
