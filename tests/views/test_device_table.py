"""Tables of hardware, beside the golden text of test_tables: what is left out, and what is never told as 0."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chipwise.codec.records import decode
from chipwise.core.report import Hardware
from chipwise.views.as_json import as_json
from chipwise.views.tables import table

from . import device_samples
from .test_tables import text_of


@pytest.mark.parametrize("width", [40, 50, 60, 79])
def test_narrow_terminals_leave_columns_out_but_no_device(width: int) -> None:
    made = text_of(table(device_samples.RECORDS["devices"]()), width).splitlines()
    assert sum(line.startswith("Examp") for line in made) >= 4
    facts = [line.split()[-2:] for line in made if line.endswith("184     51.6")]
    assert facts == [["184", "51.6"]]


def test_the_format_asked_for_is_always_listed() -> None:
    for precision in ("fp64", "bf16", "int8"):
        lines = device_samples.lines(device_samples.NEW, precision=precision)
        assert precision in text_of(table(Hardware("list", lines, precision=precision)), 80).splitlines()[0].split()


def test_what_is_not_known_is_never_zero() -> None:
    bare = replace(device_samples.CPU, peak_flops={}, bandwidth_bytes_s=None, year=None)
    shown = text_of(table(Hardware("list", device_samples.lines(bare))), 120).splitlines()[3]
    assert shown.split() == ["Example", "C-64", *["-"] * 12]
    facts = text_of(table(Hardware("sheet", device_samples.lines(bare))), 80)
    assert " 0" not in facts


def test_every_source_of_a_sheet_is_told_once_and_numbered() -> None:
    shown = text_of(table(device_samples.RECORDS["device_sheet"]()), 120)
    assert shown.count(device_samples.SHEET) == 2  # as a source of facts, and of the misprint
    assert shown.count(device_samples.SHOP) == 1
    assert "450 W [1]" in shown
    assert "[1]  Example data sheet" in shown


def test_a_line_tells_the_same_as_json_gives() -> None:
    text = as_json(device_samples.RECORDS["device_comparison"]())
    assert '"schema": "chipwise.devices/1"' in text
    assert '"flops_per_watt": 40000000000.0' in text


@pytest.mark.parametrize("name", device_samples.RECORDS)
def test_json_decodes_into_the_same_answer(name: str) -> None:
    record = device_samples.RECORDS[name]()
    assert decode(as_json(record).encode(), Hardware, name) == record


def test_a_terminal_without_unicode_can_show_everything() -> None:
    text = "".join(text_of(table(make()), 120) for make in device_samples.RECORDS.values())
    assert set(text) - set(map(chr, range(128))) <= set("─×–µ")


def test_names_are_neither_markup_nor_terminal_commands() -> None:
    wild = replace(device_samples.OLD, name="[red]x[/red]\x1b[2J")
    for view in ("list", "sheet", "comparison"):
        made = text_of(
            table(Hardware(view, device_samples.lines(wild, device_samples.NEW)[: 2 - (view == "sheet")])), 120
        )
        assert "[red]x[/red]" in made
        assert "\x1b" not in made


def test_the_footer_counts_what_is_ranked_and_names_what_has_no_room() -> None:
    ranked = Hardware("list", device_samples.lines(device_samples.NEW, device_samples.CPU), sort="price")
    shown = text_of(table(ranked), 60)
    assert "USD" in shown.splitlines()[1].split(), "what it is sorted by is a column"
    footer = " ".join(shown.partition("2 entries; ")[2].split())
    said = "1 ranked, of the other 1 no price is known; no room here for GB/s, year, GiB, int8 (a wider"
    assert footer.startswith(said)
    wide = " ".join(text_of(table(replace(ranked, sort="name")), 140).split())
    assert "ranked" not in wide
    assert "no room" not in wide


def test_headings_have_units_and_names_lose_the_family_before_they_wrap() -> None:
    card = replace(device_samples.NEW, name="GeForce GTX 1234")
    shown = text_of(table(Hardware("list", device_samples.lines(card))), 80).splitlines()
    assert shown[1].split().count("TFLOP/s") == 2
    assert shown[3].startswith("GTX 1234  ")
    assert "GeForce GTX 1234" in text_of(table(Hardware("list", device_samples.lines(card))), 120)
