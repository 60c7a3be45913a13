"""A few damaged files of each kind by default, twenty thousand under `slow`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parent / "run.py"


@pytest.mark.runtime
@pytest.mark.parametrize("examples", [200, pytest.param(20_000, marks=pytest.mark.slow)])
def test_damaged_files_give_one_clear_error(examples: int) -> None:
    command = [sys.executable, RUN, "--examples", str(examples)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    record = json.loads(done.stdout)
    assert not record["findings"], "\n".join(record["findings"])
    assert sum(record["files"].values()) >= examples * 0.95
