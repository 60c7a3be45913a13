"""Several requests in flight."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from chipwise.runtimes import lanes as lanes_module
from chipwise.runtimes.engine import Arrays, run_many
from chipwise.runtimes.lanes import Lanes, lane_count


def test_lanes_work_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=20)  # broken, an error, unless both are there

    def lane(arrays: Arrays) -> list[np.ndarray]:
        meeting.wait()
        return [arrays[0] * 2]

    lanes = Lanes([lane, lane])
    results = lanes.run([[np.full(2, number)] for number in range(6)])
    assert [result[0].tolist() for result in results] == [[2 * number] * 2 for number in range(6)]
    lanes.close()


def test_an_error_is_raised_when_all_have_stopped() -> None:
    ran: list[int] = []

    def lane(arrays: Arrays) -> list[np.ndarray]:
        ran.append(int(arrays[0]))
        if arrays[0] == 1:
            raise ValueError("one is wrong")
        return [arrays[0]]

    lanes = Lanes([lane, lane])
    with pytest.raises(ValueError, match="one is wrong"):
        lanes.run([[np.array(number)] for number in range(5)])
    assert sorted(ran) == list(range(5))
    assert len(lanes.run([[np.array(7)]])) == 1
    lanes.close()


def test_an_engine_without_streams_runs_in_turn() -> None:
    class Engine:
        def run(self, arrays: Arrays) -> list[np.ndarray]:
            return [arrays[0] + 1]

    results = run_many(Engine(), [[np.zeros(1)], [np.ones(1)]])  # type: ignore[arg-type]
    assert [result[0].item() for result in results] == [1, 2]


def test_how_many_lanes() -> None:
    assert lane_count(4, threads=2) == 4
    assert lane_count(0, threads=10_000) == 1
    assert lane_count(0, threads=1) >= lane_count(0, threads=2) >= 1


def test_an_interrupt_begins_no_more_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()
    ran: list[int] = []
    real = lanes_module.wait

    def lane(arrays: Arrays) -> list[np.ndarray]:
        begun.release()
        go_on.wait(timeout=20)
        ran.append(int(arrays[0]))
        return [arrays[0]]

    def interrupted(jobs: Any) -> Any:
        monkeypatch.setattr(lanes_module, "wait", lambda jobs: go_on.set() or real(jobs))
        begun.acquire(timeout=20)
        begun.acquire(timeout=20)
        raise KeyboardInterrupt

    monkeypatch.setattr(lanes_module, "wait", interrupted)
    lanes = Lanes([lane, lane])
    with pytest.raises(KeyboardInterrupt):
        lanes.run([[np.array(number)] for number in range(50)])
    assert sorted(ran) == [0, 1], "both lanes have ended what they had begun"
    assert len(lanes.run([[np.array(7)]])) == 1
    lanes.close()
