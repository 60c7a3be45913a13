"""The same trials as tasks of a Ray cluster, one of whose workers dies."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from chipwise.datasets import load
from chipwise.searching import arrays
from chipwise.searching.contestant import late
from chipwise.searching.job import Job, Outcome

pytestmark = [pytest.mark.runtime, pytest.mark.slow]

OWN = """
import os, signal
from pathlib import Path
import numpy as np

class Model:
    def fit(self, inputs, labels):
        died = Path(__file__).with_name("died")
        if not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    def predict(self, inputs):
        return np.zeros(len(inputs), int)
    def save(self):
        return b"1"
    def describe(self):
        return "Model()"
"""


def test_a_worker_that_dies_has_its_trial_run_again(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    (tmp_path / "own.py").write_text(OWN)
    data = load("digits")
    arrays.written(tmp_path, data.split(), (0.25, 1.0), seed=0)
    about = {"seed": 0, "epochs": None, "folder": str(tmp_path), "asks": "validation", "class_names": data.class_names}
    about |= {"rows": arrays.rows_file(0.25), "memory_bytes": 1 << 35}
    tasks = late("on_ray").RayTasks(2)
    outcomes: list[Outcome] = []
    try:
        tasks.start(Job(id="own", model="Model()", own=f"{tmp_path / 'own.py'}:Model", **about), 500.0)  # type: ignore[arg-type]
        tasks.start(Job(id="bayes", model="GaussianNB()", **about), 500.0)  # type: ignore[arg-type]
        assert tasks.free() == 0
        ends = time.monotonic() + 500
        while len(outcomes) < 2 and time.monotonic() < ends:
            outcomes += tasks.wait(1.0)
    finally:
        tasks.close()
    assert {outcome.id: outcome.error for outcome in outcomes} == {"own": "", "bayes": ""}
    assert (tmp_path / "died").exists()
