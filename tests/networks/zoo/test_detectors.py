"""Detectors of the zoo: what their entries say of heads and boxes, and what ONNX Runtime makes of them."""

from __future__ import annotations

import numpy as np
import pytest

from chipwise.core.errors import InputError
from chipwise.networks.load import load

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from zoo_export import assert_runs_like_torch, parameters_and_shapes  # noqa: E402

from chipwise.networks.torch_source import build_module  # noqa: E402

pytestmark = pytest.mark.runtime

YOLOS = ["yolov2", "yolov2-tiny", "yolov3", "yolov3-tiny", "yolov4", "yolov4-tiny"]


@pytest.mark.parametrize("name", YOLOS)
def test_other_sizes_and_classes_change_heads_and_outputs_alike(name: str) -> None:
    spec = f"{name}:size=96,num_classes=4,width=0.25"
    _, made, declared = parameters_and_shapes(spec)
    assert made == declared
    network = load(spec)
    task = network.task
    assert task.labels == ()
    assert task.preprocess is not None
    assert task.detection is not None
    assert (task.preprocess.height, task.preprocess.width, task.preprocess.fit) == (96, 96, "letterbox")
    for head, output in zip(task.detection.heads, network.outputs, strict=True):
        assert output.shape == ("batch", len(head.anchors) * 9, head.rows, head.columns)


def test_yolos_are_told_apart_by_decoder() -> None:
    decoders = {name: load(name).task.detection.decoder for name in YOLOS}
    assert decoders == dict.fromkeys(YOLOS, "yolo") | {"yolov2": "region", "yolov2-tiny": "region"}


def test_a_picture_must_halve_five_times() -> None:
    with pytest.raises(InputError, match="size=100"):
        load("yolov3:size=100")


def test_a_fresh_yolo_sees_few_objects() -> None:
    """Objectness starts at 0.01, classes at one in K."""
    torch.manual_seed(0)
    module = build_module(load("yolov3-tiny:width=0.25,num_classes=10").source).train()
    maps = module(torch.rand(4, 3, 96, 96))
    for each in maps:
        split = each.reshape(4, 3, 15, -1).sigmoid()
        assert 0.003 < split[:, :, 4].mean() < 0.03
        assert 0.05 < split[:, :, 5:].mean() < 0.2


@pytest.mark.parametrize("spec", ["yolov2:width=0.25,size=64", "mobilenet-v1-ssd:width=0.25,size=64,num_classes=3"])
def test_onnx_runtime_gives_what_torch_gives(spec: str) -> None:
    assert_runs_like_torch(spec)


def folded_millions(name: str) -> float:
    """Values of a detector's convolutions once batch-norm is folded: one bias a filter; in millions."""
    with torch.device("meta"):
        module = build_module(load(name).source)
    layers = [part for part in module.modules() if isinstance(part, nn.Conv2d)]
    return round(sum(layer.weight.numel() + layer.weight.shape[0] for layer in layers) / 1e6, 3)


# Trainable values; published ones (converted, batch-norm folded) are MParams of OpenVINO's Open Model Zoo:
# models/public/ssd_mobilenet_v1_coco 6.807, models/public/ssdlite_mobilenet_v2 4.475.
SSDS = {
    "mobilenet-v1-ssd": (6_819_839, 6.807, 1917),
    "mobilenet-v2-ssd": (4_500_543, 4.475, 1917),
    # NVIDIA DeepLearningExamples, PyTorch/Detection/SSD/ssd/model.py: see `nvidia_parameters`.
    "ssd-resnet50": (22_894_902, 22.877, 8732),
}


def nvidia_parameters() -> int:
    """ResNet-50 up to its third stage (torchvision's: 8,543,296), five extra blocks, and twice six predictors."""
    maps, inner, boxes = (1024, 512, 512, 256, 256, 256), (256, 256, 128, 128, 128), (4, 6, 6, 6, 4, 4)
    extras = sum(
        given * narrow + 2 * narrow + 9 * narrow * made + 2 * made
        for given, made, narrow in zip(maps[:-1], maps[1:], inner, strict=True)
    )
    return (
        8_543_296 + extras + sum((9 * given + 1) * count * (4 + 81) for given, count in zip(maps, boxes, strict=True))
    )


@pytest.mark.parametrize("name", SSDS)
def test_ssd_parameters_shapes_and_boxes(name: str) -> None:
    parameters, made, declared = parameters_and_shapes(name)
    assert (parameters, folded_millions(name), declared[0][1]) == SSDS[name]
    assert made == declared
    detection = load(name).task.detection
    assert sum(head.rows * head.columns * len(head.anchors) for head in detection.heads) == SSDS[name][2]


def test_nvidias_ssd_by_arithmetic() -> None:
    assert nvidia_parameters() == SSDS["ssd-resnet50"][0]


@pytest.mark.parametrize("size", [64, 96, 224, 301])
def test_mobilenet_ssd_boxes_follow_the_size(size: int) -> None:
    _, made, declared = parameters_and_shapes(f"mobilenet-v1-ssd:size={size},width=0.25,num_classes=5")
    assert made == declared
    assert made[1][2] == 6


def test_anchors_of_tensorflow() -> None:
    """ssd_mobilenet_v1_coco: 0.1, 0.2 at 2:1 and 1:2 on the finest map; 0.95 and sqrt(0.95) on the coarsest."""
    heads = load("mobilenet-v1-ssd").task.detection.heads
    assert [head.rows for head in heads] == [19, 10, 5, 3, 2, 1]
    np.testing.assert_allclose(
        heads[0].anchors, [(30, 30), (60 * 2**0.5, 60 / 2**0.5), (60 / 2**0.5, 60 * 2**0.5)], rtol=1e-12
    )
    np.testing.assert_allclose(heads[5].anchors[0], (285, 285))
    np.testing.assert_allclose(heads[5].anchors[5], (300 * 0.95**0.5,) * 2)


def test_anchors_of_nvidia() -> None:
    """dboxes300_coco: sizes 21, sqrt(21 * 45), and 21 at 2:1, on a map of 38 x 38."""
    head = load("ssd-resnet50").task.detection.heads[0]
    assert (head.rows, head.columns) == (38, 38)
    expected = [(21, 21), (945**0.5, 945**0.5), (21 * 2**0.5, 21 / 2**0.5), (21 / 2**0.5, 21 * 2**0.5)]
    np.testing.assert_allclose(head.anchors, expected)


def test_categories_of_coco() -> None:
    labels = load("mobilenet-v1-ssd").task.labels
    assert len(labels) == 91
    assert (labels[0], labels[1], labels[13], labels[18], labels[90]) == (
        *("background", "person", "stop sign", "dog", "toothbrush"),
    )
    assert len(load("ssd-resnet50").task.labels) == 81


def test_boxes_run_over_maps_rows_columns_and_anchors() -> None:
    """What one predictor's bias says for one of its boxes comes out at that box of each cell, and nowhere else."""
    torch.manual_seed(0)
    module = build_module(load("ssd-resnet50:width=0.125").source).eval()
    for part in (*module.loc, *module.conf):
        nn.init.zeros_(part.weight)
        nn.init.zeros_(part.bias)
    with torch.no_grad():
        module.loc[1].bias[2 * 6 + 5] = 7.0  # channels: four values, of six boxes each; the width of the last box
        module.conf[1].bias[16 * 6 + 5] = 3.0  # class 16 of 81
        offsets, scores = module(torch.zeros(1, 3, 300, 300))
    hits = offsets[0].nonzero()
    assert hits[:, 0].tolist() == [38 * 38 * 4 + cell * 6 + 5 for cell in range(19 * 19)]
    assert set(hits[:, 1].tolist()) == {2}
    assert scores[0].nonzero()[0].tolist() == [38 * 38 * 4 + 5, 16]


def test_nvidias_names_of_parameters() -> None:
    with torch.device("meta"):
        keys = set(build_module(load("ssd-resnet50").source).state_dict())
    assert {
        "feature_extractor.feature_extractor.0.weight",
        "feature_extractor.feature_extractor.6.5.bn3.running_mean",
        "additional_blocks.4.3.weight",
        "loc.5.bias",
        "conf.0.weight",
    } <= keys


def test_a_detector_finds_what_its_heads_say() -> None:
    """Entry, network and decoder agree: a class score raised in one cell of one map is a box there."""
    from chipwise.tasks.decode import decode

    network = load("mobilenet-v2-ssd:num_classes=3,width=0.25,size=160")
    boxes = network.outputs[0].shape[1]
    offsets, scores = np.zeros((boxes, 4), np.float32), np.zeros((boxes, 4), np.float32)
    place = 10 * 10 * 3 + (2 * 5 + 4) * 6  # second map of 5 x 5: row 2, column 4, first anchor
    scores[place, 3] = 9
    found, shares = decode([offsets, scores], network.task.detection, 160, 160)
    assert np.unravel_index(shares.argmax(), shares.shape) == (place, 2)
    side = (0.2 + 0.15) * 160
    np.testing.assert_allclose(found[place], [144 - side / 2, 80 - side / 2, 144 + side / 2, 80 + side / 2], rtol=1e-5)


def test_a_size_too_small_is_refused() -> None:
    with pytest.raises(InputError, match="size=32"):
        load("mobilenet-v1-ssd:size=32")
    with pytest.raises(InputError, match="size"):
        load("ssd-resnet50:size=320")


def test_options_leave_the_task_alone() -> None:
    """The graph of "name:option=value" is no factory's, whose task would be guessed from its outputs."""
    from chipwise.networks.export import with_graph

    network = load("yolov2-tiny:size=32,width=0.125,num_classes=2")
    assert with_graph(network).task == network.task


@pytest.mark.slow
@pytest.mark.parametrize("name", SSDS)
def test_full_width_in_onnx_runtime(name: str) -> None:
    assert_runs_like_torch(name, batch=2, limit=1e-4)
