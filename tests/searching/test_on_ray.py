"""The same trials as tasks of a Ray cluster, one of whose workers dies."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from chipwise.core.events import silent
from chipwise.datasets import load
from chipwise.searching import arrays
from chipwise.searching.contest import hold
from chipwise.searching.contestant import late
from chipwise.searching.job import Job, Outcome
from chipwise.searching.ledger import read
from chipwise.searching.wanted import Wanted

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


def test_a_whole_search_loses_and_doubles_nothing_when_a_worker_dies(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    (tmp_path / "own.py").write_text(OWN)
    wanted = Wanted(
        for_s=500.0, jobs=2, on="ray", sampler="grid", kinds=("naive-bayes",), own=(f"{tmp_path / 'own.py'}:Model",),
        memory_bytes=1 << 35,
    )  # fmt: skip
    ledger = tmp_path / "board.jsonl"
    held = hold(load("digits"), wanted, ledger, silent, late("on_ray").place(2))
    assert (tmp_path / "died").exists()
    assert held.complete
    assert held.winner is not None
    assert held.winner.test is not None
    assert all(each.test is not None for each in held.finalists)
    lines = [row for row in read(ledger).trials if row.score is not None]
    assert len(ledger.read_text().splitlines()) == len(read(ledger).trials)  # each row once
    assert {row.state for row in lines} == {"finished"}
    assert {row.rung.share for row in lines if row.model == "Model()"} == {0.25, 1.0}
    assert len({row.model for row in lines}) == 5  # its own, the usual one, and all of the grid
