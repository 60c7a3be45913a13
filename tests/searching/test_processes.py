"""Trials in processes: what crashes, hangs or eats memory is an outcome with its reason, and the rest goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("sklearn")

from chipwise.datasets import load
from chipwise.searching import arrays
from chipwise.searching.job import Job, Outcome
from chipwise.searching.processes import Processes

OWN = """
import os, signal, time
from pathlib import Path
import numpy as np

class Model:
    def __init__(self, what):
        self.what = what
    def fit(self, inputs, labels):
        assert len(inputs) == len(labels)
        print("what models print is no outcome")
        if self.what == "raises":
            raise KeyError("a bug of its own")
        if self.what == "dies":
            with Path("deaths").open("a") as file:
                file.write("x")
            os.kill(os.getpid(), signal.SIGKILL)
        if self.what == "dies once" and not Path("died").exists():
            Path("died").touch()
            os._exit(3)
        if self.what == "forks":
            child = os.fork()
            if child == 0:
                time.sleep(600)
            with Path("children").open("a") as file:
                print(child, file=file)
            os.kill(os.getpid(), signal.SIGKILL)
        if self.what == "hangs":
            time.sleep(600)
        if self.what == "eats":
            self.eaten = np.ones((1 << 34,))
    def predict(self, inputs):
        return np.zeros(len(inputs), int) if self.what != "lies" else ["?"] * len(inputs)
    def save(self):
        return b"12345"
    def describe(self):
        return "Model()"

forks = lambda: Model("forks")
raises, dies, once = lambda: Model("raises"), lambda: Model("dies"), lambda: Model("dies once")
hangs, eats, fine, lies = lambda: Model("hangs"), lambda: Model("eats"), lambda: Model("fine"), lambda: Model("lies")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    data = load("digits")
    arrays.written(tmp_path, data.split(), (0.25, 1.0), seed=0)
    return tmp_path


def job(folder: Path, what: str, share: float = 0.25) -> Job:
    names = load("digits").class_names
    own = f"{folder / 'own.py'}:{what}"
    return Job(what, "Model()", 0, None, str(folder), arrays.rows_file(share), "validation", names, 4 << 30, own=own)


def outcomes_of(processes: Processes, count: int) -> list[Outcome]:
    outcomes: list[Outcome] = []
    ends = time.monotonic() + 120
    while len(outcomes) < count and time.monotonic() < ends:
        outcomes += processes.wait(0.5)
    return outcomes


def test_what_goes_wrong_is_told_and_the_place_goes_on(folder: Path) -> None:
    processes = Processes(folder, 1)
    said: dict[str, Outcome] = {}
    try:
        for what in ("raises", "eats", "lies", "dies", "once", "hangs", "fine"):
            assert processes.free() == 1
            processes.start(job(folder, what), limit_s=3.0 if what == "hangs" else 100.0)
            said |= {outcome.id: outcome for outcome in outcomes_of(processes, 1)}
    finally:
        processes.close()
    assert "a bug of its own" in said["raises"].error
    assert "more memory than a trial gets" in said["eats"].error
    assert "predict gave" in said["lies"].error
    assert "SIGKILL" in said["dies"].error
    assert (folder / "deaths").read_text() == "xx"  # begun again once, and not for ever
    assert not said["once"].error  # it was begun again
    assert "more than the 3 s" in said["hangs"].error
    fine = said["fine"]
    assert not fine.error
    assert (fine.size_bytes, fine.items) == (5, 360)
    assert fine.value == pytest.approx((load("digits").split().validation.labels == 0).mean())


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_children_of_a_process_that_died_are_ended_and_keep_nobody_waiting(folder: Path) -> None:
    processes = Processes(folder, 1)
    try:
        processes.start(job(folder, "forks"), limit_s=15.0)
        (outcome,) = outcomes_of(processes, 1)
        children = [int(line) for line in (folder / "children").read_text().split()]
        ends = time.monotonic() + 20
        while any(map(_lives, children)) and time.monotonic() < ends:
            time.sleep(0.05)
    finally:
        processes.close()
    assert "SIGKILL, twice" in outcome.error
    assert len(children) == 2
    assert not any(map(_lives, children))


def test_the_test_split_has_no_labels_for_trials(folder: Path) -> None:
    assert not (folder / "test-labels.npy").exists()
    processes = Processes(folder, 2)
    try:
        asked = Job("1", "GaussianNB()", 0, None, str(folder), "", "test", load("digits").class_names, 4 << 30)
        processes.start(asked, limit_s=100.0)
        (outcome,) = outcomes_of(processes, 1)
    finally:
        processes.close()
    assert outcome.value is None
    assert len(outcome.answers) == 4 * 360
