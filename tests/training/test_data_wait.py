"""How long steps wait for their batches is part of the record."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from chipwise.training import loop
from chipwise.training.history import message

from . import tiny


def test_the_time_that_batches_take_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = loop.batch_of
    calls = []

    def slow(*arguments: object) -> object:
        calls.append(1)
        time.sleep(0.01)
        return whole(*arguments)

    monkeypatch.setattr(loop, "batch_of", slow)
    record = tiny.run(tmp_path, settings=replace(tiny.SETTINGS, epochs=2))
    assert sum(epoch.steps or 0 for epoch in record.history) == len(calls)
    for epoch in record.history:
        assert epoch.wait_s is not None
        assert 0.01 * (epoch.steps or 0) <= epoch.wait_s <= epoch.seconds
    (row,) = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert [each["wait_s"] for each in row["history"]] == [epoch.wait_s for epoch in record.history]


def test_a_long_wait_is_told_while_it_trains(tmp_path: Path) -> None:
    (epoch,) = tiny.run(tmp_path, settings=replace(tiny.SETTINGS, epochs=1)).history
    settings = replace(tiny.SETTINGS, epochs=2)
    assert message(settings, (replace(epoch, seconds=2.0, wait_s=1.0),), 0.5).endswith(", waits 50% for data")
    assert "waits" not in message(settings, (replace(epoch, seconds=2.0, wait_s=0.1),), 0.5)
    assert "waits" not in message(settings, (replace(epoch, wait_s=None),), 0.5)
