"""`chipwise train` answers its question with its exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.runtime


def test_target_reached_and_missed(cli: Callable[..., object], tmp_path: Path) -> None:
    usual = ("train", "lenet-300-100", "--epochs", "1", "--augment", "none", "--json")
    reached = cli(*usual, "-o", tmp_path / "easy", "--target-accuracy", "20%")
    assert reached.code == 0, reached.err
    assert json.loads(reached.out)["stopped"] == "target reached"
    missed = cli(*usual, "-o", tmp_path / "hard", "--target-accuracy", "99.99%")
    assert missed.code == 1, missed.err
    assert json.loads(missed.out)["schema"] == "chipwise.train/1"
