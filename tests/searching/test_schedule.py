"""What is begun when: whole searches on a clock that only trials move, which take the seconds that are expected."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("optuna")
pytest.importorskip("torch")

from chipwise.datasets import load
from chipwise.searching import driver as driving
from chipwise.searching.job import Job, Outcome
from chipwise.searching.kinds import Facts, kinds_for
from chipwise.searching.rows import rows_of
from chipwise.searching.standing import Entry, Forecast
from chipwise.searching.study import Study
from chipwise.searching.wanted import Wanted

if TYPE_CHECKING:
    from chipwise.core.trial import Trial

MNIST, CIFAR = Facts(54_000, 784, 10, 1), Facts(18_000, 3072, 10, 3)
SHARES = (1 / 16, 1 / 4, 1.0)
WORSE = 1.3  # what other than good values make of an error
# Errors at the top that are other than expected: of photographs, where more epochs of a small network do not help.
SATURATED = {"convnet": 0.38, "lenet5": 0.38, "mlp": 0.5}


@dataclass
class Planned:
    """An executor of two places, whose trials take as long as expected."""

    errors: dict[str, float]
    now: float = 0.0
    driver: driving.Driver | None = None
    ends: list[tuple[float, Outcome]] = field(default_factory=list)

    def free(self) -> int:
        return 2 - len(self.ends)

    def start(self, job: Job, limit_s: float) -> None:
        assert self.driver is not None
        entry = self.driver.running[job.id]
        fresh, work = Forecast(SHARES), entry.work(SHARES[entry.next])
        seconds = fresh.seconds(Entry(0, entry.kind, entry.model, entry.epochs), entry.next)
        expected, _ = fresh.error(Entry(0, entry.kind, entry.model, entry.epochs))
        error = self.errors.get(entry.kind.name, expected)
        error = min(0.9, error * work**entry.kind.learns * (1.0 if entry.usual else WORSE))
        self.ends.append((self.now + seconds, Outcome(job.id, seconds, 0.0, 360, 1000, value=1 - error)))

    def wait(self, timeout_s: float) -> list[Outcome]:
        self.now = max(self.now, min(at for at, _ in self.ends))
        done = [outcome for at, outcome in self.ends if at <= self.now]
        self.ends = [(at, outcome) for at, outcome in self.ends if at > self.now]
        return done

    def close(self) -> None:
        pass


def planned(facts: Facts, for_s: float, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[float, list[Trial]]:
    """How long a search takes without its tests, and its board."""
    executor = Planned({} if facts is MNIST else SATURATED)
    data, wanted = load("digits"), Wanted(for_s, jobs=2, sampler="random")
    monkeypatch.setattr(driving, "time", SimpleNamespace(monotonic=lambda: executor.now))
    kinds = kinds_for(facts)
    rows = rows_of(folder / "board.jsonl", data, wanted, "", {})
    study = Study(folder / "optuna.jsonl", kinds, 0, "random", "planned")
    executor.driver = driving.Driver(wanted, rows, study, executor, Forecast(SHARES), SHARES, folder, (), begun=0.0)
    executor.driver.run()
    study.close()
    return executor.now, executor.driver.board()


def test_a_minute_of_mnist_gets_a_network_to_the_top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    took, board = planned(MNIST, 60.0, tmp_path, monkeypatch)
    assert board[0].model.startswith("convnet_small(")
    assert took + (board[0].fit_s or 0) < 60


def test_three_minutes_of_mnist_get_a_longer_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    took, board = planned(MNIST, 180.0, tmp_path, monkeypatch)
    assert (board[0].rung.epochs or 0) >= 8
    assert took + 1.3 * (board[0].fit_s or 0) < 180


def test_twenty_minutes_of_photographs_get_a_residual_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    took, board = planned(CIFAR, 1200.0, tmp_path, monkeypatch)
    assert board[0].model.startswith("resnet20(")
    assert (board[0].rung.epochs or 0) >= 10
    assert took + 1.3 * (board[0].fit_s or 0) < 1200
    assert len({row.model.partition("(")[0] for row in board}) >= 8  # other kinds were seen, too
