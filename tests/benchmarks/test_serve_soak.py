"""The soak's parts: slopes with their doubt, wrong answers that are told from failures, one document."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

import serve_soak
from load_client import Load


def test_slopes_are_found_with_an_interval() -> None:
    rng = np.random.default_rng(0)
    times = np.arange(0, 600, 5.0)
    found = serve_soak.slope(times, 1e8 + 100 * times + rng.normal(0, 1000, len(times)))
    assert found["low"] < 100 < found["high"]
    assert found["low"] > 90
    assert found["mid"] == pytest.approx(100, rel=0.05)


def test_readings_that_follow_each_other_say_less() -> None:
    """A walk at random goes nowhere, and a line through it is found certain by whoever takes its steps for readings."""
    rng = np.random.default_rng(1)
    free = rng.normal(size=200)
    assert serve_soak.alike(free - free.mean()) > 100
    walk = np.cumsum(free)
    assert serve_soak.alike(walk - walk.mean()) < 10


def test_the_document_says_what_went_wrong() -> None:
    soaked = serve_soak.Soaked()
    for number in range(20):
        load = Load([0.001] * 10, failed=0, seconds=1.0, client_s=0.0, wrong=int(number == 3))
        serve_soak.take(soaked, load, 60.0 * number, os.getpid())
    soaked.server_bytes[:] = [100 << 20] * 20
    soaked.workers_bytes[:] = [(100 << 20) + (number << 20) for number in range(20)]
    found = json.loads(json.dumps(serve_soak.document(soaked, 100.0, 70.0)))
    assert (found["requests"], found["wrong"], found["failed"], found["ok"]) == (201, 1, 0, False)
    assert (found["memory"]["server"]["grows"], found["memory"]["workers"]["grows"]) == (False, True)
    soaked.times_s[:] = [5.0 * number for number in range(20)]
    assert serve_soak.document(soaked, 100.0, 70.0)["memory"]["workers"]["grows"] is None, "too short to tell"
    assert serve_soak.resident_bytes(os.getpid()) > 1 << 20
    assert serve_soak.resident_bytes(2**22 + 1) == 0


def test_the_command_line() -> None:
    told = serve_soak.parse(["x.plan", "--minutes", "1"])
    assert (told.plan, told.minutes, told.every) == (Path("x.plan"), 1.0, 5.0)
    assert serve_soak.parse([]).minutes == 60
