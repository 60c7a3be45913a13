"""What a row of the benchmark of number formats holds."""

from __future__ import annotations

from chipwise.core.format_report import FormatScore, LayerRounding, Rounded
from chipwise.core.measure import Accuracy, PairedDrop
from formats_accuracy import row


def test_a_row() -> None:
    accuracy = Accuracy(8, 10, 0.5, 0.9)
    drop = PairedDrop(accuracy, accuracy, 2, 1, 0.1, 0.3, 0, 1.0)
    layers = (LayerRounding("conv", Rounded(10, 1, 2), Rounded(4, 0, 1), Rounded(0, 0, 0)),)
    made = row(FormatScore("a", "a", accuracy, drop, layers, 1.234))
    assert made["change"] == -0.1
    assert made["accuracy"]["value"] == 0.8
    assert made["layers"] == {"conv": {"weights": [0.1, 0.2], "inputs": [0.0, 0.25]}}
