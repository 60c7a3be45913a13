"""The referee of `benchmarks/training_race.py` and those who need nothing but torch to race."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import pytest

pytest.importorskip("torch")

import racers
import training_race
from chipwise.datasets import load

pytestmark = pytest.mark.runtime

COUNTING = """
import json, sys, time
print("noise")
print(json.dumps({"at": "ready"}), flush=True)
sys.stdin.readline()
for number in (1, 2, 3):
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    print(json.dumps({"at": "epoch", "number": number, "validation": number / 4}), flush=True)
print(json.dumps({"at": "end", "accuracy": 0.9, "samples": 10}), flush=True)
"""


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> argparse.Namespace:
    (tmp_path / "racers.py").write_text(COUNTING)
    monkeypatch.setattr(training_race, "HERE", tmp_path)
    return training_race.parse(["mnist", "--shared", str(tmp_path), "--turn", "0.02"])


def test_turns_end_with_everybodys_own_time(options: argparse.Namespace) -> None:
    start = time.perf_counter()
    both = [training_race.begun(options, name, epochs=3, seed=0) for name in ("one", "other")]
    assert all(not racer.over for racer in both)
    training_race.race(both, options.turn)
    assert sum(racer.own_s for racer in both) <= time.perf_counter() - start
    for racer in both:
        assert [each["at"] for each in racer.said] == ["ready", "epoch", "epoch", "epoch", "end"]
        clock = [each["s"] for each in racer.said[1:]]
        assert clock == sorted(clock)
        assert racer.process.returncode == 0


def test_a_racer_that_fails_is_named(options: argparse.Namespace, tmp_path: Path) -> None:
    (tmp_path / "racers.py").write_text("raise SystemExit(1)")
    with pytest.raises(SystemExit, match="one ended before it was ready"):
        training_race.begun(options, "one", epochs=1, seed=0)


def test_ratios_are_of_the_same_seed() -> None:
    plain = [{"seconds": 4.0, "accuracy": 0.9}, {"seconds": 9.0, "accuracy": 0.8}]
    row = training_race.row_of([{"seconds": 2.0, "accuracy": 0.9}, {"seconds": 3.0, "accuracy": 0.7}], plain)
    assert row["faster_than_plain"] == {"low": 2.0, "mid": 2.5, "high": 3.0}
    assert row["least_accuracy"] == 0.7


@pytest.mark.parametrize("name", ["plain", "chipwise", "chipwise-fp32"])
def test_racers_tell_every_epoch(name: str) -> None:
    race = racers.Race("lenet5-caffe", "digits", learning_rate=0.003, augment="none", epochs=2)
    job = racers.Job(race, racers.fewer(load("digits"), 512), seed=0, epochs=2, threads=1)
    told: list[tuple[int, float]] = []
    accuracy = racers.RACERS[name](job, lambda number, found: told.append((number, found)))
    assert [number for number, _ in told] == [1, 2]
    assert all(0 < found <= 1 for _, found in told)
    assert 0.3 < accuracy <= 1
