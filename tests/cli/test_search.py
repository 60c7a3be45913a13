"""`chipwise search`: the answer, what is refused, an interruption, and going on after a kill."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("optuna")
pytest.importorskip("sklearn")
pytestmark = pytest.mark.runtime

KINDS = ("--kinds", "naive-bayes,pca-knn,knn")


def started(ledger: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "chipwise",
            "search",
            "--for",
            "10min",
            "--jobs",
            "2",
            *KINDS,
            "--ledger",
            ledger,
            *more,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def rows(ledger: Path) -> list[dict[str, object]]:
    if not ledger.exists():
        return []
    return [json.loads(line) for line in ledger.read_text().split("\n")[:-1]]


def wait_for(count: int, ledger: Path, process: subprocess.Popen[str]) -> None:
    ends = time.monotonic() + 240
    while sum(row["state"] == "finished" for row in rows(ledger)) < count and process.poll() is None:
        assert time.monotonic() < ends, "nothing happens"
        time.sleep(0.05)


def test_a_search_answers(cli: Callable[..., object], tmp_path: Path) -> None:
    told = cli(
        *("search", "--for", "10min", "--kinds", "naive-bayes", "--sampler", "grid"),  # ends when all is tried
        *("--ledger", tmp_path / "runs", "--json"),
    )
    assert told.code == 0, told.err
    record = json.loads(told.out)
    assert record["schema"] == "chipwise.search/1"
    assert record["complete"]
    assert record["seed"] == 0
    assert record["finalists"][0]["test"]["samples"] == 360
    assert len(rows(tmp_path / "runs" / "board.jsonl")) == sum(record["counts"].values())


def test_ctrl_c_gives_the_board_and_a_kill_loses_nothing(tmp_path: Path) -> None:
    ledger = tmp_path / "board.jsonl"
    process = started(ledger)
    wait_for(3, ledger, process)
    process.kill()
    process.wait()
    before = {str(row["id"]) for row in rows(ledger) if row["state"] == "finished"}
    assert len(before) >= 3

    again = started(ledger, "--json")
    wait_for(len(before) + 3, ledger, again)
    again.send_signal(signal.SIGINT)
    out, err = again.communicate(timeout=120)
    assert again.returncode == 130, err
    assert out, err
    record = json.loads(out)
    assert not record["complete"]
    assert record["trials"]
    finished = Counter(str(row["id"]) for row in rows(ledger) if row["state"] == "finished")
    assert before < set(finished)
    assert max(finished.values()) == 1
    assert set(record["counts"]) <= {"finished", "failed"}
    time.sleep(0.5)  # workers look for their parent five times a second
    left = [each for each in Path("/proc").iterdir() if str(again.pid) in _worker(each)]
    assert not left, "a worker outlived the search"


def _worker(process: Path) -> list[str]:
    """Arguments of a process that runs trials."""
    try:
        words = (process / "cmdline").read_bytes().decode().split("\0")
    except OSError:
        return []
    return words if "chipwise.searching.worker" in words else []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--for", "1s"), "too short"),
        (("--on", "abacus"), "unknown place"),
        (("--then", "celebrate"), "unknown thing"),
        (("--max-cost", "cheap"), "--max-cost"),
        (("--max-size", "small"), "memory"),
        (("--kinds", "oracle"), "unknown kind"),
        (("-o", "x.plan"), "no plan to write"),
        (("--with", "nowhere.py:make"), "no model in"),
        (("--data", "nothing"), "unknown data set"),
    ],
)
def test_bad_input_is_one_line(
    arguments: tuple[str, ...], told: str, cli: Callable[..., object], tmp_path: Path
) -> None:
    outcome = cli("search", *arguments, "--ledger", tmp_path / "board.jsonl")
    assert outcome.code == 2
    assert told in outcome.err
    assert "Traceback" not in outcome.err
