"""What a search found, as terminal tables: who was tested, whether they can be told apart, and the board.

>>> from chipwise.core.contest import Contest
>>> isinstance(contest_table(Contest("digits", "", "accuracy", 1.0, 0, 2, "board.jsonl", ())), Group)
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from chipwise.views.grid import Fitted, cell, facts, grid, heading, line, muted
from chipwise.views.leaderboard_table import number_text, score_text
from chipwise.views.units import UNKNOWN, format_time, plain

if TYPE_CHECKING:
    from rich.console import RenderableType

    from chipwise.core.board import Field
    from chipwise.core.contest import Contest, Finalist

_MOST_ROWS = 12
_NOTE = (
    "validation: what contestants were chosen by; test: of the fit on training and validation samples, looked at once. "
    "Intervals are Wilson's, 95%. predict: an item. size: all that was learned, in bytes as it is saved."
)


def contest_table(record: Contest) -> Group:
    """Finalists, verdict, and the best of the board."""
    blocks: list[RenderableType] = [heading(f"{plain(record.data)}: {record.metric}, seed {record.seed}")]
    if record.finalists:
        priced = bool(record.rate)  # a price without its rate says nothing
        made = grid(">validation!", ">test!", ">fit!", ">predict!", ">size!", *([">price!"] if priced else []))
        for place, each in enumerate(record.finalists):
            made.add_row(*(cell(text, "bold" * (place == 0)) for text in _cells(each, priced=priced)))
        blocks += [Fitted(made, tuple(cell(plain(each.model)) for each in record.finalists))]
    if record.verdict:
        blocks += [line(plain(record.verdict))]
    if record.trials:
        blocks += [Text(), *_board(record)]
    blocks += [Text(), facts(_about(record)), muted(_NOTE)]
    blocks += [line(plain(each), "yellow") for each in record.notes]
    return Group(*blocks)


def _cells(each: Finalist, *, priced: bool) -> list[str]:
    fields: tuple[Field, ...] = ("fit_s", "predict_s_per_item", "size_bytes", *(("price_usd",) if priced else ()))
    if each.test is None:
        return [score_text(each.score), plain(each.reason), *[UNKNOWN] * len(fields)]
    numbers = [(field, getattr(each, field)) for field in fields]
    return [
        score_text(each.score),
        score_text(each.test),
        *(UNKNOWN if value is None else number_text(field, value) for field, value in numbers),
    ]


def _board(record: Contest) -> list[RenderableType]:
    """Those that had all training samples."""
    made = grid(">#", ">validation!", ">fit!", ">predict!", ">size!")
    shown = record.trials[:_MOST_ROWS]
    fields: tuple[Field, ...] = ("fit_s", "predict_s_per_item", "size_bytes")
    for place, trial in enumerate(shown, 1):
        values = [(field, getattr(trial, field)) for field in fields]
        numbers = (UNKNOWN if value is None else number_text(field, value) for field, value in values)
        made.add_row(cell(place), cell(score_text(trial.score)), *map(cell, numbers))
    left = len(record.trials) - len(shown)
    more: list[RenderableType] = [muted(f"and {left} more: chipwise leaderboard {record.ledger}")] if left else []
    return [heading("All training samples"), Fitted(made, tuple(cell(plain(trial.model)) for trial in shown)), *more]


def _about(record: Contest) -> list[tuple[str, str | Text]]:
    counts = ", ".join(f"{count} {state}" for state, count in sorted(record.counts.items())) or "none"
    about: list[tuple[str, str | Text]] = [
        ("trials", f"{counts}; {record.promoted} went on from a smaller rung"),
        ("took", f"{format_time(record.seconds)}, {record.jobs} at a time"),
        ("ledger", plain(record.ledger)),
    ]
    if record.rate:
        about.append(("price", plain(record.rate)))
    if record.over_limits:
        about.append(("limits", f"{record.over_limits} contestants break one"))
    if record.plan:
        about.append(("plan", plain(record.plan)))
    if not record.complete:
        about.append(("search", "interrupted: this is the board so far; nothing was tested"))
    return about
