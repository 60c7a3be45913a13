"""The benchmark of transfer learning runs from end to end and says what it measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.runtime

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "transfer_learning.py"


def test_quick_run(tmp_path: Path) -> None:
    command = [sys.executable, SCRIPT, "--quick", "--seeds", "2", "--threads", "1", "--output", tmp_path / "out.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr
    document = json.loads(done.stdout.splitlines()[-1])
    assert document == json.loads((tmp_path / "out.json").read_text())
    (row,) = document["tasks"]
    assert (row["pictures"], row["classes"], len(row["transfer"])) == (100, 5, 2)
    assert {len(known) for known in row["from_scratch"].values()} == {2}
    low, high = row["interval_95"]
    assert low <= row["mean_difference"] <= high
    assert row["significant"] is (low > 0)
    assert done.returncode == (0 if row["significant"] else 1)
