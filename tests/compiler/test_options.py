"""What compile is asked for: goals with limits, and layers to keep."""

from __future__ import annotations

import pytest

from chipwise.compiler.options import CompileOptions, parse_goal, parse_keep
from chipwise.core.errors import InputError


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("latency", ("latency", None)),
        ("latency=10ms", ("latency", 0.01)),
        (" size ", ("size", None)),
        ("energy", ("energy", None)),
    ],
)
def test_goals_are_read(text: str, goal: tuple[str, float | None]) -> None:
    assert parse_goal(text) == goal


@pytest.mark.parametrize("text", ["", "speed", "latency=", "latency=fast", "latency=-1ms"])
def test_other_goals_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_goal(text)


@pytest.mark.parametrize(("goal", "limit_s"), [("throughput", 0.1), ("latency", 0.0)])
def test_limits_that_make_no_sense_are_refused(goal: str, limit_s: float) -> None:
    with pytest.raises(InputError, match="limit"):
        CompileOptions(goal=goal, limit_s=limit_s)  # type: ignore[arg-type]


def test_layers_to_keep_are_read() -> None:
    assert parse_keep("fp32:conv1, fc") == ("conv1", "fc")
    for text in ("conv1", "int8:conv1", "fp32:", "fp32: ,"):
        with pytest.raises(InputError):
            parse_keep(text)
