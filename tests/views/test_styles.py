"""Tables in the style of Keras and of Darknet, against published numbers and Darknet's own cfg files."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from chipwise import api
from chipwise.core.layer import Layer, totals
from chipwise.core.report import Inspection
from chipwise.views.darknet_table import darknet_table
from chipwise.views.styles import keras_table, styled

from . import samples

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
# Darknet-19 at 256x256, billions of operations of each convolution, as Darknet prints them.
PUBLISHED = (
    "0.113 0.604 0.604 0.067 0.604 0.604 0.067 0.604 0.604 0.067 0.604 0.067 0.604 0.604 0.067 0.604 0.067 0.604 0.131"
)
KINDS = {
    "avgpool": "avg", "convolutional": "conv", "detection": "Detection", "maxpool": "max", "region": "detection",
    "rnn": "RNN", "scale_channels": "scale", "shortcut": "res",
}  # fmt: skip
SILENT = ("cost", "dropout")


@pytest.mark.runtime
def test_darknet_19() -> None:
    table = darknet_table(api.inspect("darknet19"))
    lines = table.splitlines()[1:]
    assert table + "\n" == (GOLDEN / "darknet19_table.txt").read_text()
    assert len(lines) == 26
    assert " ".join(line.split()[-2] for line in lines if "conv" in line) == PUBLISHED
    assert lines[0] == "    0 conv     32  3 x 3 / 1   256 x 256 x   3   ->   256 x 256 x  32  0.113 BFLOPs"
    assert lines[1] == "    1 max          2 x 2 / 2   256 x 256 x  32   ->   128 x 128 x  32"
    assert [line.split()[1] for line in lines[-2:]] == ["avg", "softmax"]


@pytest.mark.shared
@pytest.mark.parametrize(
    "name",
    ["alexnet", "darknet19", "enet-coco", "resnet18", "rnn", "strided", "yolov1", "yolov2", "yolov3", "yolov4-tiny"],
)
def test_tables_of_cfg_files(shared_data: Path, name: str) -> None:
    """A line for each section that does something, with the section's number."""
    path = shared_data / "darknet" / "cfg" / f"{name}.cfg"
    sections = re.findall(r"^\s*\[(\w+)\]", path.read_text(), re.MULTILINE)[1:]
    wanted = {place: KINDS.get(word, word) for place, word in enumerate(sections) if word not in SILENT}
    lines = darknet_table(api.inspect(str(path))).splitlines()[1:]
    assert {int(line.split()[0]): line.split()[1] for line in lines} == wanted


@pytest.mark.shared
@pytest.mark.runtime
@pytest.mark.parametrize("name", ["darknet53", "yolov2-tiny", "yolov3", "yolov3-tiny", "yolov4-tiny"])
def test_the_zoo_prints_what_the_cfg_prints(shared_data: Path, name: str) -> None:
    """Also the routes and the yolo layers, which the torch modules do not have."""
    text = (shared_data / "darknet" / "cfg" / f"{name}.cfg").read_text()
    sections = re.findall(r"^\s*\[(\w+)\]", text, re.MULTILINE)[1:]
    lines = darknet_table(api.inspect(name)).splitlines()[1:]
    assert [line.split()[1] for line in lines] == [KINDS.get(word, word) for word in sections]
    filters = [int(value) for value in re.findall(r"^filters\s*=\s*(\d+)", text, re.MULTILINE)]
    convolutions = [line.split() for line in lines if " conv " in line]
    assert [int(words[2]) for words in convolutions] == filters


def test_batch_norms_and_shapes_are_no_layers() -> None:
    shape = (1, 4, 8, 8)
    rows = (
        Layer("c", "Conv", ((1, 3, 8, 8),), (shape,), kernel=(3, 3), stride=(1, 1)),
        Layer("b", "BatchNormalization", (shape,), (shape,), 8, after=("c",), activation="LeakyRelu"),
        Layer("d", "Conv", (shape,), (shape,), kernel=(1, 1), stride=(1, 1), after=("b",)),
        Layer("a", "Add", (shape, shape), (shape,), after=("d", "b")),
        Layer("f", "Reshape", (shape,), ((1, 256),), after=("a",)),
        Layer("l", "Gemm", ((1, 256),), ((1, 10),), after=("f",)),
    )
    record = Inspection("net", "", 1, (), (), rows, totals(rows), "classification")
    words = [line.split()[:3] for line in darknet_table(record).splitlines()[1:]]
    assert words == [
        ["0", "conv", "4"],
        ["1", "conv", "4"],
        ["2", "res", "0"],
        ["3", "connected", "256"],
        ["4", "softmax", "10"],
    ]


def test_a_branch_gets_a_route() -> None:
    shape = (1, 4, 8, 8)
    first = Layer("a", "Conv", (shape,), (shape,), kernel=(1, 1))
    rows = (
        first,
        replace(first, name="b", after=("a",)),
        replace(first, name="c", after=("a",)),
        Layer("j", "Concat", (shape, shape), ((1, 8, 8, 8),), after=("c", "b")),
    )
    lines = darknet_table(Inspection("net", "", 1, (), (), rows, totals(rows))).splitlines()[1:]
    assert [line[6:] for line in lines if "conv" not in line] == ["route  0", "route  3 1"]


def test_keras() -> None:
    record = api.inspect("lenet5-keras")
    table = keras_table(record)
    assert table + "\n" == (GOLDEN / "lenet5_keras_summary.txt").read_text()
    assert "Total params: 81,194" in table
    assert styled(record, "keras") == table


def test_keras_counts_running_statistics() -> None:
    shape = (2, 6, 4, 4)
    rows = (
        Layer("c", "Conv", ((2, 3, 4, 4),), (shape,), 168, groups=1),
        Layer("b", "BatchNormalization", (shape,), (shape,), 12),
        Layer("w", "Conv", (shape,), (shape,), 54, groups=6),
    )
    lines = keras_table(Inspection("net", "", 2, (), (), rows, totals(rows))).splitlines()
    assert lines[4].split() == ["c", "(Conv2D)", "(None,", "6,", "4,", "4)", "168"]
    assert lines[5].split()[-1] == "24"
    assert "DepthwiseConv2D" in lines[6]
    assert lines[-3:] == ["Total params: 246", "Trainable params: 234", "Non-trainable params: 12"]


def test_odd_records_do_not_break_a_table() -> None:
    for record in (samples.unknown_inspection(), replace(samples.inspection(), layers=())):
        assert darknet_table(record).startswith("layer     filters    size              input")
        assert keras_table(record).startswith("Model:")
