"""What `benchmarks/scaling.py` makes of its rows."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import scaling

pytestmark = pytest.mark.runtime

ROWS = [
    {"network": network, "kind": kind, "processes": world, "steps_per_s": 10.0 * world, "communication_share": 0.1}
    for network in scaling.NETWORKS
    for kind in scaling.KINDS
    for world in (1, 2)
]


def test_speed_up_is_over_one_process() -> None:
    assert [scaling.speed_up(ROWS, row) for row in ROWS] == [1.0, 2.0] * 4
    assert scaling.speed_up(ROWS[1:2], ROWS[1]) is None


def test_picture() -> None:
    rows = [row | {"speed_up": scaling.speed_up(ROWS, row)} for row in ROWS]
    assert b"<svg" in scaling.picture(rows, ".svg")
    assert scaling.picture(rows, ".png").startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_row() -> None:
    row = scaling.measured("mlp", "dp", 2, steps=2)
    assert row["processes"] == 2
    assert row["sent"]["all_reduce"] >= row["weight_bytes"]
    assert row["exchange_predicted_s"] > 0
    assert 0 <= row["communication_share"] < 1
