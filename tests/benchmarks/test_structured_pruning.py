"""What the benchmark of structured pruning says of its rows."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from structured_pruning import MARKS, verdict


@pytest.mark.parametrize(
    ("faster", "drop", "upper", "ok", "shown"), [(2.1, 0.004, 0.009, True, True), (2.1, 0.008, 0.02, True, False),
                                                (1.9, 0.0, 0.005, False, True), (2.5, 0.02, 0.03, False, False)]
)  # fmt: skip
def test_both_limits_count(faster: float, drop: float, upper: float, ok: bool, shown: bool) -> None:
    timed = {mark: {"over_dense": {"mid": faster if mark == "channels" else 1.0}} for mark in MARKS}
    against = {
        "dense": {"drop": drop, "drop_upper_95": upper},
        "dense, trained longer": {"drop": drop + 0.05, "drop_upper_95": upper + 0.05},
    }
    said = verdict(timed, {mark: {"against": against} for mark in MARKS})
    assert (said["ok"], said["shown_within_limit"]) == (ok, shown)
    assert not said["ok_against_trained_longer"]
    assert said["single_weights_faster_by"] == 1.0
