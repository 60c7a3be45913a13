"""Every record's table, compared with golden text at two widths. CHIPWISE_UPDATE_GOLDEN=1 rewrites the files."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from chipwise.core.epoch import Scaling
from chipwise.views import tables

from . import (
    array_samples,
    board_samples,
    compression_samples,
    crossover_samples,
    curve_samples,
    device_samples,
    estimate_samples,
    fixed_samples,
    format_samples,
    proof_samples,
    samples,
    sheet_samples,
    training_memory_samples,
    tuning_samples,
)

GOLDEN = Path(__file__).parent.parent / "golden"
RECORDS = {
    **samples.RECORDS,
    **estimate_samples.RECORDS,
    **device_samples.RECORDS,
    **sheet_samples.RECORDS,
    **format_samples.RECORDS,
    **fixed_samples.RECORDS,
    **compression_samples.RECORDS,
    **board_samples.RECORDS,
    **curve_samples.RECORDS,
    **proof_samples.RECORDS,
    **training_memory_samples.RECORDS,
    **tuning_samples.RECORDS,
    **array_samples.RECORDS,
    **crossover_samples.RECORDS,
}


def text_of(renderable: RenderableType, width: int) -> str:
    file = io.StringIO()
    Console(file=file, width=width, color_system=None, highlight=False, legacy_windows=False).print(renderable)
    return "".join(line.rstrip() + "\n" for line in file.getvalue().splitlines())


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", RECORDS)
def test_golden(name: str, width: int) -> None:
    made = text_of(tables.table(RECORDS[name]()), width)
    assert max(map(len, made.splitlines())) <= width
    path = GOLDEN / f"{name}_{width}.txt"
    if os.environ.get("CHIPWISE_UPDATE_GOLDEN"):
        path.write_text(made, encoding="utf-8")
    assert made == path.read_text(encoding="utf-8")


def test_every_value_of_a_layer_is_shown() -> None:
    made = text_of(tables.inspection(samples.inspection()), 80)
    assert "1 multiply-add = 2 FLOPs" in made
    assert "48,120" in made
    assert "60,840" in made


def test_unknown_operators_make_totals_lower_bounds() -> None:
    made = text_of(tables.inspection(samples.unknown_inspection()), 120)
    assert "≥ 104 MFLOP" in made
    assert "NonMaxSuppressionPlus: FLOPs are at least" in made


def test_names_are_neither_markup_nor_terminal_commands() -> None:
    row = replace(samples.inspection().layers[0], name="[red]x[/red]\x1b[2J")
    made = text_of(tables.inspection(replace(samples.inspection(), layers=(row,))), 120)
    assert "[red]x[/red]" in made
    assert "\x1b" not in made


def test_inside_the_noise_no_speedup_is_claimed() -> None:
    made = text_of(tables.bench(samples.bench()), 120)
    assert "1.03× [0.99–1.06] same within noise" in made
    assert "2.08× [2.01–2.14] faster" in made


def test_fit_ends_in_five_lines() -> None:
    assert len(text_of(tables.fit(samples.fit()), 80).splitlines()) == 5


def test_run_prints_shares_with_labels() -> None:
    assert "64.68%: mountain bike" in text_of(tables.run(samples.run()), 80)


def test_absent_parts_are_said() -> None:
    plan = replace(samples.manifest(), speedup=None, passes=(), candidates=(), complete=False)
    made = text_of(tables.manifest(plan), 120)
    assert "not measured" in made
    assert "best so far" in made
    scaled = replace(samples.training().history[-1], scaling=Scaling(scale=32768.0, skipped=1, steady=12))
    told = text_of(tables.training(replace(samples.training(), history=(scaled,))), 80)
    assert "32,768 at the end; 1 of 16 steps overflowed and were left out" in told
    assert "no test split" in text_of(tables.training(replace(samples.training(), test=None)), 80)


def test_tables_load_no_heavy_library() -> None:
    code = (
        "import sys, chipwise.views.answers, chipwise.views.as_json;"
        "print([m for m in ('matplotlib', 'numpy', 'jinja2', 'torch', 'onnx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
