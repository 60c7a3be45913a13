"""What of an opened plan is shown, and what is not."""

from __future__ import annotations

import io

from rich.console import Console

from chipwise.views.plan_sheet_table import PlanSheetTable

from . import sheet_samples


def text_of(table: PlanSheetTable) -> str:
    file = io.StringIO()
    Console(file=file, width=120, color_system=None).print(table)
    return file.getvalue()


def test_the_heaviest_come_first_unless_all_are_wanted() -> None:
    record = sheet_samples.plan_sheet()
    short, whole = text_of(PlanSheetTable(record)), text_of(PlanSheetTable(record, whole=True))
    assert short.index("\nc3 (Conv)") < short.index("\nfeatures/c1 (Conv +1)")
    assert whole.index("\nc3 (Conv)") > whole.index("\nfeatures/c1 (Conv +1)")
    assert "5 more layers: --all" in text_of(PlanSheetTable(sheet_samples.elsewhere()))
    assert "more layers" not in text_of(PlanSheetTable(sheet_samples.elsewhere(), whole=True))


def test_shares_of_peak_are_of_the_layers_own_format() -> None:
    record = sheet_samples.plan_sheet()
    conv = record.layers[2]
    assert record.peak_share_of(conv) == conv.flops / conv.time_s / record.peaks["fp32"]
    least = 2.61e5 / 1.2e12 + 3.06e5 / 3.1e11
    assert abs(record.peak_share - least / 24.6e-6) < 1e-12
    assert sheet_samples.elsewhere().peak_share is None
