"""A torch factory goes down the line from the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.runtime

FACTORY = """
from torch import nn


def small(num_classes: int = 10) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, num_classes))
"""


def test_factory_with_a_shape(cli: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mynets.py").write_text(FACTORY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mynets", raising=False)
    outcome = cli("inspect", "mynets:small", "--input-shape", "1x8x8", "--json")
    assert outcome.code == 0, outcome.err
    assert '"parameters": 1490' in outcome.out
    plan = tmp_path / "small.plan"
    outcome = cli("compile", "mynets:small", "--input-shape", "1x8x8", "-o", plan, "--budget", "3s", "--json")
    assert outcome.code == 0, outcome.err
    assert '"schema": "chipwise.plan/1"' in outcome.out
    assert plan.is_file()
    outcome = cli("inspect", "mynets:small", "--input-shape", "8xx8")
    assert outcome.code == 2
    outcome = cli("inspect", "mynets:small")
    assert outcome.code == 2
    assert "shape" in outcome.err
