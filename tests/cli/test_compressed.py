"""A compressed network on the command line: written, looked into, run, damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

Cli = Callable[..., object]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A product with a sparse matrix, as ONNX; the compressed file beside it is made by the first test that asks."""
    folder = tmp_path_factory.mktemp("small")
    draw = np.random.default_rng(0)
    weights = np.round(draw.normal(size=(64, 30)) * (draw.random((64, 30)) < 0.2)).astype(np.float32) + 0
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 30])],
        [numpy_helper.from_array(weights, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "n.onnx")
    return folder


def test_from_onnx_to_compressed_and_back(cli: Cli, small: Path) -> None:
    done = cli("export", small / "n.onnx", "-o", small / "n.cwz", "--json")
    assert done.code == 0, done.err
    ((name, size),) = json.loads(done.out)["files"]
    assert (name, size) == (str(small / "n.cwz"), (small / "n.cwz").stat().st_size)
    assert size < (small / "n.onnx").stat().st_size / 20
    found = json.loads(cli("inspect", small / "n.cwz", "--json").out)["ledger"]
    assert found["total"] == size
    assert sum(found[column] for column in found if column not in ("total", "dense", "rows")) == size
    assert "times smaller" in cli("inspect", small / "n.cwz").out
    assert cli("export", small / "n.cwz", "-o", small / "back.onnx").code == 0
    one, other = (onnx.load(small / name).graph.initializer[0] for name in ("n.onnx", "back.onnx"))
    assert (numpy_helper.to_array(one) == numpy_helper.to_array(other)).all()


def test_run_and_estimate_take_it(cli: Cli, small: Path) -> None:
    cli("export", small / "n.onnx", "-o", small / "n.cwz")
    np.save(small / "x.npy", np.ones(64, np.float32))
    answers = [json.loads(cli("run", small / name, small / "x.npy", "--json").out) for name in ("n.onnx", "n.cwz")]
    assert answers[0]["predictions"] == answers[1]["predictions"]
    assert cli("estimate", small / "n.cwz", "--on", "h100").code == 0


def test_a_damaged_one_is_one_line(cli: Cli, small: Path, tmp_path: Path) -> None:
    cli("export", small / "n.onnx", "-o", small / "n.cwz")
    data = (small / "n.cwz").read_bytes()
    for bad in (data[:-1], data + b"\0", data[:30] + b"\xff" + data[31:], b"", b"CWZ"):
        (tmp_path / "bad.cwz").write_bytes(bad)
        done = cli("inspect", tmp_path / "bad.cwz")
        assert (done.code, done.out) == (2, "")
        assert len(done.err.strip().splitlines()) <= 2
        assert "bad.cwz" in done.err
