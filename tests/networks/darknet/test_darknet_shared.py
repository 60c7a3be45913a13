"""Darknet's own cfg files, and Yolo-Fastest with its weights."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from files import run
from literal import shapes
from PIL import Image

from chipwise.core.layer import Layer
from chipwise.core.network import Network
from chipwise.networks.darknet.build import build
from chipwise.networks.darknet.cfg import parse
from chipwise.networks.darknet_file import load
from chipwise.networks.layers import layer_rows
from chipwise.networks.onnx_file import serialize
from chipwise.tasks.detect import detected
from chipwise.tasks.placement import place

pytestmark = pytest.mark.shared

# Rows that Darknet and the papers print, in BFLOPs (1 multiply-add = 2): pjreddie.com/darknet/yolo ("62.94 Bn",
# "140.69 Bn", "5.56 Bn", "141.45 Bn"), /darknet/imagenet (Darknet-19 7.29, Darknet-53 18.57, Bn Ops), AlexeyAB's
# README (yolov4-tiny 6.9, yolov4-csp at 512 77) and the log beside Yolo-Fastest (0.252, which counts shortcuts too).
BFLOPS = {
    "darknet19": 7.29,
    "darknet53": 18.57,
    "yolov2": 62.94,
    "yolov3": 140.69,
    "yolov3-spp": 141.45,
    "yolov3-tiny": 5.56,
    "yolov4-tiny": 6.91,
    "yolo-fastest-1.1": 0.251,
}
# Sizes of published weights files, bytes: AlexeyAB/darknet issue 1910 for v2 (16 bytes of header) and v3 (20).
WEIGHTS = {"yolov2": 203_934_260 - 16, "yolov3": 248_007_048 - 20, "yolo-fastest-1.1": 1_384_268 - 20}
VGG_16 = 138_357_544  # Simonyan & Zisserman 2014
SMALL = ("cifar", "darknet", "rnn", "rnn.train", "tiny", "writing", "yolo-fastest-1.1", "yolov4-tiny")
REFUSED: dict[str, str] = {}  # all of them load


def cfgs(shared_data: Path) -> list[Path]:
    folder = shared_data / "darknet"
    return [*sorted((folder / "cfg").glob("*.cfg")), folder / "yolo-fastest-1.1.cfg"]


@pytest.fixture(scope="module")
def tables(shared_data: Path) -> dict[str, tuple[Network, tuple[Layer, ...]]]:
    """Every cfg, untrained, with its layer rows."""
    networks = {path.stem: load(path, None) for path in cfgs(shared_data)}
    return {name: (network, layer_rows(network)) for name, network in networks.items()}


def test_every_cfg_loads_or_is_refused_by_the_name_of_its_layer(
    shared_data: Path, tables: dict[str, tuple[Network, tuple[Layer, ...]]]
) -> None:
    paths = cfgs(shared_data)
    assert len(paths) == 32
    assert not REFUSED
    for path in paths:
        network, rows = tables[path.stem]  # ONNX's own inference made the rows: it agrees with what the graph declares
        text = path.read_text(errors="replace")
        assert [flow.shape for flow in build(parse(text)).flows] == shapes(text), path.stem
        assert network.graph is not None
        declared = {node.name: node.outputs[0].shape for node in network.graph.graph}
        for row in rows:
            shape = declared[row.name]
            assert shape is not None
            assert row.outputs[0][1:] == tuple(shape[1:]), (path.stem, row.name)
        assert all(row.known for row in rows), path.stem


def test_published_totals(shared_data: Path, tables: dict[str, tuple[Network, tuple[Layer, ...]]]) -> None:
    for path in cfgs(shared_data):
        _, rows = tables[path.stem]
        if path.stem in BFLOPS:
            work = sum(row.flops for row in rows if row.op == "Conv") / 1e9
            assert work == pytest.approx(BFLOPS[path.stem], abs=0.006), path.stem
        if path.stem in WEIGHTS:
            held = build(parse(path.read_text())).parameters
            assert 4 * sum(parameter.count for parameter in held) == WEIGHTS[path.stem]
        if path.stem == "vgg-16":
            assert sum(row.parameters for row in rows) == VGG_16


def test_shapes_equal_the_log_that_darknet_printed(shared_data: Path) -> None:
    """yolo-fastest-1.1_mAP_log.txt holds Darknet's own table of that cfg."""
    flows = build(parse((shared_data / "darknet" / "yolo-fastest-1.1.cfg").read_text())).flows
    seen = 0
    for line in (shared_data / "darknet" / "yolo-fastest-1.1_mAP_log.txt").read_text().splitlines():
        before, arrow, after = line.partition("->")
        index = before.split()[0] if before.split() else ""
        sizes = after.replace("x", " ").split()[:3]
        if arrow and index.isdigit() and len(sizes) == 3 and "dropout" not in before:
            columns, rows, channels = map(int, sizes)
            assert flows[int(index)].shape == (channels, rows, columns)
            seen += 1
    assert seen == 92  # of 131: dropouts and shortcuts have no arrow, one line is torn


@pytest.mark.parametrize("name", SMALL)
def test_small_ones_run(name: str, shared_data: Path) -> None:
    network = runs(next(path for path in cfgs(shared_data) if path.stem == name))
    onnx.checker.check_model(onnx.load_from_string(serialize(network)), full_check=True)


@pytest.mark.slow  # two minutes and 5 GB: YOLO's first version has 197 million weights
def test_large_ones_run(shared_data: Path) -> None:
    for path in cfgs(shared_data):
        if path.stem not in SMALL:
            runs(path)


def runs(path: Path) -> Network:
    """Run a network as it begins: its results have the shapes that it declares, and numbers in them."""
    network = load(path, None)
    results = run(network, *(np.full(spec.concrete(), 0.5) for spec in network.inputs))
    assert [result.shape for result in results] == [spec.concrete() for spec in network.outputs], path.stem
    assert all(np.isfinite(result).all() for result in results), path.stem
    return network


def test_yolo_fastest_equals_its_golden_outputs(shared_data: Path) -> None:
    folder = shared_data / "darknet"
    network = load(folder / "yolo-fastest-1.1.cfg", folder / "yolo-fastest-1.1.weights")
    golden = np.load(shared_data / "golden" / "yolo-fastest-1.1.npz")
    heads = run(network, golden["rgb_320_uint8"].transpose(2, 0, 1)[None] / 255)
    for index, head in enumerate(heads):
        np.testing.assert_allclose(head, golden[f"onnx_head{index}"], rtol=1e-4, atol=1e-4)


def test_heads_decode_to_what_opencv_gives(shared_data: Path) -> None:
    """yolo_121 and yolo_130: OpenCV's Darknet importer, shares of the picture, objectness, scores."""
    folder = shared_data / "darknet"
    network = load(folder / "yolo-fastest-1.1.cfg", folder / "yolo-fastest-1.1.weights")
    golden = np.load(shared_data / "golden" / "yolo-fastest-1.1.npz")
    outputs = run(network, golden["rgb_320_uint8"].transpose(2, 0, 1)[None] / 255)
    assert network.task.detection is not None
    for name, output, head in zip(("yolo_121", "yolo_130"), outputs, network.task.detection.heads, strict=True):
        wanted = golden[name].reshape(head.rows, head.columns, len(head.anchors), 85)
        raw = output[0].reshape(len(head.anchors), 85, head.rows, head.columns).transpose(2, 3, 0, 1)
        sigmoid = 1 / (1 + np.exp(-raw))
        cell = np.stack(np.meshgrid(np.arange(head.columns), np.arange(head.rows)), axis=-1)[:, :, None]
        centres = (sigmoid[..., :2] + cell) / (head.columns, head.rows)
        sizes = np.exp(raw[..., 2:4]) * np.array(head.anchors) / 320
        np.testing.assert_allclose(wanted[..., :2], centres, atol=1e-4)
        np.testing.assert_allclose(wanted[..., 2:4], sizes, atol=1e-4)
        np.testing.assert_allclose(wanted[..., 4], sigmoid[..., 4], atol=1e-4)
        assert math.prod(wanted.shape[:3]) == len(golden[name])


def test_yolo_fastest_finds_dog_bicycle_and_car(shared_data: Path) -> None:
    folder = shared_data / "darknet"
    network = load(folder / "yolo-fastest-1.1.cfg", folder / "yolo-fastest-1.1.weights")
    photo = Image.open(shared_data / "images" / "darknet" / "dog.jpg").convert("RGB")
    pixels = np.asarray(photo.resize((320, 320), Image.Resampling.BILINEAR), np.float32) / 255
    outputs = run(network, pixels.transpose(2, 0, 1)[None])
    assert network.task.preprocess is not None
    placed = place(photo.height, photo.width, network.task.preprocess)
    boxes = detected(outputs, network.task, [placed])[0]
    best = {box.label: box for box in reversed(boxes)}
    assert {"dog", "bicycle"} <= set(best)
    assert {"car", "truck"} & set(best)
    dog = best["dog"]  # it sits at 130, 220 to 310, 540
    assert np.abs(np.subtract((dog.left, dog.top, dog.right, dog.bottom), (130, 220, 310, 540))).max() < 60
