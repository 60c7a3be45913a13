"""`chipwise quantize` writes a file that other verbs take, and says what is wrong in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.runtime


def test_a_network_in_fixed_point(cli: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    quick = ("--threads", "1", "--augment", "none")
    assert cli("train", "lenet-300-100", "--epochs", "1", *quick, "-o", "run").code == 0
    done = cli("quantize", "run", "-d", "digits", "--compare", "50", *quick, "--json")
    assert done.code == 0, done.err
    record = json.loads(done.out)
    assert record["schema"] == "chipwise.quantize/1"
    assert (record["agreement"]["compared"], record["agreement"]["equal"]) == (500, 500)
    assert Path(record["path"]).is_file()
    table = cli("quantize", "run", "-d", "digits", "--bits", "16", "--per", "tensor", "-o", "wide.onnx", *quick)
    assert table.code == 0, table.err
    assert "QDQ ONNX, 16 bits, a radix point for each tensor of weights" in " ".join(table.out.split())
    for words, says in (
        (("run", "--bits", "4"), "bits is 4"),
        (("run", "-o", "x.cwz"), "cannot quantize to x.cwz"),
        (("nowhere.onnx",), "nowhere.onnx"),
    ):
        wrong = cli("quantize", *words, "-d", "digits")
        assert wrong.code == 2
        assert says in wrong.err
