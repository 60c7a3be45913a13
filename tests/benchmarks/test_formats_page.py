"""The page of number formats says what the committed results say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from formats_page import page, table_row

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "xeon-amx-2-cores"


def test_the_page_is_written_from_the_results() -> None:
    document = json.loads((RESULTS / "formats_accuracy.json").read_text())
    wanted = page(document, (RESULTS / "formats_discussion.md").read_text())
    assert (ROOT / "docs" / "number-formats.md").read_text() == wanted


@pytest.mark.parametrize(
    ("change", "p_value", "said"),
    [(-0.1, 0.01, "| **-10.0** |"), (-0.1, 0.2, "| -10.0 |"), (0.1, 0.01, "| +10.0 |")],
)
def test_only_clear_losses_are_bold(change: float, p_value: float, said: str) -> None:
    accuracy = {"value": 0.5, "low": 0.4, "high": 0.6, "count": 10}
    layers = {"conv": {"weights": [0.0, 0.0]}}
    row = {"accuracy": accuracy, "change": change, "lost": 2, "won": 1, "p_value": p_value, "layers": layers}
    assert said in table_row(row, "a", 10)


def test_formats_that_were_not_tried_are_named() -> None:
    document = json.loads((RESULTS / "formats_accuracy.json").read_text())
    document["results"] = [row for row in document["results"] if row["network"] == "lenet5 int8"]
    written = " ".join(page(document, "").split())
    assert "Not tried here: fp32; tf32;" in written
    assert "MXint8; int8, power of 2; int4;" in written
