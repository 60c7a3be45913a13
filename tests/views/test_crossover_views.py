"""A crossover drawn and said, beside the golden text of test_tables."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chipwise.core.estimate import Interval
from chipwise.views import tables
from chipwise.views.crossover_charts import crossover_chart
from chipwise.views.crossover_table import sentence

from .crossover_samples import crossover
from .test_tables import text_of


def test_the_picture_says_who_overtakes() -> None:
    drawn = crossover_chart(crossover(), ".svg").decode()
    assert "Example Card 3090 overtakes here from 61,000 parameters" in drawn
    assert "trainable parameters, logarithmic" in drawn
    assert crossover_chart(crossover(), ".png").startswith(b"\x89PNG")


def test_sentences_leave_out_what_does_not_show() -> None:
    at, always, never = crossover().crossings
    assert "moving the batch there 2%" in sentence(at)
    assert at.parts is not None
    assert "moving" not in sentence(replace(at, parts=replace(at.parts, transfer_s=0.0)))
    assert "Below, it loses by starting operations: 96%" in sentence(at)
    assert "beyond the intervals from 44,000 on" in sentence(always)
    assert "perhaps from 7,700,000 on" in sentence(never)
    assert sentence(replace(never, parts=None)).endswith("at the largest its step takes 1 min 39 s.")
    known = replace(at, parameters=Interval(1e4, 2e4, None))
    assert "(10,000 to more than was looked at)" in sentence(known)


@pytest.mark.parametrize("width", [40, 60, 80])
def test_nothing_is_cut_where_the_terminal_is_narrow(width: int) -> None:
    made = text_of(tables.table(crossover()), width)
    assert max(map(len, made.splitlines())) <= width
    assert "9,998,575" in made
    assert "does not fit" in made.replace("\n", " ")
