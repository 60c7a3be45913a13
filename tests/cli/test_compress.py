"""`chipwise compress` answers its question with its exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.runtime


def test_target_reached_missed_and_misspelt(cli: Callable[..., object], tmp_path: Path) -> None:
    quick = ("--epochs", "1", "--threads", "1", "--augment", "none")
    assert cli("train", "lenet-300-100", *quick, "-o", tmp_path / "run").code == 0
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
