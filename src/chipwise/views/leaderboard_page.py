"""The board as one page: the order, the front drawn, claims with their verdicts, and what did not end.

>>> from chipwise.core.board import Leaderboard
>>> "no trial has finished yet" in leaderboard_html(Leaderboard("b", "", "accuracy", "score", ("score", "fit_s"), ()))
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from chipwise.core.board import HIGHER, judged
from chipwise.views.leaderboard_charts import drawable, pareto_chart
from chipwise.views.leaderboard_table import (
    HEADS,
    NAMES,
    columns_of,
    details,
    field_text,
    note,
    place_of,
    reason_of,
    score_text,
    title,
    verdict_text,
    who_said,
)
from chipwise.views.picture_page import Section, page_of, safe
from chipwise.views.units import plain

if TYPE_CHECKING:
    from chipwise.core.board import Leaderboard

_MODEL = "model"


def leaderboard_html(record: Leaderboard) -> str:
    """One page, without script or request."""
    sections = [_order(record)] if record.rows else []
    if len(drawable(record.rows, record.pareto)) > 1:
        first, second = (NAMES[field] for field in record.pareto)
        caption = f"Bars: 95% intervals. On the front nothing is better in {first} and {second} at once."
        drawn = safe(pareto_chart(record.rows, record.pareto))
        sections.append(Section(f"{first[0].upper()}{first[1:]} against {second}", drawing=drawn, caption=caption))
    if record.claims:
        sections.append(_claims(record))
    if record.others:
        rows = tuple((plain(each.model), each.state, reason_of(each)) for each in record.others)
        columns = (_MODEL, "state", "reason")
        sections.append(Section("Without a score", columns=columns, rows=rows, wordy=frozenset(columns)))
    if record.notes:
        sections.append(Section("Notes", facts=tuple(("note", plain(each)) for each in record.notes)))
    return page_of(title(record), _says(record), sections)


def _order(record: Leaderboard) -> Section:
    fields = columns_of(record)
    columns = ("#", _MODEL, *(HEADS[field] for field in fields))
    rows = tuple(
        (
            place_of(row),
            _with_small(row.trial.model, details(row.trial)),
            *(_bounds_below(field_text(row.trial, field)) for field in fields),
        )
        for row in record.rows
    )
    return Section("The order", note(record), columns=columns, rows=rows, wordy=frozenset((_MODEL,)))


def _claims(record: Leaderboard) -> Section:
    rows = tuple(
        (
            _with_small(each.model, who_said(each)),
            score_text(each.score),
            _with_small(verdict_text(each), "; ".join(map(plain, each.claim.flags)) if each.claim else ""),
        )
        for each in record.claims
    )
    columns = (_MODEL, "claimed", "verdict")
    text = "What others say, what a second run made of it, and what is wrong with it."
    return Section("Claims", text, columns=columns, rows=rows, wordy=frozenset(columns[2:]))


def _with_small(text: str, below: str) -> Markup:
    """A cell with a lesser line under it."""
    return Markup("{}<small>{}</small>").format(plain(text), below)


def _bounds_below(text: str) -> str:
    value, space, bounds = text.partition(" [")
    return _with_small(value, f"[{bounds}") if space else value


def _says(record: Leaderboard) -> str:
    """The first line of the page: who leads."""
    if not record.rows:
        return "no trial has finished yet"
    first = record.rows[0].trial
    tied = sum(row.tied for row in record.rows)
    others = f"; {tied} more cannot be told from it" if tied else ""
    led = score_text(judged(first, record.by)) if record.by in HIGHER else field_text(first, record.by)
    return f"{plain(first.model)} leads with {led}{others}."
