"""What a network is for, told from its cfg."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from files import network, picture, run

from chipwise.core.errors import NetworkError
from chipwise.core.network import Network
from chipwise.core.task import Head
from chipwise.networks.darknet_file import load

YOLO = "[convolutional]\nfilters={n}\nactivation=linear\n[yolo]\nclasses=80\nnum=3\nanchors=10,14, 23,27, 37,58\n"


def read(folder: Path, text: str) -> Network:
    path = folder / "net.cfg"
    path.write_text(text)
    return load(path, None)


def test_heads_of_yolo(tmp_path: Path) -> None:
    text = picture(
        YOLO.format(n=170)
        + "mask=1,2\nscale_x_y=1.05\n[route]\nlayers=0\n[upsample]\n"
        + YOLO.format(n=85)
        + "mask=0\nnew_coords=1"
    )
    found = read(tmp_path, text)
    task = found.task
    assert task.kind == "detection"
    assert len(task.labels) == 80
    assert task.labels[16] == "dog"
    assert task.detection is not None
    assert task.detection.decoder == "yolo"
    assert (task.detection.threshold, task.detection.overlap) == (0.25, 0.45)
    assert task.detection.heads == (
        Head(8, 8, ((23.0, 27.0), (37.0, 58.0)), 1.05),
        Head(16, 16, ((10.0, 14.0),), 1.0, squared=True),
    )
    assert [spec.shape for spec in found.outputs] == [("batch", 170, 8, 8), ("batch", 85, 16, 16)]
    assert [spec.name for spec in found.outputs] == ["000_convolutional", "004_convolutional"]


def test_anchors_of_region_are_in_cells(tmp_path: Path) -> None:
    layers = "[maxpool]\nsize=4\nstride=4\n[convolutional]\nfilters=50\nactivation=linear\n"
    text = picture(layers + "[region]\nclasses=20\nnum=2\nsoftmax=1\ncoords=4\nanchors=1,2,0.5,3", h=16, w=24)
    task = read(tmp_path, text).task
    assert task.labels[0] == "aeroplane"
    assert len(task.labels) == 20
    assert task.detection is not None
    assert task.detection.decoder == "region"
    assert task.detection.heads == (Head(4, 6, ((4.0, 8.0), (2.0, 12.0))),)


def test_the_first_yolo(tmp_path: Path) -> None:
    text = picture("[connected]\noutput=117\n[detection]\nclasses=3\ncoords=4\nside=3\nnum=2\nsqrt=1")
    found = read(tmp_path, text)
    assert found.outputs[0].shape == ("batch", 117)
    assert found.task.labels == ()
    assert found.task.detection is not None
    assert found.task.detection.decoder == "yolo-v1"
    assert found.task.detection.heads == (Head(3, 3, ((8.0, 8.0), (8.0, 8.0))),)
    assert found.task.preprocess is not None
    assert found.task.preprocess.fit == "stretch"


@pytest.mark.parametrize(
    ("net", "layers", "fit"),
    [
        ("", "", "letterbox"),
        ("letter_box=1\n", "scale_x_y=1.1", "letterbox"),
        ("letter_box=0\n", "", "stretch"),
        ("mosaic=1\n", "", "stretch"),
        ("", "scale_x_y=1", "stretch"),
        ("", "iou_loss=ciou", "stretch"),
    ],
)
def test_how_a_detectors_picture_is_fitted(net: str, layers: str, fit: str, tmp_path: Path) -> None:
    text = picture(YOLO.format(n=255) + layers).replace("[net]\n", f"[net]\n{net}")
    preprocess = read(tmp_path, text).task.preprocess
    assert preprocess is not None
    assert preprocess.fit == fit
    assert preprocess.fill == (128 if fit == "letterbox" else 0)
    assert (preprocess.order, preprocess.scale, preprocess.mean) == ("RGB", 1 / 255, (0.0,))


def test_activations_of_the_fork_are_its_signs(tmp_path: Path) -> None:
    text = picture("[activation]\nactivation=mish\n" + YOLO.format(n=255))
    preprocess = read(tmp_path, text).task.preprocess
    assert preprocess is not None
    assert preprocess.fit == "stretch"


def test_classifiers_take_the_middle(tmp_path: Path) -> None:
    found = read(tmp_path, picture("[convolutional]\nfilters=10\n[avgpool]\n[softmax]\n[cost]"))
    assert found.task.kind == "classification"
    assert found.outputs[0].shape == ("batch", 10)
    preprocess = found.task.preprocess
    assert preprocess is not None
    assert (preprocess.fit, preprocess.resize, preprocess.height) == ("crop", 8, 8)


@pytest.mark.parametrize(
    ("text", "kind", "shape"),
    [
        (picture("[convolutional]\nfilters=1"), "tensor", (1, 8, 8)),
        (picture("[maxpool]\nsize=8\nstride=8\npadding=0"), "tensor", (3, 1, 1)),
        (picture("[connected]\noutput=1"), "tensor", (1,)),
        (picture("[connected]\noutput=2\n[dropout]"), "classification", (2,)),
        ("[net]\ninputs=4\n[connected]\noutput=3\n[softmax]", "classification", (3,)),
    ],
)
def test_other_kinds(text: str, kind: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    found = read(tmp_path, text)
    assert found.task.kind == kind
    assert found.outputs[0].shape == ("batch", *shape)


def test_pictures_of_other_depths(tmp_path: Path) -> None:
    grey = read(tmp_path, picture("[maxpool]", c=1)).task.preprocess
    assert grey is not None
    assert (grey.channels, grey.order) == (1, "L")
    assert read(tmp_path, picture("[maxpool]", c=4)).task.preprocess is None


def test_detection_layers_of_several_kinds_are_refused(tmp_path: Path) -> None:
    both = YOLO.format(n=255) + "[route]\nlayers=0\n" + YOLO.format(n=255).replace("80", "20").replace("255", "75")
    with pytest.raises(NetworkError, match="mixes detection layers: yolo with 80 classes, yolo with 20 classes"):
        read(tmp_path, picture(both))


def test_nothing_reads_a_detection_layer(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"section \[maxpool\] \(line 12\) reads the boxes of section \[yolo\]"):
        read(tmp_path, picture(YOLO.format(n=255) + "[maxpool]"))


def test_one_value_may_be_two_results(tmp_path: Path) -> None:
    twice = YOLO.format(n=255) + "[route]\nlayers=0\n" + YOLO.partition("[yolo]")[2].join(["[yolo]", ""])
    found = network(tmp_path, picture(twice))
    first, second = run(found, np.ones((1, 3, 8, 8)))
    assert np.array_equal(first, second)
    only = network(tmp_path, picture("[cost]"))
    assert run(only, np.ones((1, 3, 8, 8)))[0].tolist() == np.ones((1, 3, 8, 8)).tolist()


def test_recurrent_states_come_after_the_answer(tmp_path: Path) -> None:
    found = read(tmp_path, "[net]\ninputs=4\n[lstm]\noutput=3\n[rnn]\noutput=2\nhidden=5")
    assert [spec.name for spec in found.inputs] == ["input", "000_hidden", "000_cell", "001_state"]
    assert found.outputs[0].shape == ("batch", 2)
    assert found.task.stream is not None
    assert found.task.stream.step == 1
    assert found.task.stream.states[2] == ("001_state", "001_state_next")
    assert found.task.preprocess is None
