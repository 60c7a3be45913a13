"""What `benchmarks/scaling.py` makes of its rows."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")

import scaling

pytestmark = pytest.mark.runtime

SIZE = 10_000_000


def row(network: str, kind: str, world: int) -> dict[str, Any]:
    """As if a process computed 80 ms a batch, a message of all weights took 10 ms, and one server's exchange 20 ms."""
    found = {
        "network": network,
        "kind": kind,
        "processes": world,
        "servers": int(kind[2]) if kind.startswith("ps") else 0,
        "weight_bytes": SIZE,
        "step_s": 0.1 / world,
        "steps_per_s": 10.0 * world,
        "compute_s": 0.08 / world,
        "compute_quarter_s": 0.02 / world,
        "communication_share": 0.2,
        "exchange_s": 0.02,
    }
    return found | ({} if found["servers"] else {"message_s": 0.011, "empty_message_s": 0.001})


ROWS = [row(network, kind, world) for network in scaling.NETWORKS for kind in scaling.KINDS for world in (1, 2)]


def test_speed_up_is_over_one_process() -> None:
    assert [scaling.speed_up(ROWS, each) for each in ROWS] == [1.0, 2.0] * 2 * len(scaling.KINDS)
    assert scaling.speed_up(ROWS[1:2], ROWS[1]) is None


def test_predictions_by_hand() -> None:
    found = {(each["network"], each["kind"], each["processes"]): each for each in scaling.completed(ROWS, cores=2)}
    assert found["mlp", "dp", 1]["predicted_step_s"] == pytest.approx(0.08)
    assert found["mlp", "dp", 2]["predicted_exchange_s"] == pytest.approx(0.012)  # a message each way, two latencies
    assert found["mlp", "dp", 2]["predicted_step_s"] == pytest.approx(0.052)
    assert found["mlp", "fsdp", 2]["predicted_step_s"] == pytest.approx(0.04 + 1.5 * 0.012)
    assert found["mlp", "ps1", 1]["predicted_step_s"] == pytest.approx(0.1)
    assert found["mlp", "ps1", 2]["predicted_step_s"] == pytest.approx(0.04 + 2 * 0.02)
    assert found["mlp", "ps2", 2]["predicted_step_s"] == pytest.approx(0.04 + 0.02)
    assert found["mlp", "ps1-async", 2]["predicted_step_s"] == pytest.approx(0.04 + 0.02)
    assert found["mlp", "dp", 2]["off"] == pytest.approx(0.04)


def test_more_processes_than_cores_share_them() -> None:
    found = scaling.predicted(ROWS, ROWS[1], cores=1)
    assert found["predicted_step_s"] == pytest.approx(2 * 0.052)
    served = next(each for each in ROWS if (each["kind"], each["processes"]) == ("ps1", 2))
    assert scaling.predicted(ROWS, served, cores=1)["predicted_step_s"] == pytest.approx(0.08 + 2 * 0.02)


def test_what_weights_take_does_not_shrink_with_the_share() -> None:
    rows = [each | {"compute_quarter_s": 0.05} if each["processes"] == 1 else each for each in ROWS]
    assert scaling.predicted(rows, rows[1], cores=2)["predicted_step_s"] == pytest.approx(0.06 + 0.012)


def test_nothing_is_predicted_from_nothing() -> None:
    assert scaling.predicted(ROWS[1:2], ROWS[1], 2) == {}


def test_picture() -> None:
    rows = scaling.completed(ROWS, 2)
    assert b"<svg" in scaling.picture(rows, ".svg")
    assert scaling.picture(rows, ".png").startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_row() -> None:
    found = scaling.measured("mlp", "dp", 2, steps=2)
    assert found["processes"] == 2
    assert found["sent"]["all_reduce"] >= found["weight_bytes"]
    assert found["message_s"] > 0
    assert 0 <= found["communication_share"] < 1


@pytest.mark.slow
def test_a_row_of_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    found = scaling.measured("cnn", "ps2", 1, steps=2)
    assert (found["servers"], found["processes"], found["staleness_most"]) == (2, 1, 0)
    assert found["exchange_s"] > 0
