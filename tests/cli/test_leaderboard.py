"""`chipwise leaderboard`: boards, pages, claims taken in and verified, and what is refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from chipwise.core.trial import Claim, Rung, Score, Trial, identity
from chipwise.devices import detect
from chipwise.searching import ledger, verify
from chipwise.tasks.metrics import wilson

CLAIMS = (
    '08/10 10:01> "A: best: dat=digits, score=0.98, model=KNeighborsClassifier(n_neighbors=4)"\n'
    "B: dat=digits, score=0.99, model=GaussianNB()\n"
)


KNN = "KNeighborsClassifier(n_neighbors=4)"


def trial(model: str, value: float, fit_s: float, **facts: object) -> Trial:
    """A row of 1,000 samples."""
    low, high = wilson(value, 1000)
    known: dict[str, object] = {
        "data": "mnist", "data_digest": "d", "model": model, "score": Score(value, low, high, 1000), "fit_s": fit_s,
        "predict_s_per_item": fit_s / 1000, "state": "finished", "id": identity("d", model, 0, Rung()),
    }  # fmt: skip
    return Trial(**(known | facts))  # type: ignore[arg-type]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """The folder of a search."""
    claim = Claim("...", (), "confirmed", Score(0.97, 0.95, 0.98, 1000))
    made = (
        trial("lenet5(epochs=8)", 0.99, 60.0, group="A"),
        trial("lenet5(epochs=4)", 0.988, 30.0),
        trial("GaussianNB()", 0.56, 0.4),
        trial(KNN, 0.97, 0.03, state="claimed", claim=claim),
        trial("SVC(C=9)", 0.9, 0.03, state="failed", score=None, reason="killed"),
    )
    for row in made:
        ledger.append(tmp_path / ledger.FILE, row)
    return tmp_path


def test_a_board(cli: Callable[..., object], rows: Path) -> None:
    told = cli("leaderboard", rows)
    assert told.code == 0, told.err
    assert "Leaderboard of mnist: accuracy, 3 trials, by score" in told.out
    assert "2≈*" in told.out
    assert "confirmed: measured 97.00%" in told.out
    assert "SVC(C=9): killed" in told.out
    record = json.loads(cli("leaderboard", rows / ledger.FILE, "--json", "--by", "fit_s", "--top", "1").out)
    assert record["schema"] == "chipwise.leaderboard/1"
    assert [row["trial"]["fit_s"] for row in record["rows"]] == [0.4, 30.0, 60.0]
    assert "and 2 more" in cli("leaderboard", rows, "--top", "1").out


def test_filters(cli: Callable[..., object], rows: Path) -> None:
    other = trial("GaussianNB()", 0.5, 1.0, data="digits", data_digest="e", id=identity("e", "GaussianNB()", 0, Rung()))
    ledger.append(rows / ledger.FILE, replace(other, group="Z"))
    told = cli("leaderboard", rows)
    assert "Leaderboard of digits: accuracy, 1 trial" in told.out
    assert "rows of other data sets are not shown: mnist" in told.out.replace("\n", " ")
    assert "3 trials" in cli("leaderboard", rows, "--data", "mnist").out
    assert "1 trial," in cli("leaderboard", rows, "--data", "mnist", "--group", "A").out
    refused = cli("leaderboard", rows, "--metric", "f1")
    assert (refused.code, refused.err.splitlines()[0]) == (2, "error: unknown metric 'f1'")


@pytest.mark.parametrize(
    ("name", "begins"), [("b.html", b"<!doctype html>"), ("b.svg", b"<svg"), ("b.png", b"\x89PNG")]
)
def test_pages(cli: Callable[..., object], rows: Path, name: str, begins: bytes) -> None:
    told = cli("leaderboard", rows, "-o", rows / name, "--pareto", "score,predict_s_per_item")
    assert told.code == 0, told.err
    assert (rows / name).read_bytes().startswith(begins)


def test_claims_are_taken_in_once(cli: Callable[..., object], tmp_path: Path) -> None:
    file, path = tmp_path / "messages.txt", tmp_path / "new" / "board.jsonl"
    file.write_text(CLAIMS)
    first = cli("leaderboard", path, "--import", file)
    assert first.code == 0, first.err
    assert "98% by A, 08/10 10:01, digits" in first.out
    again = json.loads(cli("leaderboard", path, "--import", file, "--json").out)
    assert again["notes"] == [f"{file}: 2 claims, 2 of which the ledger had"]
    assert len(path.read_bytes().splitlines()) == 2


@pytest.mark.runtime
def test_claims_are_verified(cli: Callable[..., object], tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    file, path = tmp_path / "messages.txt", tmp_path / "board.jsonl"
    file.write_text(CLAIMS)
    told = cli("leaderboard", path, "--import", file, "--verify", "--data", "digits", "--json")
    assert told.code == 0, told.err
    record = json.loads(told.out)
    verdicts = {each["model"]: each["claim"]["verdict"] for each in record["claims"]}
    assert verdicts == {"KNeighborsClassifier(n_neighbors=4)": "confirmed", "GaussianNB()": "refuted"}
    assert [row["trial"]["group"] for row in record["rows"]] == ["verify", "verify"]
    assert "held-out fifth of digits" in record["notes"][-1]
    nothing = cli("leaderboard", path, "--verify", "--data", "digits", "--json")
    assert "no claim on digits is left to verify" in json.loads(nothing.out)["notes"]


def test_those_who_verify_share_the_memory(
    cli: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sklearn")
    machine = replace(detect.detect(), cores=4, memory_bytes=8 << 30)
    seen: list[tuple[int, int]] = []

    def asked(_claims: object, bench: verify.Bench, place: verify.Place, _told: object) -> None:
        seen.append((place.executor.free(), bench.memory_bytes))

    monkeypatch.setattr(detect, "detect", lambda: machine)
    monkeypatch.setattr(verify, "verified", asked)
    (tmp_path / "claims.txt").write_text(CLAIMS)
    arguments = ("--import", tmp_path / "claims.txt", "--verify", "--data", "digits")
    told = cli("leaderboard", tmp_path / "board.jsonl", *arguments)
    assert told.code == 0, told.err
    ((count, each),) = seen
    assert count == 2
    assert 2 << 30 < each <= (8 << 30) / count


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("missing",), "there is no ledger"),
        ((".", "--by", "speed"), "unknown field 'speed'"),
        ((".", "--pareto", "score"), "a front of 1 field"),
        ((".", "-o", "board.pdf"), "a board cannot be drawn into 'board.pdf'"),
        ((".", "--live"), "--live draws in a terminal"),
        ((".", "--live", "--json"), "--live only shows"),
        ((".", "--verify"), "claims are verified on data"),
        ((".", "--verify", "--data", "digits", "--samples", "3"), "3 test samples say nothing"),
        ((".", "--import", "nothing.txt"), "cannot read claims nothing.txt"),
    ],
)
def test_what_is_refused(
    cli: Callable[..., object], rows: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], error: str
) -> None:
    monkeypatch.chdir(rows)
    told = cli("leaderboard", *words)
    assert told.code == 2, told.out
    assert error in told.err
    assert told.err.count("\n") <= 2, "an error and a hint"


def test_a_file_of_something_else(cli: Callable[..., object], tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("milk\nbread\n")
    assert "is no ledger" in cli("leaderboard", file).err
    assert f"{file}: not one claim in it" in cli("leaderboard", tmp_path / "b.jsonl", "--import", file).err
