"""How the benchmarks of `chipwise search` count; that their peers' list names contestants, and goes through once."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("optuna")
pytest.importorskip("sklearn")
pytest.importorskip("torch")

import search_against
import search_efficiency
import search_goals
import search_peers
from chipwise.core.trial import Claim, Rung, Score, Trial, identity
from chipwise.searching import study
from chipwise.searching.contestant import Given, contestant_of
from chipwise.searching.kinds import Facts, kinds_for

pytestmark = pytest.mark.runtime


def run(name: str, *curve: tuple[float, float]) -> search_against.Run:
    made = search_against.Run(name, 0, test={"value": 0.9, "samples": 100})
    for at, score in curve:
        made.saw(at, "M()", score)
    return made


def trial(model: str, score: float, fit_s: float | None, **more: object) -> Trial:
    rung = Rung()
    return Trial(
        data="mnist", data_digest="", model=model, score=Score(score), fit_s=fit_s, state="finished",
        id=identity("mnist", model, 0, rung), predict_s_per_item=0.0001, **more,
    )  # type: ignore[arg-type]  # fmt: skip


def test_time_to_reach_is_that_of_the_peers_last_score() -> None:
    own, peer = run("chipwise", (5.0, 0.8), (10.0, 0.95), (12.0, 0.9)), run("optuna", (2.0, 0.7), (40.0, 0.94))
    assert own.curve == [(5.0, 0.8), (10.0, 0.95)]
    assert own.trials == 3
    found = search_against.against([own], [peer], whole_s=60.0)
    assert found["of_its_time"]["mid"] == pytest.approx(0.25)
    assert found["of_all"]["mid"] == pytest.approx(1 / 6)
    assert found["never"] == 0
    never = search_against.against([peer], [own], whole_s=60.0)
    assert never["of_all"] == {"low": None, "mid": None, "high": None}
    assert (never["seconds"], never["never"]) == ([None], 1)
    assert search_against.first_at(peer, 0.99) == math.inf


def test_worse_is_beyond_chance() -> None:
    runs = [run("chipwise")]
    assert not search_against.worse(0.89, 0.9, runs)
    assert search_against.worse(0.6, 0.9, runs)


def test_lines_come_whole_and_once(tmp_path: Path) -> None:
    tail = search_against.Tail(tmp_path / "said")
    assert tail.lines() == []
    (tmp_path / "said").write_bytes(b"one\ntw")
    assert tail.lines() == [b"one"]
    with (tmp_path / "said").open("ab") as file:
        file.write(b"o\n")
    assert tail.lines() == [b"two"]


def test_the_picture_has_a_line_for_each() -> None:
    drawn = search_against.picture([run("chipwise", (5.0, 0.8)), run("list", (9.0, 0.7))], 60.0, "digits").decode()
    assert "chipwise search" in drawn
    assert "AutoGluon" in drawn


def test_the_list_is_of_contestants_each_taken_once(tmp_path: Path) -> None:
    kinds = {kind.name: kind for kind in kinds_for(Facts(1077, 64, 10, 1))}
    models = search_peers.listed(kinds)
    for model in models:
        assert contestant_of(model, Given(classes=10)).describe() == model
    assert "KNeighborsClassifier" in models[0]
    assert not any("resnet20" in model for model in models)
    first = search_peers.mine(models, tmp_path)
    assert [next(first), *search_peers.mine(models, tmp_path)] == models


def test_a_fixed_list_ends(tmp_path: Path) -> None:
    kinds = kinds_for(Facts(1000, 64, 10, None), ("naive-bayes",))
    with search_efficiency.fixed(2):
        asked = study.Study(tmp_path / "optuna.jsonl", kinds, 0, "random", "digits")
        entries = [asked.ask() for _ in range(3)]
        assert entries[2] is None
        assert entries[0] is not None
        assert asked.goes_on(entries[0], 0.0)
    asked.close()


def test_what_beats_a_claim_is_better_and_sooner_with_its_answers() -> None:
    claim = trial("A()", 0.9, 10.0, claim=Claim("said"))
    board = [trial("Slow()", 0.99, 20.0), trial("Good()", 0.95, 5.0), trial("Bad()", 0.8, 1.0)]
    assert search_goals.beating(claim, board) is board[1]
    assert search_goals.claimed(claim, board)["beaten_by"]["model"] == "Good()"
    lazy = replace(trial("KNeighborsClassifier()", 0.9, 0.1, claim=Claim("said")), predict_s_per_item=0.002)
    assert search_goals.beating(lazy, board) is board[1], "its answers take 20 s"
    assert search_goals.beating(replace(lazy, predict_s_per_item=None), board) is None
    assert search_goals.beating(trial("A()", 0.9, None), board) is None
