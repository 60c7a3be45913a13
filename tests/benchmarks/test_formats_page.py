"""The page of number formats says what the committed results say."""

from __future__ import annotations

import json
from pathlib import Path

from formats_page import page

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "xeon-amx-2-cores"


def test_the_page_is_written_from_the_results() -> None:
    document = json.loads((RESULTS / "formats_accuracy.json").read_text())
    wanted = page(document, (RESULTS / "formats_discussion.md").read_text())
    assert (ROOT / "docs" / "number-formats.md").read_text() == wanted
