"""What a row of the benchmark of number formats holds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from chipwise.core.format_report import FormatScore, LayerRounding, Rounded
from chipwise.core.measure import Accuracy, PairedDrop

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def test_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delitem(sys.modules, "formats_accuracy", raising=False)
    from formats_accuracy import row

    accuracy = Accuracy(8, 10, 0.5, 0.9)
    drop = PairedDrop(accuracy, accuracy, 2, 1, 0.1, 0.3, 0, 1.0)
    layers = (LayerRounding("conv", Rounded(10, 1, 2), Rounded(4, 0, 1), Rounded(0, 0, 0)),)
    made = row(FormatScore("a", "a", accuracy, drop, layers, 1.234))
    assert made["change"] == -0.1
    assert made["accuracy"]["value"] == 0.8
    assert made["layers"] == {"conv": {"weights": [0.1, 0.2], "inputs": [0.0, 0.25]}}
