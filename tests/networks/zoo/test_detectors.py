"""Detectors of the zoo: what their entries say of heads and boxes, and what ONNX Runtime makes of them."""

from __future__ import annotations

import pytest

from chipwise.core.errors import InputError
from chipwise.networks.load import load

torch = pytest.importorskip("torch")

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


@pytest.mark.parametrize("spec", ["yolov4-tiny:width=0.25,size=64", "yolov4:width=0.125,size=64"])
def test_onnx_runtime_gives_what_torch_gives(spec: str) -> None:
    assert_runs_like_torch(spec)
