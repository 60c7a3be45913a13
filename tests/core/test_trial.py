"""A row of the board goes into JSON and out again, and equal trials have equal ids."""

from __future__ import annotations

import json

import pytest

from chipwise.codec.records import decode, encode
from chipwise.core.errors import InputError
from chipwise.core.trial import Claim, Rung, Score, Trial, identity

ID = identity("d1", "GaussianNB()", 3, Rung(0.5, 2))
ROW = Trial(
    id=ID, state="finished", data="digits", data_digest="d1", model="GaussianNB()",
    group="group 1", when="2026-11-30T10:00:00+00:00", seed=3, rung=Rung(0.5, 2),
    score=Score(0.9, 0.85, 0.93, 300), fit_s=0.1, versions={"scikit-learn": "1.7"},
    claim=Claim("score=0.9", ("no data set",), "confirmed", Score(0.9)),
)  # fmt: skip


def test_a_row_is_read_as_it_was_written() -> None:
    assert decode(encode(ROW), Trial, "row") == ROW
    assert encode(ROW).endswith(f'"state":"finished","id":"{ID}"}}'.encode()), "what is cut short has no id"


def test_equal_trials_have_one_id_and_others_another() -> None:
    assert identity("d1", "GaussianNB()", 3, Rung(0.5, 2)) == ID == "3098ef09df09916f", "ids in files stay"
    others = [
        identity("d2", "GaussianNB()", 3, Rung(0.5, 2)),
        identity("d1", "GaussianNB(var_smoothing=0.1)", 3, Rung(0.5, 2)),
        identity("d1", "GaussianNB()", 4, Rung(0.5, 2)),
        identity("d1", "GaussianNB()", 3, Rung(0.6, 2)),
        identity("d1", "GaussianNB()", 3, Rung(0.5)),
        identity("d1", "GaussianNB()", 3, Rung(0.5, 2), "balanced-accuracy"),
    ]
    assert len({ID, *others}) == 7


@pytest.mark.parametrize(("name", "value"), [("state", "won"), ("schema", "chipwise.trial/2"), ("fit_s", "1 s")])
def test_a_row_of_another_kind_is_refused(name: str, value: str) -> None:
    row = json.loads(encode(ROW)) | {name: value}
    with pytest.raises(InputError, match="row cannot be read"):
        decode(json.dumps(row).encode(), Trial, "row")
