"""One row of the board: a model that was fitted, scored and timed, or that somebody says was.

>>> rung = Rung(share=1.0)
>>> identity("digest", "GaussianNB()", 0, rung) == identity("digest", "GaussianNB()", 0, rung)
True
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

State = Literal["finished", "failed", "refused", "claimed"]
Verdict = Literal["confirmed", "refuted", "not run"]


@dataclass(frozen=True, slots=True)
class Score:
    """A score and what is known about its uncertainty.

    Attributes:
        value: higher is better; of "accuracy" a share, 0..1.
        low, high: 95% interval (Wilson's, of a share); None where nobody said.
        samples: that it was counted on; None where nobody said.
    """

    value: float
    low: float | None = None
    high: float | None = None
    samples: int | None = None


@dataclass(frozen=True, slots=True)
class Rung:
    """How much a trial was given.

    Attributes:
        share: of the training split that it learned from, 0..1; above 1 where validation samples were learned too.
        epochs: over these; None for models that have none.
    """

    share: float = 1.0
    epochs: int | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """What somebody said about a model, and what became of it.

    Attributes:
        text: as it was said.
        flags: what is wrong with it, a few words each.
        verdict: of a second run; None before there was one.
        measured: the score of that run, with its 99% interval; None where there is none.
        trial: id of the row of that run; empty where there is none.
    """

    text: str
    flags: tuple[str, ...] = ()
    verdict: Verdict | None = None
    measured: Score | None = None
    trial: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One row of the board.

    Attributes:
        data: name of the data set, as it was typed; data_digest: of its content, empty where it is not known.
        model: as `model_string.canonical` writes it.
        group: who; when: ISO 8601 with the zone, UTC; empty where nobody said.
        seed: of every random choice.
        rung: how much it was given.
        metric: what the scores are.
        score: on the validation split; test: on the test split. None where it was not looked at.
        fit_s: wall time of fitting; predict_s_per_item: of predicting, over the number of samples.
        size_bytes: of the fitted model in a file.
        energy_j, price_usd: of fitting, both estimates.
        reason: why it failed or was refused; None where it did not.
        host: the processor; cores: that the trial had.
        versions: of the libraries that it was made with.
        claim: what was said, in rows that are "claimed".
        state: "finished"; "failed": it crashed or took too much; "refused": not begun; "claimed": somebody says so.
        id: as `identity` makes it; rows of one id are the same trial. Last in a line: what a line cut short has not.
    """

    data: str
    data_digest: str
    model: str
    group: str = ""
    when: str = ""
    seed: int = 0
    rung: Rung = field(default_factory=Rung)
    metric: str = "accuracy"
    score: Score | None = None
    test: Score | None = None
    fit_s: float | None = None
    predict_s_per_item: float | None = None
    size_bytes: int | None = None
    energy_j: float | None = None
    price_usd: float | None = None
    reason: str | None = None
    host: str = ""
    cores: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    claim: Claim | None = None
    schema: Literal["chipwise.trial/1"] = "chipwise.trial/1"
    state: State
    id: str


def identity(data: str, model: str, seed: int, rung: Rung, metric: str = "accuracy") -> str:
    """The id of a trial: equal ones are the same trial; 16 hex digits.

    Args:
        data: digest of the data set; its name where there is none.
        model: canonical model string.
        seed: of every random choice.
        rung: how much it is given.
        metric: what its score is.
    """
    other = () if metric == "accuracy" else (metric,)  # ids from before there were others stay
    said = "\n".join((data, model, str(seed), f"{rung.share:.9g}", str(rung.epochs), *other))
    return hashlib.sha256(said.encode()).hexdigest()[:16]
