"""What a search found: the contestants that were tested, whether they can be told apart, and all that was tried.

>>> Contest("digits", "", "accuracy", 60.0, 0, 2, "board.jsonl", ()).winner is None
True
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from chipwise.core.measure import PairedDrop
from chipwise.core.trial import Score, Trial


@dataclass(frozen=True, slots=True)
class Finalist:
    """A contestant that was fitted once more, on training and validation samples, and tested.

    Attributes:
        model: string.
        score: on the validation split, of the fit before.
        test: on the test split; None where it did not get that far.
        fit_s: wall time of this fit; predict_s_per_item: of predicting the test split.
        size_bytes: as it saves itself; price_usd: of this fit.
        trial: id of the row of this fit; reason: why there is no test.
    """

    model: str
    score: Score
    test: Score | None = None
    fit_s: float | None = None
    predict_s_per_item: float | None = None
    size_bytes: int | None = None
    price_usd: float | None = None
    trial: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Contest:
    """The outcome of a search.

    Attributes:
        data: name of the data; data_digest: of its content.
        metric: of the scores.
        seconds: wall time.
        seed: of everything random; jobs: trials at once.
        ledger: file with the rows.
        finalists: in the order of their validation scores, which is the order of the choice.
        trials: rows of contestants that had all samples and keep the limits, the best first.
        paired: the first two on the same test samples, the first as the source; None where there are not two.
        verdict: what that comes to, in words.
        counts: of rows by state; promoted: trials that got beyond their first rung.
        over_limits: contestants that were left out, as they are too slow, large or dear.
        notes: what else is to be known.
        complete: it was not interrupted.
        plan: that the winner was compiled into; empty for none.
        rate: what prices are reckoned at, and where that is from; empty where that is not known.
    """

    data: str
    data_digest: str
    metric: str
    seconds: float
    seed: int
    jobs: int
    ledger: str
    finalists: tuple[Finalist, ...]
    trials: tuple[Trial, ...] = ()
    paired: PairedDrop | None = None
    verdict: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    promoted: int = 0
    over_limits: int = 0
    notes: tuple[str, ...] = ()
    complete: bool = True
    plan: str = ""
    rate: str = ""
    schema: Literal["chipwise.search/1"] = "chipwise.search/1"

    @property
    def winner(self) -> Finalist | None:
        """The best on the validation split."""
        return self.finalists[0] if self.finalists else None
