"""The OpenAPI document against the server, by a tool that makes thousands of requests; where that is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import Start


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_schemathesis_finds_nothing(start: Start, plans: Path, workers: int, tmp_path: Path) -> None:
    tool = shutil.which("schemathesis")
    if tool is None:
        pytest.skip("needs schemathesis, which is no part of any extra")
    server = start(plans / "digits.plan", "--workers", workers, "--max-latency", "50ms")
    command = [tool, "run", f"http://{server.url}/openapi.json", "--max-examples", "30", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-4000:]
    assert server.stop() == 0
