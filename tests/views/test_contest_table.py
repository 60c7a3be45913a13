"""What a search found, in the terminal: prices stand beside what they were reckoned at, or not at all."""

from __future__ import annotations

from chipwise.core.contest import Contest, Finalist
from chipwise.core.trial import Score
from chipwise.views.contest_table import contest_table

from .test_tables import text_of


def shown(rate: str, test: Score | None) -> str:
    finalist = Finalist("GaussianNB()", Score(0.9), test, 1.0, 1e-6, 1000, 0.25, reason="" if test else "it crashed")
    held = Contest("digits", "", "accuracy", 60.0, 0, 2, "board.jsonl", (finalist,), rate=rate)
    return text_of(contest_table(held), 120)


def test_a_price_says_its_rate_or_is_not_shown() -> None:
    for test in (Score(0.91, 0.9, 0.92, 1000), None):
        with_rate = shown("0.04 USD for an hour of one thread, as was said", test)
        assert "0.04 USD for an hour" in with_rate
        assert "price" in with_rate
        assert "price" not in shown("", test)
