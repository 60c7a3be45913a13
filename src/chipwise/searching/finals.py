"""The end of a search: the leaders learn from training and validation samples together, and are tested, once.

Only here are the labels of the test split looked at. Intervals are Wilson's; the first two are compared sample by
sample (McNemar), and are said to be indistinguishable where that says nothing.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chipwise.core.contest import Finalist
from chipwise.core.trial import Rung
from chipwise.searching.contestant import epochs_of
from chipwise.searching.metrics import score_of, with_interval
from chipwise.searching.standing import rung_of
from chipwise.tasks.metrics import paired_drop

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chipwise.core.measure import PairedDrop
    from chipwise.core.trial import Trial
    from chipwise.datasets.dataset import Dataset, Splits
    from chipwise.searching.driver import Driver
    from chipwise.searching.job import Outcome

SIGNIFICANT = 0.05
_LOOK_S = 0.2
_GRACE = 3.0  # times as long as expected, for the one that won


def finals(driver: Driver, kept: Path) -> tuple[tuple[Finalist, ...], PairedDrop | None]:
    """Fit and test the leaders.

    Args:
        driver: whose search is over; its executor is free.
        kept: folder for the fitted models, one folder each, by the id of the row.

    Returns:
        the finalists, and the comparison of the first two; None where there are not two.
    """
    leaders, splits = driver.leaders(), driver.rows.splits
    rungs = {row.model: _rung(row.model, splits) for row in leaders}
    outcomes: dict[str, Outcome] = {}
    waiting = list(leaders)
    running: dict[str, Trial] = {}
    while waiting or running:
        while waiting and driver.executor.free():
            row = waiting.pop(0)
            limit_s = _limit(driver, row, first=row is leaders[0])
            if limit_s is not None:
                identity = driver.rows.id_of(row.model, rungs[row.model])
                running[identity] = row
                job = driver.job(row.model, rungs[row.model], identity, rows="", keep=str(kept / identity))
                driver.executor.start(job, limit_s)
        for outcome in driver.executor.wait(_LOOK_S):
            row = running.pop(outcome.id)
            outcomes[row.model] = outcome
        driver.progress.update("testing", min(len(outcomes) / max(len(leaders), 1), 0.99))
    driver.progress.update("testing", 1.0)
    finalists = tuple(_finalist(driver, row, outcomes.get(row.model), splits.test) for row in leaders)
    return finalists, _compared(outcomes, leaders, splits.test.labels)


def verdict_of(finalists: tuple[Finalist, ...], paired: PairedDrop | None) -> str:
    """What a comparison of the first two comes to, in words."""
    if paired is None:
        return ""
    first, second = (each.model for each in [each for each in finalists if each.test is not None][:2])
    if paired.p_value >= SIGNIFICANT:
        return (
            f"the first two are not distinguishable on {paired.source.count:,} test samples (p = {paired.p_value:.2g})"
        )
    better, worse = (first, second) if paired.lost > paired.won else (second, first)
    return f"{better} is better than {worse} on the test samples (p = {paired.p_value:.2g})"


def _rung(model: str, splits: Splits) -> Rung:
    share = 1 + len(splits.validation) / len(splits.train)
    return replace(rung_of(1.0, epochs_of(model)), share=share)


def _limit(driver: Driver, row: Trial, *, first: bool) -> float | None:
    """How long a final fit may take; None where it cannot end in time. The winner's may take longer."""
    expected = 1.3 * (row.fit_s or 0.0) + 1.0
    left = driver.ends - time.monotonic()
    if first:
        return max(left, _GRACE * expected + 20.0)
    return left if expected < left else None


def _finalist(driver: Driver, row: Trial, outcome: Outcome | None, test: Dataset) -> Finalist:
    """Score the answers of a finalist, and write its row."""
    assert row.score is not None, "leaders have one"
    if outcome is None or outcome.error:
        return Finalist(row.model, row.score, reason="there was no time left" if outcome is None else outcome.error)
    value = score_of(driver.wanted.metric, test.labels, _answers(outcome), test.classes)
    tested = with_interval(driver.wanted.metric, value, len(test))
    final = driver.rows.finished(row.model, _rung(row.model, driver.rows.splits), outcome, tested)
    return Finalist(
        row.model,
        row.score,
        tested,
        outcome.fit_s,
        outcome.predict_s / max(outcome.items, 1),
        outcome.size_bytes,
        final.price_usd,
        final.id,
    )


def _answers(outcome: Outcome) -> NDArray[np.int32]:
    return np.frombuffer(outcome.answers, "<i4")


def _compared(outcomes: dict[str, Outcome], leaders: list[Trial], truth: NDArray[np.int64]) -> PairedDrop | None:
    tested = [outcomes[row.model] for row in leaders if row.model in outcomes and not outcomes[row.model].error][:2]
    if len(tested) < 2 or not len(truth):
        return None
    first, second = (_answers(outcome) == truth for outcome in tested)
    return paired_drop(first, second)
