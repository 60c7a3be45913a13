"""Messages and rows of others are read with their flaws, and nothing in them breaks the reader."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chipwise.codec.records import encode
from chipwise.core.errors import InputError
from chipwise.core.trial import Claim, Rung, Score, Trial, identity
from chipwise.searching.claims import read_claims, same_data

# As a class of 28 groups posted them.
BOARD = """\
12/10 11:13> "ITMALGrp17: best: dat mnist, score=0.97206, model=KNeighborsClassifier(leaf_size=40, p=4)"
08/10 22:56> "ITMALGrp09: dat=mnist, score=0.96973, model=KNeighborsClassifier(leaf_size=10, n_neighbors=3, weights='distance')"
08/10 22:04> "ITMALGrp09: dat=mnist, score=0.93550, model=KNeighborsClassifier(leaf_size=10, n_neighbors=3, weights='distance')"
08/10 10:02> "08/10 10:01 Is from 'ITMALGrp28'"
08/10 10:01> "best: dat=mnist, score=0.97369, model=KNeighborsClassifier(algorithm='ball_tree', n_neighbors=4, weights='distance')"
08/10 08:53> "ITMALGrp17: dat=mnist, score=0.47090, model=KNeighborsClassifier(n_neighbors=3, p=2, n_jobs=1), score=0.97206"
07/10 21:43> "ITMALGrp25: KNeighborsClassifier(n_jobs=None, n_neighbors=5, weights='uniform'), score=0.96771<2857142857"

29/09 13:40> "ITMALGrp05: dat=mnist , score=0.97257, model=KNeighborsClassifier(n_neighbors=4,p=2,weights='distance')"
24/09 13:55> "ITMALGrp02: dat=mnist, score=0.96810, model=RandomForestClassifier(n_estimators=1000)*
"""  # noqa: E501  as they were
READ = [
    ("ITMALGrp17", "mnist", 0.97206, "KNeighborsClassifier(leaf_size=40, p=4)",
     ("'dat mnist' without '='",
      "the same group says this score of KNeighborsClassifier(n_jobs=1, n_neighbors=3, p=2)")),
    ("ITMALGrp09", "mnist", 0.96973, "KNeighborsClassifier(leaf_size=10, n_neighbors=3, weights='distance')",
     ("the same group says 0.9355 of this model",)),
    ("ITMALGrp09", "mnist", 0.9355, "KNeighborsClassifier(leaf_size=10, n_neighbors=3, weights='distance')",
     ("the same group says 0.96973 of this model",)),
    ("ITMALGrp28", "mnist", 0.97369, "KNeighborsClassifier(algorithm='ball_tree', n_neighbors=4, weights='distance')",
     ()),
    ("ITMALGrp17", "mnist", 0.97206, "KNeighborsClassifier(n_jobs=1, n_neighbors=3, p=2)",
     ("score given 2 times: 0.4709, 0.97206; the last one counts",
      "the same group says this score of KNeighborsClassifier(leaf_size=40, p=4)")),
    ("ITMALGrp25", "", 0.96771, "KNeighborsClassifier(n_jobs=None, n_neighbors=5, weights='uniform')",
     ("mangled number '0.96771<2857142857', read as 0.96771", "no data set is named")),
    ("ITMALGrp05", "mnist", 0.97257, "KNeighborsClassifier(n_neighbors=4, p=2, weights='distance')", ()),
    ("ITMALGrp02", "mnist", 0.9681, "RandomForestClassifier(n_estimators=1000)", ("more than a message has: '*'",)),
]  # fmt: skip


def test_a_real_board_with_all_its_flaws() -> None:
    found = read_claims(BOARD)
    assert not found.notes
    said = [
        (each.group, each.data, each.score.value, each.model, each.claim.flags)
        for each in found.claims
        if each.score is not None and each.claim is not None
    ]
    assert said == READ
    assert {each.state for each in found.claims} == {"claimed"}
    assert [each.when for each in found.claims][:2] == ["12/10 11:13", "08/10 22:56"]
    assert found.claims[0].claim is not None
    assert found.claims[0].claim.text == BOARD.splitlines()[0]


@pytest.mark.parametrize(
    ("line", "flag"),
    [
        ("score=0.9, dat=mnist, model=SVC(C=__import__('os'))", "the model cannot be read: '__import__' is no name"),
        ("score=0.9, dat=mnist, model=SVC(C=1", "the model has no end"),
        ("score=97.2, dat=mnist, model=SVC()", "no share from 0 to 1"),
        ("score=.9.1, dat=mnist, model=SVC()", "mangled number '.9.1', read as .9"),
        ("score=0.9, dat=mnist, model=SVC(), see my notebook", "more than a message has: 'see my notebook'"),
        ("score=high, score=0.9, dat=mnist, model=SVC()", "no number: 'high'"),
    ],
)
def test_flaws(line: str, flag: str) -> None:
    claim = read_claims(line).claims[0].claim
    assert claim is not None
    assert any(flag in each for each in claim.flags), claim.flags


def test_what_is_no_claim_is_told() -> None:
    found = read_claims("Training time?\nscore=0.9\n{}\ndat=mnist, score=0.9, model=SVC()\n01/01 10:00 Is from 'X'\n")
    assert len(found.claims) == 1
    assert found.notes == (
        "line 1 was left out: it has no score",
        "line 2 was left out: it has no model",
        "line 3 was left out: it is no whole row",
        "the message of 01/01 10:00 is not there",
    )
    with pytest.raises(InputError, match="not one claim"):
        read_claims("Training time?")


def test_a_score_without_end_is_left_out() -> None:
    claim = read_claims("dat=mnist, score=1e999, score=0.9, model=GaussianNB()").claims[0]
    assert claim.claim is not None
    assert claim.claim.flags == ("a number without end: '1e999'",)
    assert claim.score == Score(0.9)
    with pytest.raises(InputError, match="not one claim"):
        read_claims("dat=mnist, score=1e999, model=GaussianNB()")


def test_a_group_is_taken_from_outside_only_where_nobody_is_named() -> None:
    found = read_claims("score=0.9, model=SVC()\nB: score=0.8, model=SVC()", group="A")
    assert [each.group for each in found.claims] == ["A", "B"]


def test_rows_of_another_ledger_become_claims_and_their_verdicts_count_for_nothing() -> None:
    name = identity("d", "SVC()", 3, Rung(0.5))
    row = Trial(
        data="mnist", data_digest="d", model="SVC()", group="A", seed=3, rung=Rung(0.5), score=Score(0.9), fit_s=2.0,
        state="finished", id=name,
    )  # fmt: skip
    said = replace(row, state="claimed", claim=Claim("so it is", ("odd",), "confirmed", Score(0.9), "x"))
    tested = replace(row, group="B", test=Score(0.8, 0.7, 0.9, 100))
    failed = replace(row, state="failed", reason="killed")
    text = b"\n".join(map(encode, (row, said, tested, failed))).decode()
    found = read_claims(text)
    assert [(each.state, each.score and each.score.value) for each in found.claims] == [
        ("claimed", 0.9), ("claimed", 0.9), ("claimed", 0.8),
    ]  # fmt: skip
    assert found.claims[0].claim == Claim("a row of another ledger", ("a score of a validation split",))
    assert found.claims[0].fit_s == 2.0
    assert found.claims[1].claim == Claim("so it is", ("odd",))
    assert found.notes == ("line 4 was left out: a row that is failed claims no score",)


@settings(deadline=None)
@given(st.text(max_size=300) | st.text("score=0.9model(),dat '\"<>[]{}\\\n", max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = read_claims(text)
    except InputError:
        return
    for each in found.claims:
        assert json.loads(encode(each))["state"] == "claimed"


@pytest.mark.parametrize(
    ("claimed", "given_", "same"),
    [("mnist", "idx:data/mnist/", True), ("", "digits", True), ("mnist", "fashion-mnist", False),
     ("MNIST", "mnist", True), ("idx:a/mnist", "idx:b/mnist", True), ("digits", "mnist", False)],
)  # fmt: skip
def test_names_of_data(claimed: str, given_: str, same: bool) -> None:
    assert same_data(claimed, given_) is same
