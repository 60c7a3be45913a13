"""`inspect --graph`, `inspect --style` and `run --features` as they are typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

GRAPH = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 1, 4, 4] x) => (float[N, 2, 2, 2] y)
<float[2, 1, 3, 3] w = {0,-1,0,-1,5,-1,0,-1,0, 0,0,0,0,1,0,0,0,0}> {
  [stem] h = Conv<pads = [1, 1, 1, 1]>(x, w)
  [pool] y = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(h)
}"""


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = tmp_path / "small.onnx"
    onnx.save(onnx.parser.parse_model(GRAPH), path)
    np.save(tmp_path / "x.npy", np.ones((1, 4, 4), np.float32))
    return path


def test_graph(cli: Callable[..., Any], network: Path, tmp_path: Path) -> None:
    done = cli("inspect", network, "--graph", tmp_path / "small.svg")
    assert done.code == 0
    assert done.out.splitlines() == ["small: 2 layers, 18 parameters, 608 FLOP, 424 B moved; batch 1"]
    assert "small.svg" in done.err
    assert "stem" in (tmp_path / "small.svg").read_text()
    assert "MaxPool" in cli("inspect", network, "--graph", tmp_path / "small.svg", "--style", "table").out
    assert "MaxPooling2D" in cli("inspect", network, "--graph", tmp_path / "small.html", "--style", "keras").out
    drawn = json.loads(cli("inspect", network, "--graph", tmp_path / "small.svg", "--json").out)
    assert len(drawn["layers"]) == 2
    refused = cli("inspect", network, "--graph", tmp_path / "small.pdf")
    assert refused.code == 2
    assert ".svg or .html" in refused.err


def test_style(cli: Callable[..., Any], network: Path) -> None:
    darknet = cli("inspect", network, "--style", "darknet")
    assert darknet.out.splitlines() == [
        "layer     filters    size              input                output",
        "    0 conv      2  3 x 3 / 1     4 x   4 x   1   ->     4 x   4 x   2  0.000 BFLOPs",
        "    1 max          2 x 2 / 2     4 x   4 x   2   ->     2 x   2 x   2",
    ]
    assert "stem (Conv2D)" in cli("inspect", network, "--style", "keras").out
    assert cli("inspect", network, "--style", "caffe").code == 2
    assert cli("inspect", network, "--style", "keras", "--json").code == 2


def test_features(cli: Callable[..., Any], network: Path, tmp_path: Path) -> None:
    listed = cli("run", network, "--features", "list", "--json")
    assert [sheet["layer"] for sheet in json.loads(listed.out)["sheets"]] == ["stem", "pool"]
    done = cli("run", network, tmp_path / "x.npy", "--features", "stem", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == ["stem.kernels.png", "stem.maps.png"]
    assert str(tmp_path / "out" / "stem.kernels.png") in done.out, "a path is not broken"
    assert "kernels" not in cli("run", network, "--features", "list").out
    unsaid = cli("run", network, tmp_path / "x.npy", "--features", "stem")
    assert (unsaid.code, "-o DIR" in unsaid.err) == (2, True)
    for wrong in (("--features", "stem"), (tmp_path / "x.npy", "--features", "stam", "-o", tmp_path)):
        refused = cli("run", network, *wrong)
        assert refused.code == 2
        assert "Traceback" not in refused.err
