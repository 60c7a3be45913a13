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


def ten() -> nn.Module:
    return small()


def three() -> nn.Module:
    return small(3)
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
    assert "--input-shape" in outcome.err
    outcome = cli("inspect", "mynets.py:small", "--input-shape", "1x8x8")
    assert "hint: without .py: mynets:small" in outcome.err
    for known in ("lenet5", plan):
        outcome = cli("inspect", known, "--input-shape", "1x8x8")
        assert outcome.code == 2
        assert "says itself" in outcome.err
    folder = tmp_path / "run"
    outcome = cli("train", "mynets:small", "--input-shape", "1x8x8", "--epochs", "1", "-o", folder, "--json")
    assert outcome.code == 0, outcome.err
    assert cli("inspect", folder).code == 0
    again = ("--epochs", "1", "--augment", "none", "--json")
    outcome = cli("train", folder, *again, "-o", tmp_path / "again")  # goes on from the weights
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize(("name", "code"), [("ten", 0), ("three", 2)])
def test_factory_that_does_not_take_the_number_of_classes(
    cli: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    (tmp_path / "mynets.py").write_text(FACTORY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mynets", raising=False)
    outcome = cli("train", f"mynets:{name}", "--input-shape", "1x8x8", "--epochs", "1", "-o", tmp_path / "run")
    assert outcome.code == code, outcome.err
    assert code == 0 or "10 classes" in outcome.err


def test_a_live_module_is_not_trained(tmp_path: Path) -> None:
    import torch

    import chipwise

    with pytest.raises(chipwise.ChipwiseError, match="cannot be trained"):
        chipwise.train(torch.nn.Linear(64, 10), "digits", folder=tmp_path)
