"""Compare a bench with an earlier one of the same plan.

Two runs of one machine differ by more than a few percent for reasons that have nothing to do with the plan. Where both
runs timed the same peer, the plan's time is taken relative to that peer, which the machine's mood hits alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chipwise.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chipwise.core.report import BenchResult, BenchRow

PLAN = "plan"


@dataclass(frozen=True, slots=True)
class Baseline:
    """An earlier `bench` of the same plan to compare with, and how much slower this one may be (0.05 = 5%)."""

    result: BenchResult
    allowed: float


@dataclass(frozen=True, slots=True)
class Regression:
    """How many times as long the plan takes now, whether that is allowed, and how it was found out."""

    factor: float
    ok: bool
    reason: str


def check_comparable(baseline: Baseline, network: str, batch: int) -> None:
    """See before anything is timed that the baseline is of the same network and batch and holds the plan's time.

    Raises:
        InputError: when it does not.
    """
    result = baseline.result
    if (result.network, result.batch) != (network, batch):
        received = f"{result.network} with batch {result.batch}"
        raise InputError(f"the baseline is of {received}, the plan of {network} with batch {batch}")
    if _medians(result.rows).get(PLAN, 0.0) <= 0:
        raise InputError("the baseline holds no time of the plan", hint="chipwise bench PLAN --json > FILE")


def compare(baseline: Baseline, rows: Sequence[BenchRow]) -> Regression:
    """Compare the plan's time now with the baseline's, relative to the first peer that both timed."""
    before, now = _medians(baseline.result.rows), _medians(rows)
    factor, how = now[PLAN] / before[PLAN], "in absolute time"
    peer = next((name for name in now if name != PLAN and before.get(name, 0.0) > 0), None)
    if peer is not None:
        factor, how = factor / (now[peer] / before[peer]), f"relative to {peer} in both runs"
    ok = factor <= 1 + baseline.allowed
    return Regression(factor, ok, f"{how}; allowed is {1 + baseline.allowed:.2f}×")


def _medians(rows: Sequence[BenchRow]) -> dict[str, float]:
    return {row.name: row.timing.median_s for row in rows if row.timing is not None and row.timing.quantiles_s}
