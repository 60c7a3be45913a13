"""What the benchmark of lossy plans says of its rows."""

from __future__ import annotations

from typing import Any

import pytest

from compile_lossy import summary


def row(name: str, over_best: float, over_ort: float, **changes: Any) -> dict[str, Any]:
    return {
        "network": name,
        "over_fastest": {"mid": over_best},
        "over_onnxruntime": {"mid": over_ort},
        "verdict": "not slower",
        "shown_within_limit": True,
        "worse_than_limit": False,
    } | changes


def test_means_are_geometric_and_what_misses_an_aim_is_named() -> None:
    said = summary([row("a", 1.0, 1.5), row("b", 4.0, 6.0)])
    assert said["geometric_mean_over_the_best_of_each"] == pytest.approx(2.0)
    assert said["geometric_mean_over_onnxruntime"] == pytest.approx(3.0)
    assert (said["below_aim_over_the_best"], said["below_aim_over_onnxruntime"]) == (["a"], ["a"])
    assert said["ok"]


def test_a_slower_plan_and_a_lost_accuracy_fail() -> None:
    assert not summary([row("a", 0.9, 2.0, verdict="slower")])["ok"]
    assert not summary([row("a", 1.5, 2.0, worse_than_limit=True)])["ok"]
    unsure = summary([row("a", 1.5, 2.0, shown_within_limit=False)])
    assert unsure["ok"]
    assert unsure["not_shown_within_limit"] == ["a"]
