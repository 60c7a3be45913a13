"""A whole contest, with trials in this process: rows, rungs, limits, the end, and going on."""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("optuna")
pytest.importorskip("sklearn")

from optuna.storages.journal import JournalFileSymlinkLock

from chipwise.core.contest import Contest
from chipwise.core.errors import InputError
from chipwise.core.events import Silent, silent
from chipwise.core.trial import Score, Trial
from chipwise.datasets import load
from chipwise.searching import driver as driving
from chipwise.searching import execute as executing
from chipwise.searching.contest import hold, state_folder
from chipwise.searching.execute import execute
from chipwise.searching.finals import verdict_of
from chipwise.searching.job import Job, Outcome
from chipwise.searching.kinds import Facts, kinds_for
from chipwise.searching.ledger import read
from chipwise.searching.standing import Entry, Forecast, Seen
from chipwise.searching.study import Study
from chipwise.searching.wanted import Limits, Wanted
from chipwise.tasks.metrics import paired_drop

KINDS = ("naive-bayes", "pca-knn")


class Here:
    """Trials in this process, one at a time."""

    def __init__(self, _folder: Path) -> None:
        self.jobs: list[Job] = []
        self.outcomes: list[Outcome] = []

    def free(self) -> int:
        return 0 if self.outcomes else 1

    def start(self, job: Job, limit_s: float) -> None:
        assert limit_s > 0
        self.jobs.append(job)
        self.outcomes.append(execute(job))

    def wait(self, timeout_s: float) -> list[Outcome]:
        done, self.outcomes = self.outcomes, []
        return done

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of this process, which other tests need, too, stays as it is."""
    monkeypatch.setattr(executing, "_limit", lambda _bytes: None)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search ends after so many starts."""
    first = driving.Driver._next_up

    def some(self: driving.Driver) -> object:
        return None if self.starts >= 14 else first(self)

    monkeypatch.setattr(driving.Driver, "_next_up", some)


def held(ledger: Path, places: list[Here] | None = None, progress: object = silent, **wanted: object) -> Contest:
    def place(folder: Path) -> Here:
        made = Here(folder)
        if places is not None:
            places.append(made)
        return made

    asked = Wanted(**{"for_s": 300.0, "kinds": KINDS, **wanted})  # type: ignore[arg-type]
    return hold(load("digits"), asked, ledger, progress, place)  # type: ignore[arg-type]


def test_a_contest_chooses_on_validation_and_tests_once(few: None, tmp_path: Path) -> None:
    places: list[Here] = []
    contest = held(tmp_path / "board.jsonl", places, group="us")
    assert contest.winner is not None
    assert contest.winner.test is not None
    assert contest.winner.test.value > 0.95
    assert contest.winner.test.samples == 360
    assert "pca" in contest.winner.model.lower()
    scores = [each.score.value for each in contest.finalists]
    assert scores == sorted(scores, reverse=True)
    assert contest.verdict
    assert contest.rate == Wanted(300.0).rate
    asked = [job.asks for job in places[0].jobs]
    assert asked.count("test") == len(contest.finalists)
    assert set(asked[: -len(contest.finalists)]) == {"validation"}  # the test split comes last
    rows = read(tmp_path / "board.jsonl").trials
    assert {row.group for row in rows} == {"us"}
    assert {row.rung.share for row in rows if row.state == "finished" and row.test is None} == {0.25, 1.0}
    finals = [row for row in rows if row.test is not None]
    assert {row.rung.share for row in finals} == {1 + 360 / 1077}
    assert all(row.score is None for row in finals)
    assert all(row.reason for row in rows if row.state == "refused")
    assert contest.winner.trial in {row.id for row in finals}
    assert (state_folder(tmp_path / "board.jsonl") / "models" / contest.winner.trial / "model.bin").is_file()


def test_prices_say_where_they_are_from() -> None:
    assert "c7i.large" in Wanted(60.0).rate
    assert Wanted(60.0, usd_an_hour=0.1).rate == "0.1 USD for an hour of one thread, as was said"


def test_what_the_ledger_has_is_not_run_again(few: None, tmp_path: Path) -> None:
    places: list[Here] = []
    held(tmp_path / "board.jsonl", places)
    before = [row for row in read(tmp_path / "board.jsonl").trials if row.state == "finished"]
    held(tmp_path / "board.jsonl", places)
    ran = [job.id for place in places for job in place.jobs]
    assert max(Counter(ran).values()) == 1
    rows = [json.loads(line) for line in (tmp_path / "board.jsonl").read_text().splitlines()]
    finished = [row["id"] for row in rows if row["state"] == "finished"]
    assert len(finished) == len(set(finished))
    assert {row.id for row in before} <= {row.id for row in read(tmp_path / "board.jsonl").trials}


def test_equal_models_are_tried_once(tmp_path: Path) -> None:
    places: list[Here] = []
    contest = held(tmp_path / "board.jsonl", places, sampler="grid", kinds=("naive-bayes",))
    models = [(job.model, job.rows) for job in places[0].jobs if job.asks == "validation"]
    assert len(models) == len(set(models))
    assert len({model for model, _ in models}) == 4  # the usual one, and all values of the one knob
    assert any("everything" in note for note in contest.notes)


def test_limits_leave_out_what_breaks_them(few: None, tmp_path: Path) -> None:
    contest = held(tmp_path / "board.jsonl", limits=Limits(size_bytes=20_000))
    assert contest.over_limits > 0
    assert contest.winner is not None
    assert "GaussianNB" in contest.winner.model
    assert all(each.size_bytes <= 20_000 for each in contest.trials if each.size_bytes is not None)


def test_who_breaks_a_limit_with_all_samples_does_not_win(few: None, tmp_path: Path) -> None:
    """Nearest neighbours keep every sample: 1,077 of them, and 1,437 in the last fit."""
    free = held(tmp_path / "free.jsonl")
    assert free.winner is not None
    assert free.winner.size_bytes is not None
    (row,) = (each for each in free.trials if each.model == free.winner.model)
    assert row.size_bytes is not None
    between = (row.size_bytes + free.winner.size_bytes) // 2
    assert row.size_bytes < between < free.winner.size_bytes
    contest = held(tmp_path / "free.jsonl", limits=Limits(size_bytes=between))  # what was fitted is not fitted again
    assert contest.winner is not None
    assert contest.winner.test is not None
    assert contest.winner.model != free.winner.model
    assert all(each.size_bytes is not None and each.size_bytes <= between for each in contest.finalists)
    assert contest.over_limits > 0
    said = f"{free.winner.model} was left out after its last fit, on all samples: it has {free.winner.size_bytes:,}"
    assert any(note.startswith(said) for note in contest.notes)


def test_a_trial_that_fails_is_a_row_with_its_reason(
    few: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: Here, job: Job, limit_s: float) -> None:
        bad = "GaussianNB" in job.model
        self.outcomes.append(Outcome(job.id, error="it crashed") if bad else execute(job))

    monkeypatch.setattr(Here, "start", failing)
    contest = held(tmp_path / "board.jsonl")
    failed = [row for row in read(tmp_path / "board.jsonl").trials if row.state == "failed"]
    assert failed
    assert {row.reason for row in failed} == {"it crashed"}
    assert contest.winner is not None


def test_an_interruption_gives_the_board_so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it comes: while its journal is let go, Optuna makes errors of its own of it."""

    def press(*_: object) -> None:
        raise KeyboardInterrupt

    def before_the_lock_is_renamed() -> None:
        lock = JournalFileSymlinkLock(tempfile.mkstemp(dir=tmp_path)[1])
        lock.acquire()
        with monkeypatch.context() as patch:
            patch.setattr("optuna.storages.journal._file.os.rename", press)
            lock.release()

    def where_the_lock_is_lost() -> None:
        try:
            press()
        finally:
            JournalFileSymlinkLock(tempfile.mkstemp(dir=tmp_path)[1]).release()

    class Pressed(Silent):
        def __init__(self, happens: Callable[[], None]) -> None:
            self.happens = happens

        def update(self, stage: str, fraction: float, message: str = "") -> None:
            if "best" in message:
                self.happens()

    cases = {
        press: KeyboardInterrupt, before_the_lock_is_renamed: FileNotFoundError, where_the_lock_is_lost: RuntimeError,
    }  # fmt: skip
    for happens, kind in cases.items():
        with pytest.raises(kind):
            happens()
        contest = held(tmp_path / "board.jsonl", progress=Pressed(happens))
        assert not contest.complete
        assert contest.trials
        assert not contest.finalists


@pytest.fixture
def mine(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(
        "from sklearn.svm import SVC\n"
        "print('hello')\n"
        "class Mine:\n"
        "    name = 'Mine()'\n"
        "    def fit(self, inputs, labels):\n        rows = inputs.reshape(len(inputs), -1)\n"
        "        self.svc = SVC(C=10).fit(rows, labels)\n"
        "    def predict(self, inputs):\n        return self.svc.predict(inputs.reshape(len(inputs), -1))\n"
        "    def save(self):\n        return self.svc.support_vectors_.tobytes()\n"
        "    def describe(self):\n        return self.name\n"
        "class Taken(Mine):\n    name = 'SVC(C=10)'\n"
    )
    return f"{tmp_path / 'mine.py'}:Mine"


def test_a_model_of_ones_own_competes_where_it_was_asked_for(
    few: None, mine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    contest = held(tmp_path / "board.jsonl", own=(mine,))
    assert any(row.model == "Mine()" and row.rung.share == 1 for row in contest.trials)
    said = capsys.readouterr()
    assert "hello" not in said.out
    assert "hello" in said.err
    without = held(tmp_path / "board.jsonl", kinds=("naive-bayes",))
    assert {row.model.partition("(")[0] for row in without.trials} == {"GaussianNB"}
    assert {each.model.partition("(")[0] for each in without.finalists} == {"GaussianNB"}


def test_a_model_of_ones_own_has_a_name_of_its_own(mine: str, tmp_path: Path) -> None:
    for own, told in (((mine, mine), r"itself Mine\(\)"), ((mine.replace(":Mine", ":Taken"),), r"itself SVC\(C=10\)")):
        with pytest.raises(InputError, match=told):
            held(tmp_path / "board.jsonl", own=own)


@pytest.mark.parametrize("text", ["import nowhere_at_all\n", "def make(:\n"])
def test_a_file_that_cannot_be_imported_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(InputError, match=r"bad.py cannot be imported"):
        held(tmp_path / "board.jsonl", own=(f"{tmp_path / 'bad.py'}:make",))


def test_what_cannot_be_compiled_keeps_its_test(few: None, mine: str, tmp_path: Path) -> None:
    contest = held(tmp_path / "board.jsonl", own=(mine,), graph=True)
    assert all(each.test is not None for each in contest.finalists)
    assert "Mine()" in {each.model for each in contest.finalists}
    assert any(note.startswith("Mine() cannot be compiled: ") for note in contest.notes)


def test_scores_of_another_metric_are_others(few: None, tmp_path: Path) -> None:
    places: list[Here] = []
    held(tmp_path / "board.jsonl", places)
    other = held(tmp_path / "board.jsonl", places, metric="balanced-accuracy")
    first, second = ({job.id for job in place.jobs} for place in places)
    assert first
    assert second
    assert not first & second
    assert not read(tmp_path / "board.jsonl").notes
    assert other.paired is None
    assert not other.verdict


def test_one_search_runs_once_at_a_time(tmp_path: Path) -> None:
    def study() -> Study:
        return Study(tmp_path / "optuna.jsonl", kinds_for(Facts(1000, 64, 10, None), KINDS), 0, "tpe", "digits")

    first = study()
    with pytest.raises(InputError, match="running already"):
        study()
    first.close()
    study().close()


def test_what_there_was_no_time_for_is_tried_when_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "board.jsonl"
    with monkeypatch.context() as patch:
        patch.setattr(driving.Driver, "left_s", lambda self: 0.0)
        held(path, sampler="grid", kinds=("naive-bayes",))
    refused = {row.model for row in read(path).trials}
    held(path, sampler="grid", kinds=("naive-bayes",))
    assert len(refused) == 4
    assert refused == {row.model for row in read(path).trials if row.state == "finished" and row.score}


def test_finalists_are_fitted_once(few: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[Here] = []
    first = held(tmp_path / "board.jsonl", places)
    monkeypatch.setattr(driving.Driver, "_next_up", lambda self: None)
    again = held(tmp_path / "board.jsonl", places)
    assert not places[1].jobs
    assert again.finalists == first.finalists
    assert (again.paired, again.verdict) == (first.paired, first.verdict)
    assert not again.counts
    (state_folder(tmp_path / "board.jsonl") / "models" / again.finalists[1].trial / "model.bin").unlink()
    held(tmp_path / "board.jsonl", places)
    assert [job.id for job in places[2].jobs] == [again.finalists[1].trial]


def test_a_final_is_a_row_when_it_ends_whatever_becomes_of_it(
    few: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pressed(Silent):
        def update(self, stage: str, fraction: float, message: str = "") -> None:
            if stage == "testing" and fraction > 0.5:
                raise KeyboardInterrupt

    start = Here.start

    def failing(self: Here, job: Job, limit_s: float) -> None:
        if job.asks == "test" and not any(each.asks == "test" for each in self.jobs):
            self.jobs.append(job)
            self.outcomes.append(Outcome(job.id, error="it crashed at last"))
        else:
            start(self, job, limit_s)

    monkeypatch.setattr(Here, "start", failing)
    assert not held(tmp_path / "board.jsonl", progress=Pressed()).complete
    finals = [row for row in read(tmp_path / "board.jsonl").trials if row.rung.share > 1]
    assert [(row.state, row.reason, row.test is None) for row in finals] == [
        ("failed", "it crashed at last", True), ("finished", None, False),
    ]  # fmt: skip


def test_time_is_used_though_nothing_is_expected_to_get_to_the_top(
    few: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Forecast, "path_s", lambda self, entry: 1e6)
    contest = held(tmp_path / "board.jsonl")
    assert contest.winner is not None
    assert contest.winner.test is not None


def waiting(for_s: float, *names: str) -> driving.Driver:
    """A driver for whom one contestant of each of these kinds waits, of 18,000 pictures in colour."""
    kinds = {each.name: each for each in kinds_for(Facts(18_000, 3072, 10, 3))}
    rows = SimpleNamespace(splits=load("digits").split())
    shares = (1 / 16, 1 / 4, 1.0)
    made = driving.Driver(
        Wanted(for_s), rows, None, None, Forecast(shares), shares, Path(), (), time.monotonic(), exhausted=True,
    )  # type: ignore[arg-type]  # fmt: skip
    made.waiting = [Entry(place, kinds[name], kinds[name].usual_model(), 11) for place, name in enumerate(names)]
    return made


def test_now_and_then_the_largest_improvement_is_worth_its_time() -> None:
    driver = waiting(1200.0, "convnet", "resnet20")
    driver.top = {"M()": Trial(data="d", data_digest="", model="M()", score=Score(0.5), fit_s=1.0, state="finished",
                               id="0")}  # fmt: skip
    chosen = []
    for driver.starts in range(3):
        entry = driver._next_up()
        assert entry is not None
        chosen.append(entry.kind.name)
    assert chosen == ["convnet", "convnet", "resnet20"]


def test_what_could_not_be_tested_in_time_is_not_begun() -> None:
    path_s = waiting(1.0, "resnet20").forecast.path_s(waiting(1.0, "resnet20").waiting[0])
    top = {"M()": Trial(data="d", data_digest="", model="M()", score=Score(0.5), fit_s=1.0, state="finished", id="0")}
    for times, begins in ((1.5, False), (3.5, True)):  # once to the top, and once more for the test
        driver = waiting(times * path_s, "resnet20")
        driver.waiting[0].next = 2
        driver.top = top
        driver.forecast.see(driver.waiting[0], Seen(1 / 8, 0.5, path_s / 8))
        driver.forecast._known["resnet20"].grows.pairs = [1.0] * 20
        assert (driver._next_up() is not None) == begins


def test_no_time_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driving.Driver, "left_s", lambda self: 0.0)
    contest = held(tmp_path / "board.jsonl")
    assert contest.winner is None
    rows = read(tmp_path / "board.jsonl").trials
    assert rows
    assert all(row.state == "refused" and "left" in str(row.reason) for row in rows)


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"for_s": 1.0}, "too short"),
        ({"metric": "beauty"}, "unknown metric"),
        ({"sampler": "tarot"}, "unknown sampler"),
        ({"kinds": ("oracle",)}, "unknown kind"),
        ({"jobs": 0}, "jobs=0"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(wanted: dict[str, object], told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=told):
        held(tmp_path / "board.jsonl", **wanted)


def test_equals_are_said_to_be_so(few: None, tmp_path: Path) -> None:
    finalists = held(tmp_path / "board.jsonl").finalists
    same = np.arange(360) % 50 != 0
    assert "not distinguishable" in verdict_of(finalists, paired_drop(same, same))
    worse = same & (np.arange(360) % 5 != 1)
    assert "is better than" in verdict_of(finalists, paired_drop(same, worse))


def test_searches_end_in_time(tmp_path: Path) -> None:
    began = time.monotonic()
    held(tmp_path / "board.jsonl", for_s=6.0)
    assert time.monotonic() - began < 60  # a search that does not look at the clock never ends
