"""The benchmarks of the coders: what they draw, what they price, and that the page says what they found."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("zstandard")

import entropy_coders

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "xeon-amx-2-cores"


def test_the_tables_are_those_of_lenet() -> None:
    tables = entropy_coders.lenet_like()
    assert [table.shape for table in tables] == [(20, 1, 5, 5), (50, 20, 5, 5), (500, 800), (10, 500)]
    assert 5000 < sum(int((table != 0).sum()) for table in tables) < 6000
    assert max(int(abs(table).max()) for table in tables) == 3
    assert all((a == b).all() for a, b in zip(tables, entropy_coders.lenet_like(), strict=True))


def test_a_price_has_every_yardstick() -> None:
    tables = [table[:20] for table in entropy_coders.lenet_like()[1:2]]
    row = entropy_coders.priced(tables, entropy_coders.reference)
    assert row["symbols"] == 20 * 500
    assert row["nonzero"] == int(np.count_nonzero(tables[0]))
    assert 1 <= row["over_ideal"] < 1.02
    assert set(row["others_bytes"]) == {"huffman", "zstd-19", "bz2", "lzma"}
    assert min(row["times_smaller_than"].values()) > 1


def test_the_page_says_what_was_found() -> None:
    page = (ROOT / "docs" / "compressed-file.md").read_text()
    coders = json.loads((RESULTS / "entropy_coders.json").read_text())
    recoded = json.loads((RESULTS / "recode_squeezenet.json").read_text())
    assert coders["ok"]
    assert recoded["ok"]
    for rows in coders["sets"].values():
        for row in rows.values():
            cells = [f"{row['bytes']:,}", *(f"{size:,} (" for size in row["others_bytes"].values())]
            assert all(cell in page for cell in cells), cells
    for mode in ("fast", "small"):
        assert recoded[mode]["weights_equal"]
        assert recoded[mode]["outputs_equal"]
        assert f"{recoded[mode]['bytes']:,}" in page
