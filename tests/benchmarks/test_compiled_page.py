"""The page of compiled networks says what the committed results say."""

from __future__ import annotations

from pathlib import Path

from compile_table import page, read

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "xeon-amx-2-cores"


def test_the_page_is_written_from_the_results() -> None:
    wanted = "\n".join(page(read(RESULTS / "compile_suite.json"), read(RESULTS / "compile_lossy.json")))
    assert (ROOT / "docs" / "compiled-networks.md").read_text() == wanted + "\n"
