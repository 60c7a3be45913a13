"""What `leaderboard` answers: trials in their order, claims with what became of them, and what did not end.

>>> HIGHER
('score', 'test')
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from chipwise.core.trial import Score, Trial

Field = Literal["score", "test", "fit_s", "predict_s_per_item", "size_bytes", "energy_j", "price_usd"]
FIELDS: tuple[Field, ...] = get_args(Field)
HIGHER: tuple[Field, ...] = ("score", "test")  # of all others less is better


@dataclass(frozen=True, slots=True)
class BoardRow:
    """One trial in its place.

    Attributes:
        rank: from 1.
        trial: with all that is known about it.
        tied: its score cannot be told from that of the first, by their intervals.
        front: no other row is better in one of the board's `pareto` fields and as good in the other.
    """

    rank: int
    trial: Trial
    tied: bool = False
    front: bool = False


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """Answer of `leaderboard`.

    Attributes:
        ledger: path of the file.
        data: name of the data set that the ranked rows are of; empty where there are none.
        metric: what their scores are.
        by: the field that ranks them.
        pareto: the two fields of the front.
        rows: what finished, the best first, of each model and seed the row that was given most.
        claims: what others say.
        others: what failed or was refused.
        notes: what else to know, a sentence each.
        page: a picture or page that was written; None where none was.
        most: rows that a terminal shows; None for all.
    """

    ledger: str
    data: str
    metric: str
    by: Field
    pareto: tuple[Field, Field]
    rows: tuple[BoardRow, ...]
    claims: tuple[Trial, ...] = ()
    others: tuple[Trial, ...] = ()
    notes: tuple[str, ...] = ()
    page: str | None = None
    most: int | None = None
    schema: str = "chipwise.leaderboard/1"


def judged(trial: Trial, by: Field) -> Score | None:
    """The score by which a trial is judged: that of the validation split, else of the test split.

    Args:
        trial: any.
        by: "test" to look at nothing but the test split.
    """
    return trial.test if by == "test" or trial.score is None else trial.score


def value_of(trial: Trial, field: Field) -> float | None:
    """The number in a field; None where it is not known."""
    if field in HIGHER:
        score = judged(trial, field)
        return None if score is None else score.value
    found: float | None = getattr(trial, field)
    return found
