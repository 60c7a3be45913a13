"""The end of a search: the leaders learn from training and validation samples together, and are tested, once.

Only here are the labels of the test split looked at. Intervals are Wilson's; the first two are compared sample by
sample (McNemar), and are said to be indistinguishable where that says nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chipwise.codec.files import atomic_write, read_bounded
from chipwise.core.contest import Finalist
from chipwise.core.trial import Rung
from chipwise.searching.contestant import epochs_of
from chipwise.searching.execute import MODEL_FILE, network_in
from chipwise.searching.metrics import score_of, with_interval
from chipwise.searching.standing import rung_of
from chipwise.tasks.metrics import paired_drop

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chipwise.core.measure import PairedDrop
    from chipwise.core.trial import Trial
    from chipwise.datasets.dataset import Splits
    from chipwise.searching.driver import Driver
    from chipwise.searching.job import Outcome

SIGNIFICANT = 0.05
_LOOK_S = 0.2
_GRACE = 3.0  # times as long as expected, for the one that won
_ANSWERS_FILE = "answers.bin"  # of a finalist, to the test split: int32, little-endian
_LARGEST_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class _End:
    """How a finalist's last fit ended: its row, and its answers [N] to the test split; None where it failed."""

    row: Trial
    answers: NDArray[np.int32] | None = None


def finals(driver: Driver, kept: Path) -> tuple[tuple[Finalist, ...], PairedDrop | None]:
    """Fit and test the leaders; what was fitted before, and is kept, is not fitted again.

    Args:
        driver: whose search is over; its executor is free.
        kept: folder for the fitted models, one folder each, by the id of the row.

    Returns:
        the finalists, and the comparison of the first two; None where there are not two, or scores are no shares.

    Raises:
        StorageError: a row or the answers cannot be written.
    """
    board, places = driver.board(), len(driver.leaders())
    rungs = {row.model: _rung(row.model, driver.rows.splits) for row in board}
    folders = {row.model: kept / driver.rows.id_of(row.model, rungs[row.model]) for row in board}
    ended: dict[str, _End] = {}
    running: dict[str, Trial] = {}
    late: set[str] = set()
    while True:
        leaders = [row for row in board if not _over(driver, ended.get(row.model))][:places]
        begun = {row.model for row in running.values()} | ended.keys() | late
        waiting = [row for row in leaders if row.model not in begun]
        if not waiting and not running:
            break
        for row in waiting:
            folder = folders[row.model]
            known = _known(driver, folder)
            if known is not None:
                ended[row.model] = known
            elif driver.executor.free():
                limit_s = _limit(driver, row, first=row is leaders[0])
                if limit_s is None:
                    late.add(row.model)
                    continue
                running[folder.name] = row
                job = driver.job(row.model, rungs[row.model], folder.name, rows="", keep=str(folder.resolve()))
                driver.executor.start(job, limit_s)
        for outcome in driver.executor.wait(_LOOK_S) if running else ():
            row = running.pop(outcome.id)
            ended[row.model] = _ended(driver, row.model, rungs[row.model], outcome, folders[row.model])
        driver.progress.update("testing", min(len(ended) / max(places, 1), 0.99))
    driver.progress.update("testing", 1.0)
    _say_over(driver, ended)
    finalists = tuple(_finalist(row, ended.get(row.model)) for row in leaders)
    return finalists, _compared(driver, [ended[row.model] for row in leaders if row.model in ended])


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


def _over(driver: Driver, end: _End | None) -> str:
    """Which limit a contestant breaks that kept it before it learned from more samples; empty for none."""
    return "" if end is None or end.answers is None else driver.broken(end.row)


def _say_over(driver: Driver, ended: dict[str, _End]) -> None:
    for model, end in ended.items():
        reason = _over(driver, end)
        if reason:
            driver.over_limits += 1
            driver.notes.append(f"{model} was left out after its last fit, on all samples: {reason}")


def _known(driver: Driver, folder: Path) -> _End | None:
    """The end of a finalist that was fitted before; None where it has to be fitted (again), as a file is missing."""
    row, count = driver.rows.known.get(folder.name), len(driver.rows.splits.test)
    kept = all((folder / name).is_file() for name in (MODEL_FILE, _ANSWERS_FILE))
    if row is None or row.test is None or not kept or (driver.wanted.graph and network_in(folder) is None):
        return None
    answers = read_bounded(folder / _ANSWERS_FILE, _LARGEST_BYTES, "answers")
    return _End(row, np.frombuffer(answers, "<i4")) if len(answers) == 4 * count else None


def _ended(driver: Driver, model: str, rung: Rung, outcome: Outcome, folder: Path) -> _End:
    """Score the answers of a finalist, and write its row."""
    if outcome.error:
        return _End(driver.rows.ended(model, rung, "failed", outcome.error))
    if outcome.note:
        driver.notes.append(f"{model} cannot be compiled: {outcome.note}")
    atomic_write(folder / _ANSWERS_FILE, outcome.answers)
    answers, test, metric = np.frombuffer(outcome.answers, "<i4"), driver.rows.splits.test, driver.wanted.metric
    value = score_of(metric, test.labels, answers, test.classes)
    return _End(driver.rows.finished(model, rung, outcome, with_interval(metric, value, len(test))), answers)


def _finalist(row: Trial, end: _End | None) -> Finalist:
    """What is told of a leader: its validation score, and how its last fit ended."""
    assert row.score is not None, "leaders have one"
    if end is None:
        return Finalist(row.model, row.score, reason="there was no time left")
    final = end.row
    return Finalist(
        row.model,
        row.score,
        final.test,
        final.fit_s,
        final.predict_s_per_item,
        final.size_bytes,
        final.price_usd,
        final.id,
        final.reason or "",
    )


def _compared(driver: Driver, ends: list[_End]) -> PairedDrop | None:
    """The first two that were tested, sample by sample, which says nothing about classes of other sizes."""
    truth = driver.rows.splits.test.labels
    right = [end.answers == truth for end in ends if end.answers is not None][:2]
    if len(right) < 2 or not len(truth) or driver.wanted.metric != "accuracy":
        return None
    return paired_drop(right[0], right[1])
