"""Looking inside: names of inner values, their numbers, and the pictures of kernels and maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from chipwise import api
from chipwise.core.errors import InputError, UnknownNameError
from chipwise.networks.inner_values import InnerValue, exposing, find_inner, inner_values, kernels_of
from chipwise.networks.onnx_file import from_bytes
from chipwise.runtimes import load
from chipwise.views.feature_maps import kernel_sheet, map_sheet

GRAPH = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 1, 4, 4] x) => (float[N, 2, 2, 2] y)
<float[2, 1, 3, 3] w = {0,-1,0,-1,5,-1,0,-1,0, 0,0,0,0,1,0,0,0,0}> {
  [stem_conv] h = Conv<pads = [1, 1, 1, 1]>(x, w)
  [stem_relu] r = Relu(h)
  [pool] y = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(r)
}"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "small.onnx"
    onnx.save(onnx.parser.parse_model(GRAPH), file)
    return file


def test_inner_values_have_the_right_numbers(path: Path) -> None:
    network = from_bytes(path.read_bytes(), "small")
    known = inner_values(network)
    assert [(each.name, each.op, each.shape) for each in known] == [
        ("stem_conv", "Conv", (1, 2, 4, 4)),
        ("stem_relu", "Relu", (1, 2, 4, 4)),
        ("pool", "MaxPool", (1, 2, 2, 2)),
    ]
    x = np.random.default_rng(0).standard_normal((1, 1, 4, 4)).astype(np.float32)
    engine = load("onnxruntime").build_default(exposing(network, known[:2]))
    made = dict(zip((spec.name for spec in engine.outputs), engine.run([x]), strict=True))
    np.testing.assert_allclose(made["h"][:, 1:], x, rtol=1e-6)  # the second kernel copies
    np.testing.assert_allclose(made["r"], np.maximum(made["h"], 0))
    kernels = kernels_of(network, known[0])
    assert kernels is not None
    assert kernels[0, 0].tolist() == [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]
    assert kernels_of(network, known[1]) is None


def test_unknown_layers_are_named(path: Path) -> None:
    with pytest.raises(UnknownNameError, match="stem_con"):
        find_inner(inner_values(from_bytes(path.read_bytes(), "small")), "stem_con")


def test_a_group_stands_for_its_last_layer() -> None:
    names = (
        "stem",
        "layer1.0.conv",
        "layer1.0/Relu",
        "layer10.0/Relu",
        "/model/layer2/Add",
        "Mixed_5b.a",
        "Mixed_5b.A",
    )
    known = tuple(InnerValue(name, "Relu", f"value {place}", (1,)) for place, name in enumerate(names))
    wanted = {
        "layer1": 2, "layer1.0": 2, "Layer10": 3, "layer2": 4, "model": 4, "STEM": 0, "mixed_5b": 6, "Mixed_5b.a": 5,
    }  # fmt: skip
    assert {name: names.index(find_inner(known, name).name) for name in wanted} == wanted
    for wrong in ("layer", "MIXED_5B.A", "layer1.", ""):
        with pytest.raises(UnknownNameError) as refused:
            find_inner(known, wrong)
        assert "Mixed_5b.A" in refused.value.hint


def test_pictures_are_written(path: Path, tmp_path: Path) -> None:
    Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4) * 16).save(tmp_path / "photo.png")
    listed = api.features(path)
    assert [sheet.layer for sheet in listed.sheets] == ["stem_conv", "stem_relu", "pool"]
    made = api.features(path, tmp_path / "photo.png", "stem_conv, pool", output=tmp_path / "out")
    assert [sheet.shape for sheet in made.sheets] == [(2, 4, 4), (2, 2, 2)]
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == [
        "pool.maps.png", "stem_conv.kernels.png", "stem_conv.maps.png",
    ]  # fmt: skip
    assert made.sheets[1].kernels == ""
    with Image.open(made.sheets[0].kernels) as picture:
        assert picture.width == 480
        top = np.asarray(picture)
    assert (top[:24] < 128).sum() > 100, "the layer's name stands above"
    assert (top[24:37] < 128).any(), "and a number above each kernel"


def test_a_name_cannot_leave_the_folder(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(GRAPH)
    model.graph.node[0].name = "../../evil"
    onnx.save(model, tmp_path / "evil.onnx")
    api.features(tmp_path / "evil.onnx", np.zeros((1, 1, 4, 4), np.float32), "../../evil", output=tmp_path / "a" / "b")
    written = {file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*.png")}
    assert all(name.startswith("a/b/") for name in written)
    assert len(written) == 2


def test_no_picture_is_refused(path: Path) -> None:
    with pytest.raises(InputError, match="a picture is wanted"):
        api.features(path, None, "pool")


@pytest.mark.runtime
def test_a_zoo_network_is_looked_into(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (32, 32, 1), dtype=np.uint8)
    made = api.features("lenet5-keras", picture, "0,7", output=tmp_path)
    assert [(sheet.op, sheet.shape) for sheet in made.sheets] == [("Conv", (6, 30, 30)), ("Gemm", (120,))]


@pytest.mark.shared
def test_the_first_layer_of_a_real_network(shared_data: Path, tmp_path: Path) -> None:
    photo = next((shared_data / "imagenet").glob("*macaw.JPEG"))
    made = api.features(shared_data / "imagenet" / "models" / "squeezenet_fp16.onnx", photo, "conv1_1", output=tmp_path)
    assert made.sheets[0].shape == (64, 111, 111)
    with Image.open(made.sheets[0].kernels) as picture:
        kernels = np.asarray(picture)
    assert (np.ptp(kernels, axis=2) > 60).mean() > 0.1, "kernels that see colours are shown in colours"


@pytest.mark.parametrize(
    ("shape", "cells"), [((4, 3, 5, 5), 4), ((9, 1, 3, 3), 9), ((300, 3, 3, 3), 256), ((40, 40, 3, 3), 256)]
)
def test_kernel_sheets(shape: tuple[int, ...], cells: int) -> None:
    sheet = kernel_sheet(np.zeros(shape))
    assert sheet.shape[1] >= 480
    grey = (sheet == 128).all(axis=2)
    side = int(np.argmin(grey[24 + 13, 2:]))  # the first row of the first cell, up to the gap
    assert side >= 36 - shape[-1]
    assert side % shape[-1] == 0
    assert int(grey.sum()) // side**2 == cells


def test_zero_weights_are_grey_and_signs_are_seen() -> None:
    sheet = kernel_sheet(np.array([[[[0.0, 1.0, -1.0]]]]))
    values, counts = np.unique(sheet, return_counts=True)
    assert set(values[np.argsort(counts)[-3:]].tolist()) == {0, 128, 255}, "and little else, the letters"


@pytest.mark.parametrize("shape", [(10,), (10, 1, 1), (3, 7), (6, 8, 8), (300, 4, 4)])
def test_any_map_is_drawn(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).standard_normal(shape)
    values.ravel()[0] = np.nan
    for sheet in (map_sheet(values), map_sheet(np.zeros(shape), "layer1 (Relu)" * 100)):
        assert sheet.shape[1] >= 480
        assert sheet.shape[0] > 24 + 13
