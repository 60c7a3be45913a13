"""`chipwise compress` answers its question with its exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

pytest.importorskip("torch")

from chipwise.networks.onnx_file import from_model, serialize

NET = (
    '<ir_version: 8, opset_import: ["": 18]> g (float[N, 8] x) => (float[N, 3] y) '
    f"<float[8, 3] w = {{{', '.join(str((7 * place % 24 - 12) / 10) for place in range(24))}}}>"
    " { y = MatMul(x, w) }"
)
pytestmark = pytest.mark.runtime


def test_target_reached_missed_and_misspelt(cli: Callable[..., object], tmp_path: Path) -> None:
    quick = ("--epochs", "1", "--threads", "1", "--augment", "none")
    assert cli("train", "lenet5", *quick, "-o", tmp_path / "run").code == 0
    usual = ("compress", tmp_path / "run", "-d", "digits", "-o", tmp_path / "x.cwz", *quick)
    done = cli(*usual, "--target", "20x", "--json")
    assert done.code == 0, done.err
    record = json.loads(done.out)
    assert record["schema"] == "chipwise.compress/1"
    assert record["file_bytes"] == (tmp_path / "x.cwz").stat().st_size
    missed = cli(*usual, "--target", "2000x", "--density", "50%")
    assert missed.code == 1
    assert "missed" in missed.out
    wrong = cli(*usual, "--target", "huge")
    assert wrong.code == 2
    assert "100x, 50KB" in wrong.err


def test_sensitivity_and_pictures(cli: Callable[..., object], tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(600, 8)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=values, y=values[:, :3].argmax(axis=1))
    (tmp_path / "net.onnx").write_bytes(serialize(from_model(ir.from_onnx_text(NET), "net")))
    net, data = tmp_path / "net.onnx", f"npz:{tmp_path / 'data.npz'}"
    quick = ("--epochs", "1", "--threads", "1", "--augment", "none")
    usual = ("sensitivity", net, "-d", data, "--samples", "100", "--threads", "1")
    done = cli(*usual, "-o", tmp_path / "curves.svg", "--json")
    assert done.code == 0, done.err
    record = json.loads(done.out)
    assert record["schema"] == "chipwise.sensitivity/1"
    assert (record["accuracy"]["count"], record["available"], len(record["layers"])) == (100, 120, 1)
    assert "curves.svg" in done.err
    assert (tmp_path / "curves.svg").read_text().startswith("<svg")
    for wrong, said in (
        (("-o", tmp_path / "curves.txt"), ".svg or .html"),
        (("--samples", "0"), "samples"),
        (("-d", "npz:none.npz"), "none.npz"),
    ):
        refused = cli(*usual, *wrong)
        assert refused.code == 2
        assert said in refused.err
    assert cli("sensitivity", "lenet5", "-d", "digits").code == 2
    shrink = ("compress", net, "-d", data, "-o", tmp_path / "x.cwz", *quick, "--target", "10x")
    drawn = cli(*shrink, "--density", "30%", "--pruning", "iterative", "--pictures", tmp_path / "x.html")
    assert drawn.code == 1, "so few weights are fewer bytes than the graph"
    assert "x.html" in drawn.err
    assert (tmp_path / "x.html").read_text().count("<svg") == 3
    assert cli(*shrink, "--bits", "9").code == 2


def test_a_pace_that_cannot_be_asked_for(cli: Callable[..., object], tmp_path: Path) -> None:
    usual = ("compress", "lenet5", "-d", "digits", "-o", tmp_path / "x.cwz")
    for more, told in (
        (("--faster", "0.5x"), "faster is '0.5x'"),
        (("--faster", "2x", "--target", "20x"), "one of them"),
        (("--faster", "2x", "--max-drop", "1%"), "one of them"),
        (("--faster", "2x", "--bits", "4"), "bits is not yours to choose"),
        (("--faster", "2x", "--bits", "auto"), "bits is not yours to choose"),
        (("--faster", "2x", "--scope", "layer"), "scope is not yours to choose"),
        (("--faster", "2x", "--pictures", tmp_path / "x.html"), "pictures is not yours to choose"),
        (("--faster", "2x", "--rounding", "codebook"), "rounding is not yours to choose"),
    ):
        done = cli(*usual, *more)
        assert done.code == 2
        assert told in " ".join(done.err.split())
    assert not (tmp_path / "x.cwz").exists()
