"""What the benchmark of structured pruning says of its rows."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from structured_pruning import DENSE, LONGER, SINGLE, channels, verdict

MARK = channels(2)


@pytest.mark.parametrize(
    ("faster", "drop", "upper", "ok", "shown"), [(2.1, 0.004, 0.009, True, True), (2.1, 0.008, 0.02, True, False),
                                                (1.9, 0.0, 0.005, False, True), (2.5, 0.02, 0.03, False, False)]
)  # fmt: skip
def test_both_limits_count(faster: float, drop: float, upper: float, ok: bool, shown: bool) -> None:
    timed = {mark: {"over_dense": {"mid": faster if mark == MARK else 1.0}} for mark in (DENSE, MARK, SINGLE)}
    against = {DENSE: {"drop": drop, "drop_upper_95": upper}}
    said = verdict(MARK, timed, {MARK: {"against": against}})
    assert (said["ok"], said["shown_within_limit"]) == (ok, shown)
    assert said["single_weights_faster_by"] == 1.0
    assert said["drop_against_trained_longer"] is None
    longer = against | {LONGER: {"drop": drop + 0.05, "drop_upper_95": upper + 0.05}}
    said = verdict(MARK, timed, {MARK: {"against": longer}})
    assert not said["ok"], "the dense network trained as long counts, where it is there"
    assert said["drop_against_trained_longer"] == drop + 0.05
