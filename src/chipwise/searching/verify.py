"""Claims put to the test: each model is fitted here and asked for the test split; the score decides.

A claim is confirmed where the claimed score lies inside the 99% interval of the measured one (Wilson's).

>>> verdict(0.97, 970, 1000)[0], verdict(0.9, 970, 1000)[0]
('confirmed', 'refuted')
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise.codec.hashes import sha256_bytes
from chipwise.core.errors import ChipwiseError, InputError
from chipwise.core.trial import Rung, Score, Trial, identity
from chipwise.searching import arrays, ledger
from chipwise.searching.claims import same_data
from chipwise.searching.contestant import epochs_of
from chipwise.searching.energy import energy_j
from chipwise.searching.job import Job
from chipwise.searching.metrics import score_of, with_interval
from chipwise.searching.wanted import USD_AN_HOUR
from chipwise.tasks.metrics import wilson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from chipwise.core.trial import Verdict
    from chipwise.datasets.dataset import Dataset, Splits
    from chipwise.searching.job import Outcome
    from chipwise.searching.processes import Executor

CONFIDENCE = 0.99
GROUP = "verify"
_LEAST_SAMPLES = 30
_WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class Bench:
    """What all claims are measured on.

    Attributes:
        data: name of the data set; digest: of its content, and of the samples that are asked.
        splits: its parts, the test split being what is asked.
        seed: of every random choice; limit_s: that fitting and asking one model may take.
        memory_bytes: that it may have.
        host, cores, versions: of this machine.
    """

    data: str
    digest: str
    splits: Splits
    seed: int
    limit_s: float
    memory_bytes: int
    host: str = ""
    cores: int = 1
    versions: dict[str, str] | None = None

    @property
    def share(self) -> float:
        """Of the training split that a model learns from: validation samples are learned too."""
        return 1 + len(self.splits.validation) / len(self.splits.train)


@dataclass(frozen=True, slots=True)
class Place:
    """Where models run, a folder for the arrays of the data, and the ledger."""

    executor: Executor
    folder: Path
    ledger: Path


def parts_of(dataset: Dataset, samples: int | None, seed: int) -> tuple[Splits, str]:
    """The parts of a data set with so many test samples, drawn at random, and a digest of both.

    Raises:
        InputError: fewer than 30 samples.
    """
    splits = dataset.split()
    if samples is None or samples >= len(splits.test):
        return splits, dataset.digest
    if samples < _LEAST_SAMPLES:
        raise InputError(f"{samples} test samples say nothing", hint=f"at least {_LEAST_SAMPLES}")
    rows = np.sort(np.random.default_rng(seed).choice(len(splits.test), samples, replace=False)).astype(np.int64)
    test = splits.test.take(rows)
    return replace(splits, test=test), sha256_bytes(f"{dataset.digest}{test.digest}".encode())


def to_verify(claims: Iterable[Trial], bench: Bench) -> list[Trial]:
    """Claims that may be of this data set and have no verdict yet, or one on fewer samples."""
    made = []
    for each in claims:
        if each.claim is None:
            continue
        measured = each.claim.measured
        fewer = measured is None or (measured.samples or 0) < len(bench.splits.test)
        if fewer and each.metric == "accuracy" and same_data(each.data, bench.data):
            made.append(each)
    return made


def verified(
    claims: Sequence[Trial],
    bench: Bench,
    place: Place,
    told: Callable[[float, str], None],
) -> None:
    """Run the models of claims, each once, and append what they reach and a verdict on each claim.

    Args:
        claims: to verify.
        bench: what they are measured on.
        place: where they run; a model of which its ledger has a result is not run again.
        told: told how far it is, 0..1, and what ended.

    Raises:
        StorageError: a file cannot be written.
    """
    by_model: dict[str, list[Trial]] = {}
    for claim in claims:
        by_model.setdefault(claim.model, []).append(claim)
    rows = [_begun(model, bench) for model in by_model]
    known = ledger.read(place.ledger).finished()
    todo = [row for row in rows if row.reason is None and row.id not in known]
    for row in rows:
        if row not in todo:
            _judge(by_model[row.model], known.get(row.id, row), place.ledger)
    if todo:
        arrays.written(place.folder, bench.splits, (1.0,), bench.seed)
    running: dict[str, Trial] = {}
    left = len(todo)
    while left:
        while place.executor.free() and len(running) < left:
            row = todo.pop(0)
            running[row.id] = row
            place.executor.start(_job(row, bench, place.folder), bench.limit_s)
        told((len(rows) - left) / len(rows), "; ".join(row.model for row in running.values()))
        for outcome in place.executor.wait(_WAIT_S):
            row = _ended(running.pop(outcome.id), outcome, bench)
            ledger.append(place.ledger, row)
            _judge(by_model[row.model], row, place.ledger)
            left -= 1
    told(1.0, f"{len(claims)} claims, {len(rows)} models")


def verdict(claimed: float, correct: int, count: int) -> tuple[Verdict, Score]:
    """Whether a claimed share lies inside the 99% interval of the measured one."""
    low, high = wilson(correct / count, count, CONFIDENCE)
    return "confirmed" if low <= claimed <= high else "refuted", Score(correct / count, low, high, count)


def _begun(model: str, bench: Bench) -> Trial:
    """The row of a run that has not ended; with a reason where it cannot even begin."""
    reason = None
    try:
        rung = Rung(bench.share, epochs_of(model))
    except ChipwiseError as error:
        rung, reason = Rung(bench.share), error.message
    return Trial(
        data=bench.data, data_digest=bench.digest, model=model, group=GROUP, seed=bench.seed, rung=rung, reason=reason,
        host=bench.host, cores=bench.cores, versions=bench.versions or {}, state="failed",
        id=identity(bench.digest, model, bench.seed, rung),
    )  # fmt: skip


def _job(row: Trial, bench: Bench, folder: Path) -> Job:
    return Job(
        row.id, row.model, row.seed, row.rung.epochs, str(folder), "", "test", bench.splits.train.class_names,
        bench.memory_bytes,
    )  # fmt: skip


def _ended(row: Trial, outcome: Outcome, bench: Bench) -> Trial:
    """The row with what its run reached."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    if outcome.error:
        return replace(row, reason=outcome.error, when=when)
    answers: NDArray[Any] = np.frombuffer(outcome.answers, "<i4").astype(np.int64)
    test = bench.splits.test
    value = score_of("accuracy", test.labels, answers, test.classes)
    return replace(
        row,
        state="finished",
        when=when,
        test=with_interval("accuracy", value, len(test)),
        fit_s=outcome.fit_s,
        predict_s_per_item=outcome.predict_s / max(outcome.items, 1),
        size_bytes=outcome.size_bytes,
        energy_j=energy_j(outcome.fit_s),
        price_usd=USD_AN_HOUR * outcome.fit_s / 3600,
    )


def _judge(claims: Sequence[Trial], row: Trial, path: Path) -> None:
    """Append a verdict on each claim of a model that was run, or could not be and has no other verdict."""
    for each in claims:
        assert each.claim is not None, "a claim says what was said"
        assert each.score is not None, "and which score"
        if row.test is None or row.test.samples is None:
            if each.claim.measured is not None:
                continue
            made = replace(each, claim=replace(each.claim, verdict="not run"), reason=row.reason)
        else:
            correct = round(row.test.value * row.test.samples)
            said, measured = verdict(each.score.value, correct, row.test.samples)
            made = replace(
                each,
                claim=replace(each.claim, verdict=said, measured=measured, trial=row.id),
                reason=None,
                fit_s=row.fit_s,
                predict_s_per_item=row.predict_s_per_item,
                size_bytes=row.size_bytes,
            )
        ledger.append(path, made)
