"""Claims are run, each model once, and confirmed or refuted; what cannot run is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chipwise.core.errors import InputError
from chipwise.core.trial import Trial
from chipwise.datasets import load
from chipwise.searching import ledger
from chipwise.searching.claims import read_claims
from chipwise.searching.job import Job, Outcome
from chipwise.searching.verify import Bench, Place, parts_of, to_verify, verdict, verified

CLAIMS = """\
A: dat=digits, score=0.98, model=KNeighborsClassifier(n_neighbors=4)
B: dat=digits, score=0.52, model=KNeighborsClassifier(n_neighbors=4)
A: dat=digits, score=0.9, model=SVC(C=1, C=2)
A: dat=digits, score=0.9, model=Slow()
A: dat=mnist, score=0.9, model=GaussianNB()
"""


class Here:
    """An executor that answers at once: all right but for every tenth, unless the model is slow."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.jobs, self.begun = bench, list[Job](), list[str]()

    def free(self) -> int:
        return 1 - len(self.jobs)

    def start(self, job: Job, limit_s: float) -> None:
        assert limit_s == 5.0
        assert (job.asks, job.rows) == ("test", "")
        assert (Path(job.folder) / "test-inputs.npy").is_file()
        self.jobs.append(job)
        self.begun.append(job.model)

    def wait(self, timeout_s: float) -> list[Outcome]:
        made = [self._outcome(job) for job in self.jobs]
        self.jobs.clear()
        return made

    def close(self) -> None: ...

    def _outcome(self, job: Job) -> Outcome:
        if job.model == "Slow()":
            return Outcome(job.id, error="it took more than the 5 s it may take")
        labels = self.bench.splits.test.labels.copy()
        labels[::50] = (labels[::50] + 1) % 10
        return Outcome(job.id, 2.0, 0.36, len(labels), 1000, answers=labels.astype("<i4").tobytes())


@pytest.fixture
def bench() -> Bench:
    splits, digest = parts_of(load("digits"), None, 0)
    return Bench("digits", digest, splits, 0, 5.0, 1 << 32, "a processor", 2, {"numpy": "2"})


def by_who(path: Path) -> dict[tuple[str, str], Trial]:
    return {(row.group, row.model): row for row in ledger.read(path).trials if row.state == "claimed"}


def test_each_model_runs_once_and_every_claim_gets_its_verdict(tmp_path: Path, bench: Bench) -> None:
    path = tmp_path / "board.jsonl"
    for claim in read_claims(CLAIMS).claims:
        ledger.append(path, claim)
    executor, told = Here(bench), list[tuple[float, str]]()
    claims = to_verify(ledger.read(path).trials, bench)
    assert len(claims) == 4, "the one on another data set is left alone"
    verified(claims, bench, Place(executor, tmp_path, path), lambda *said: told.append(said))
    assert executor.begun == ["KNeighborsClassifier(n_neighbors=4)", "Slow()"]
    assert told[-1] == (1.0, "4 claims, 3 models")

    said = by_who(path)
    knn = said["A", "KNeighborsClassifier(n_neighbors=4)"]
    assert knn.claim is not None
    assert (knn.claim.verdict, knn.fit_s, knn.predict_s_per_item) == ("confirmed", 2.0, 0.001)
    assert knn.claim.measured is not None
    assert knn.claim.measured.value == pytest.approx(352 / 360)
    other = said["B", "KNeighborsClassifier(n_neighbors=4)"].claim
    assert other is not None
    assert (other.verdict, other.trial) == ("refuted", knn.claim.trial)
    for model, why in (("SVC(C=1, C=2)", "C of SVC is given twice"), ("Slow()", "more than the 5 s")):
        row = said["A", model]
        assert row.claim is not None
        assert row.claim.verdict == "not run"
        assert why in (row.reason or "")

    finished = list(ledger.read(path).finished().values())
    assert [row.model for row in finished] == ["KNeighborsClassifier(n_neighbors=4)"]
    assert finished[0].test is not None
    assert (finished[0].group, finished[0].test.samples, finished[0].rung.share) == ("verify", 360, 1 + 360 / 1077)
    assert (finished[0].energy_j or 0) > 0

    again = to_verify(ledger.read(path).trials, bench)
    assert {each.model for each in again} == {"SVC(C=1, C=2)", "Slow()"}, "what has a verdict keeps it"


def test_more_samples_give_another_verdict_and_a_failure_takes_none_away(tmp_path: Path, bench: Bench) -> None:
    path = tmp_path / "board.jsonl"
    ledger.append(path, read_claims("A: dat=digits, score=0.98, model=GaussianNB()").claims[0])
    splits, digest = parts_of(load("digits"), 40, 0)
    few = Bench("digits", digest, splits, 0, 5.0, 1 << 32)
    assert len(splits.test) == 40
    assert digest != bench.digest
    for each in (few, bench):
        verified(to_verify(ledger.read(path).trials, each), each, Place(Here(each), tmp_path, path), lambda *_: None)
    claim = ledger.read(path).trials[0].claim
    assert claim is not None
    assert claim.measured is not None
    assert claim.measured.samples == 360

    class Broken(Here):
        def _outcome(self, job: Job) -> Outcome:
            return Outcome(job.id, error="killed")

    other = Bench("digits", "other", bench.splits, 1, 5.0, 1 << 32)
    verified([ledger.read(path).trials[0]], other, Place(Broken(other), tmp_path, path), lambda *_: None)
    assert ledger.read(path).trials[0].claim == claim


def test_the_same_seed_draws_the_same_samples_and_too_few_are_refused() -> None:
    data = load("digits")
    first, second, other = (parts_of(data, 50, seed)[0].test.labels for seed in (0, 0, 1))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
    assert parts_of(data, 10_000, 0)[1] == data.digest
    with pytest.raises(InputError, match="12 test samples say nothing"):
        parts_of(data, 12, 0)


def test_a_verdict_is_by_the_99_percent_interval() -> None:
    # Wilson's 99% interval of 970 of 1,000, by its formula with z = 2.5758: 0.9527 to 0.9811.
    said, measured = verdict(0.9528, 970, 1000)
    assert said == "confirmed"
    assert measured.low == pytest.approx(0.9527, abs=1e-4)
    assert measured.high == pytest.approx(0.9811, abs=1e-4)
    assert verdict(0.9526, 970, 1000)[0] == "refuted"
    assert verdict(0.9812, 970, 1000)[0] == "refuted"
