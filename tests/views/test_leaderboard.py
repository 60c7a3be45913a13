"""The board drawn: the table keeps its numbers whole, the page and the picture hold every trial, live ends well."""

from __future__ import annotations

import io
from dataclasses import replace
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from chipwise.views import leaderboard_live
from chipwise.views.leaderboard_charts import pareto_chart, short_name
from chipwise.views.leaderboard_page import leaderboard_html
from chipwise.views.leaderboard_table import leaderboard_table

from .board_samples import board, empty


@pytest.mark.parametrize("width", [44, 80, 120])
def test_no_number_is_cut(width: int) -> None:
    record = board()
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(leaderboard_table(record))
    text = console.export_text()
    for value in ("99.12%", "[98.85–99.33]", "2 min 51 s", "7.90 ms", "296 MiB"):
        assert value in text
    assert all(len(line.rstrip()) <= width for line in text.splitlines())


def test_a_page_holds_every_trial_and_claim_and_reads_nothing_as_markup() -> None:
    record = board()
    first = replace(record.rows[0], trial=replace(record.rows[0].trial, model="<b>()", group="<i>"))
    page = leaderboard_html(replace(record, rows=(first, *record.rows[1:])))
    assert "<b>" not in page
    assert "<i>" not in page
    assert page.count("&lt;b&gt;()") == 4, (
        "in the first line, in the table, and in the picture as a name and in its label"
    )
    assert page.count('<th scope="row">') == 7 + 4 + 2
    assert "confirmed: measured 97.14%" in page
    assert "http-equiv" in page
    assert "<script" not in page
    assert "no trial has finished yet" in leaderboard_html(empty())


def test_the_front_is_drawn_and_told() -> None:
    record = board()
    root = ET.fromstring(pareto_chart(record.rows, record.pareto, ".svg"))
    text = " ".join(root.itertext())
    for words in ("1 lenet5", "3 PCA + SVC", "5 KNeighborsClassifier", "time to fit, logarithmic", "the front"):
        assert words in text
    label = root.attrib["aria-label"]
    assert "score against time to fit. The front: lenet5" in label
    assert "GaussianNB" not in label


def test_a_front_of_two_costs_and_of_a_score_that_is_no_share() -> None:
    record = board()
    assert "<svg" in pareto_chart(record.rows, ("size_bytes", "predict_s_per_item"))
    odd = replace(record.rows[0].trial, score=replace(record.rows[0].trial.score, value=-3.2, low=None, high=None))
    rows = (replace(record.rows[0], trial=odd), *record.rows[1:])
    assert "<svg" in pareto_chart(rows, ("score", "fit_s"))


@pytest.mark.parametrize(
    ("model", "name"),
    [("SVC(C=1)", "SVC"), ("make_pipeline(PCA(n=1), SVC())", "PCA + SVC"), ("odd", "odd"), ("x" * 50, "x" * 33 + "…")],
)
def test_short_names(model: str, name: str) -> None:
    assert short_name(model) == name


def test_live_reads_until_ctrl_c_and_gives_the_last_board(monkeypatch: pytest.MonkeyPatch) -> None:
    boards = [empty(), board()]
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=30)
    shown = iter((None, KeyboardInterrupt()))

    def sleep(_: float) -> None:
        error = next(shown)
        if error:
            raise error

    monkeypatch.setattr(leaderboard_live, "time", SimpleNamespace(sleep=sleep))  # other threads may sleep as they like
    last = leaderboard_live.follow(lambda: boards.pop(0), console)
    assert last == board()
    assert "lenet5(epochs=8" in console.file.getvalue()  # type: ignore[attr-defined]
