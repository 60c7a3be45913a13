"""The board as terminal tables: trials in their order, claims with their verdicts, and what did not end.

>>> from chipwise.core.trial import Score
>>> score_text(Score(0.98612, 0.981, 0.9903, 6000)), score_text(Score(0.97369)), score_text(None)
('98.61% [98.10–99.03]', '97.369%', '-')
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from chipwise.views.grid import Fitted, cell, facts, grid, heading, line, muted
from chipwise.views.units import format_bytes, format_count, format_share, format_time, plain, significant

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from chipwise.core.board import BoardRow, Field, Leaderboard
    from chipwise.core.trial import Score, Trial

_MOST_OTHERS = 10
_LEAST_USD = 1e-5
_LONGEST = 300  # characters of a reason
_BELOW: tuple[Field, ...] = ("energy_j", "price_usd")  # not in columns, which leaves room for the others
HEADS: dict[Field, str] = {
    "score": "score",
    "test": "test",
    "fit_s": "fit",
    "predict_s_per_item": "predict",
    "size_bytes": "size",
    "energy_j": "energy",
    "price_usd": "price",
}
NAMES: dict[Field, str] = HEADS | {"fit_s": "time to fit", "predict_s_per_item": "time to predict an item"}
_VERDICT_STYLES = {"confirmed": "green", "refuted": "red", "not run": "yellow"}
_NOTE = (
    "score: on the validation split, test: on the test split, with 95% intervals (Wilson's, of shares). predict: an "
    "item. Energy and price are estimates, of fitting."
)


def leaderboard_table(record: Leaderboard) -> Group:
    """Everything on the board."""
    blocks: list[RenderableType] = [heading(title(record))]
    if record.rows:
        fields = columns_of(record)
        made = grid("#!", *(f">{HEADS[field]}!" for field in fields))
        shown = record.rows[: record.most]
        for row in shown:
            numbers = (cell(field_text(row.trial, field), "bold" * (row.rank == 1)) for field in fields)
            made.add_row(cell(place_of(row)), *numbers)
        left = len(record.rows) - len(shown)
        blocks += [Fitted(made, tuple(map(_model, shown)))]
        blocks += [muted(f"and {left} more")] if left else []
        blocks += [Text(), muted(note(record))]
    else:
        blocks.append(line("no trial has finished yet"))
    if record.claims:
        blocks += [Text(), heading("Claims"), *(_claim(each) for each in record.claims)]
    if record.others:
        left = len(record.others) - _MOST_OTHERS
        blocks += [Text(), heading("Without a score"), facts(map(_other, record.others[-_MOST_OTHERS:]))]
        blocks += [muted(f"and {left} more before these")] if left > 0 else []
    blocks += [line(each, "yellow") for each in record.notes]
    blocks += [line(record.page)] if record.page else []
    return Group(*blocks)


def title(record: Leaderboard) -> str:
    """What the board is of."""
    if not record.rows:
        return f"Leaderboard {plain(record.ledger)}"
    trials = "trial" if len(record.rows) == 1 else "trials"
    what = f"{plain(record.metric)}, {len(record.rows)} {trials}"
    return f"Leaderboard of {plain(record.data)}: {what}, by {NAMES[record.by]}"


def note(record: Leaderboard) -> str:
    """What the marks mean."""
    marks = []
    if any(row.tied for row in record.rows):
        marks.append("≈ not distinguishable from the first by these intervals.")
    if any(row.front for row in record.rows):
        marks.append(f"* nothing is better in {' and '.join(NAMES[field] for field in record.pareto)} at once.")
    return " ".join([*marks, _NOTE])


def columns_of(record: Leaderboard) -> list[Field]:
    """Columns in which anything is known."""
    return [
        field
        for field in HEADS
        if field not in _BELOW and any(field_text(row.trial, field) != "-" for row in record.rows)
    ]


def place_of(row: BoardRow) -> str:
    """The rank with its marks."""
    return f"{row.rank}{'≈' if row.tied else ''}{'*' if row.front else ''}"


def field_text(trial: Trial, field: Field) -> str:
    """A number with its unit; "-" where it is not known."""
    if field == "score" or field == "test":  # noqa: PLR1714  mypy narrows no other form
        return score_text(trial.score if field == "score" else trial.test)
    value: float | None = getattr(trial, field)
    return "-" if value is None else number_text(field, value)


def number_text(field: Field, value: float) -> str:
    """A number with the unit of its field."""
    return _UNITS[field](value)


def score_text(score: Score | None) -> str:
    """A score with its interval: of shares in per cent; what somebody only says with all of its digits."""
    if score is None:
        return "-"
    if not 0 <= score.value <= 1:
        return significant(score.value, 5)
    if score.low is None or score.high is None:
        return f"{100 * score.value:.5g}%"
    return f"{format_share(score.value)} [{100 * score.low:.2f}–{100 * score.high:.2f}]"


def details(trial: Trial) -> str:
    """What it cost, who, when, with which seed, on how much, and how many samples it was asked at last."""
    epochs, asked = trial.rung.epochs, trial.test or trial.score
    parts = [
        *(text for field in _BELOW if (text := field_text(trial, field)) != "-"),
        plain(trial.group),
        when_of(trial),
        f"seed {trial.seed}" if trial.state != "claimed" else "",
        f"on {format_share(trial.rung.share, 3 if trial.rung.share < 0.01 else 0)} of the data"
        if trial.rung.share < 1
        else "on training and validation data" * (trial.rung.share > 1),
        "" if epochs is None else f"{format_count(epochs)} epoch{'s' * (epochs != 1)}",
        "" if asked is None or asked.samples is None else f"{format_count(asked.samples)} samples asked",
    ]
    return ", ".join(part for part in parts if part)


def when_of(trial: Trial) -> str:
    """The minute, as it was written down."""
    date, letter, time = plain(trial.when).partition("T")
    return f"{date} {time[:5]}" if letter else date


def claim_facts(trial: Trial) -> list[tuple[str, str]]:
    """What somebody said of a model, and what became of it."""
    claim = trial.claim
    assert claim is not None, "a row that is claimed says what was said"
    said = [("claim", f"{score_text(trial.score)} by {who_said(trial)}")]
    if claim.verdict is not None:
        said.append(("verdict", verdict_text(trial)))
    if claim.flags:
        said.append(("flags", "; ".join(map(plain, claim.flags))))
    return said


def who_said(trial: Trial) -> str:
    """Who made a claim, when, and on which data set."""
    return ", ".join(part for part in (plain(trial.group) or "nobody named", when_of(trial), plain(trial.data)) if part)


def verdict_text(trial: Trial) -> str:
    """Confirmed or refuted, and by what."""
    claim = trial.claim
    if claim is None or claim.verdict is None:
        return "not verified"
    if claim.measured is None:
        return f"{claim.verdict}: {reason_of(trial)}"
    count = "" if claim.measured.samples is None else f" of {format_count(claim.measured.samples)} test samples"
    took = "" if trial.fit_s is None else f"; fit {format_time(trial.fit_s)}"
    if trial.predict_s_per_item is not None:
        took += f", predict {format_time(trial.predict_s_per_item)} an item"
    return f"{claim.verdict}: measured {score_text(claim.measured)}{count}, 99% interval{took}"


def reason_of(trial: Trial) -> str:
    """Why there is no score, on one line that is not too long."""
    reason = plain(trial.reason or "nobody said why")
    return reason if len(reason) <= _LONGEST else reason[: _LONGEST - 3] + "..."


def _model(row: BoardRow) -> Text:
    about = details(row.trial)
    return Text.assemble(cell(row.trial.model), (f"  {about}" if about else "", "dim"), overflow="fold")


def _claim(trial: Trial) -> RenderableType:
    verdict = (trial.claim and trial.claim.verdict) or "not run"
    named = {"claim": "", "flags": "yellow", "verdict": _VERDICT_STYLES[verdict]}
    pairs = [(name, cell(text, named[name])) for name, text in claim_facts(trial)]
    return Group(cell(trial.model, "bold"), facts((f"  {name}", text) for name, text in pairs))


def _other(trial: Trial) -> tuple[str, str]:
    return trial.state, f"{plain(trial.model)}: {reason_of(trial)}"


def _energy(value: float) -> str:
    return f"{significant(value / 1000)} kJ" if value >= 1000 else f"{significant(value)} J"


def _price(value: float) -> str:
    if value >= 0.1:
        return f"{significant(value, 2)} USD"
    return "<0.001 ct" if 0 < value < _LEAST_USD else f"{significant(value * 100, 2)} ct"


_UNITS: dict[str, Callable[[float], str]] = {
    "fit_s": format_time,
    "predict_s_per_item": format_time,
    "size_bytes": format_bytes,
    "energy_j": _energy,
    "price_usd": _price,
}
