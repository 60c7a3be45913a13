"""Tables of number formats, beside the golden text of test_tables."""

from __future__ import annotations

from chipwise.codec.records import decode
from chipwise.core.format_report import FormatReport
from chipwise.views.as_json import as_json
from chipwise.views.tables import table

from . import format_samples
from .test_tables import text_of


def test_what_nobody_published_is_a_dash_and_no_number() -> None:
    row = next(line for line in text_of(table(FormatReport(format_samples.LINES)), 120).splitlines() if "log" in line)
    assert row.split()[-4:] == ["-"] * 4


def test_layers_are_shown_of_few_formats_and_only_where_range_was_lost() -> None:
    few = text_of(table(format_samples.two()), 120)
    assert "features.conv1" in few
    assert "linear 2" not in few
    many = text_of(table(format_samples.RECORDS["formats_many"]()), 120)
    assert "features.conv1" not in many
    assert "--only" in many


def test_json_decodes_into_the_same_answer() -> None:
    for name, make in format_samples.RECORDS.items():
        assert decode(as_json(make()).encode(), FormatReport, name) == make()
