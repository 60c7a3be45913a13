"""Rows are added whole by writers that die, and read once each."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from chipwise.core.errors import InputError
from chipwise.core.trial import Rung, Score, Trial, identity
from chipwise.searching import ledger

WRITER = """
import sys
from pathlib import Path
from chipwise.core.trial import Rung, Trial, identity
from chipwise.searching import ledger
path, first, most = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
done = ledger.read(path).finished()
for seed in range(first, most):
    name = identity("d", "GaussianNB()", seed, Rung())
    if name not in done:
        row = Trial(
            data="digits", data_digest="d", model="GaussianNB()", seed=seed, versions={"padding": "x" * 3000},
            state="finished", id=name,
        )
        ledger.append(path, row)
"""


def trial(seed: int = 0, **changes: object) -> Trial:
    name = identity("d", "GaussianNB()", seed, Rung())
    made = Trial(data="digits", data_digest="d", model="GaussianNB()", seed=seed, state="finished", id=name)
    return replace(made, **changes)  # type: ignore[arg-type]


def test_rows_are_read_in_order_and_a_finished_one_is_added_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "board.jsonl"
    assert ledger.read(path) == ledger.Board(())
    assert ledger.append(path, trial(1)) is True
    assert ledger.append(path, trial(2)) is True
    assert ledger.append(path, trial(1, fit_s=9.0)) is False
    board = ledger.read(path)
    assert [row.seed for row in board.trials] == [1, 2]
    assert board.trials[0].fit_s is None
    assert not board.notes


def test_a_retry_takes_the_place_of_a_failure_and_a_failure_never_that_of_a_success(tmp_path: Path) -> None:
    path = tmp_path / "board.jsonl"
    for row in (trial(state="failed", reason="killed"), trial(), trial(state="failed", reason="late")):
        ledger.append(path, row)
    assert [row.state for row in ledger.read(path).trials] == ["finished"]
    path.write_bytes(path.read_bytes() * 2)  # two files put together
    assert len(ledger.read(path).trials) == 1


def test_claims_of_several_groups_stay_and_the_last_word_on_each_counts(tmp_path: Path) -> None:
    path = tmp_path / "board.jsonl"
    said = trial(state="claimed", score=Score(0.97), group="one")
    rows = (said, replace(said, group="two"), replace(said, score=Score(0.5)), replace(said, reason="read again"))
    for row in rows:
        ledger.append(path, row)
    assert [(row.group, row.reason) for row in ledger.read(path).trials] == [
        ("one", "read again"), ("two", None), ("one", None),
    ]  # fmt: skip


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_a_torn_last_line_is_told_and_never_swallows_the_next_row(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "board.jsonl"
    ledger.append(path, trial(1))
    ledger.append(path, trial(2))
    path.write_bytes(path.read_bytes()[:-cut])
    board = ledger.read(path)
    if cut == 1:  # only its end is missing: the row is whole
        assert [row.seed for row in board.trials] == [1, 2]
        assert not board.notes
    else:
        assert [row.seed for row in board.trials] == [1]
        assert "the last line, which has no end" in board.notes[0]
    ledger.append(path, trial(3))
    after = ledger.read(path)
    assert [row.seed for row in after.trials][-1] == 3
    assert len(after.trials) == (3 if cut == 1 else 2)
    if cut > 1:
        assert "lines 2" in after.notes[0]
        assert ledger.append(path, trial(2)), "a torn row is no finished one"


def test_a_row_with_another_id_than_its_own_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "board.jsonl"
    ledger.append(path, trial(1))
    other = json.loads(path.read_bytes()) | {"seed": 2}
    path.write_bytes(path.read_bytes() + json.dumps(other).encode() + b"\n")
    board = ledger.read(path)
    assert [row.seed for row in board.trials] == [1]
    assert board.notes


def test_a_row_that_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "board.jsonl"
    with pytest.raises(AssertionError, match="can be read"):
        ledger.append(path, trial(state="failed", score=Score(float("inf"))))
    assert not path.exists()


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("a shopping list\nmilk\n")
    with pytest.raises(InputError, match="is no ledger"):
        ledger.read(path)


@pytest.mark.slow
def test_eight_writers_killed_at_random_lose_and_double_nothing(tmp_path: Path) -> None:
    path, each, writers = tmp_path / "board.jsonl", 125, 8
    chance = random.Random(0)
    ledger.append(path, trial(10**6))

    def start(number: int) -> subprocess.Popen[bytes]:
        arguments = [str(path), str(number * each), str((number + 1) * each)]
        return subprocess.Popen([sys.executable, "-c", WRITER, *arguments])

    running = {number: start(number) for number in range(writers)}
    kills = 0
    while running:
        time.sleep(chance.uniform(0.02, 0.12))
        for number, process in list(running.items()):
            if process.poll() is not None:
                assert process.returncode in (0, -9), "a writer failed"
                if process.returncode == 0:
                    del running[number]
                else:
                    running[number] = start(number)
        alive = [process for process in running.values() if process.poll() is None]
        if alive and kills < 60:
            chance.choice(alive).kill()
            kills += 1
    assert kills == 60
    rows = [row for line in path.read_bytes().splitlines() if (row := ledger.row_of(line))]
    assert sorted(row.seed for row in rows) == [*range(each * writers), 10**6]
    assert len(ledger.read(path).trials) == each * writers + 1
