"""Pictures of compressions: valid, small, honest about what they leave out; pages that ask for nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from chipwise.codec.records import decode
from chipwise.core.compression import Compression, Histogram
from chipwise.core.sensitivity import Sensitivity
from chipwise.views import compression_charts, sensitivity_charts
from chipwise.views.as_json import as_json
from chipwise.views.picture_page import compression_html, sensitivity_html
from chipwise.views.tables import table

from . import compression_samples as samples
from .test_charts import words
from .test_tables import text_of

MOST_BYTES = 60_000
CHARTS: dict[str, Callable[[str], str]] = {
    "weights": lambda suffix: compression_charts.weight_stages(samples.weights(), suffix),
    "values": lambda suffix: compression_charts.value_histograms(samples.weights(), suffix),
    "run": lambda suffix: compression_charts.run_curves(samples.stages(), 0.98, suffix),
    "sensitivity": lambda suffix: sensitivity_charts.curves(samples.sensitivity(), suffix),
}


@pytest.mark.parametrize("name", CHARTS)
def test_files_are_valid_small_and_the_same_every_time(name: str) -> None:
    made, inside = CHARTS[name](".svg"), CHARTS[name]("")
    assert made == CHARTS[name](".svg")
    assert len(made) < MOST_BYTES
    assert ET.fromstring(inside).get("aria-label")
    assert "var(--" in made
    assert "prefers-color-scheme" in made
    assert "prefers-color-scheme" not in inside, "the page decides"


def test_weights_say_layers_moments_and_zeros() -> None:
    made = words(CHARTS["weights"](""))
    for said in ("before pruning", "after pruning", "after retraining", "conv1.weight", "ip2.weight"):
        assert said in made
    zeros = samples.weights()[2].trained.zeros
    assert f"{zeros / 4000:.1f}% are 0" in made
    bare = replace(samples.weights()[0], masked=None)
    assert "not pruned" in words(compression_charts.weight_stages((bare,)))


def test_values_are_counted() -> None:
    assert words(CHARTS["values"]("")).count("14 values") == len(samples.LAYERS)


def test_of_many_layers_the_largest_are_drawn_in_their_order() -> None:
    rows = [replace(samples.weights()[place % 4], name=f"layer{place}") for place in range(20)]
    drawn = compression_charts.drawn_layers(rows)
    assert len(drawn) == compression_charts.MOST_LAYERS
    assert [row.name for row in drawn] == [row.name for row in rows if row in drawn]
    assert all(f"layer{place}" in [row.name for row in drawn] for place in (2, 6, 10, 14, 18))
    thin = [replace(row, before=Histogram((1,), 9), masked=None, trained=Histogram((1,), 9)) for row in rows]
    few = replace(samples.compression(), weights=tuple(thin), stages=())
    assert "The 16 largest of 20 layers" in compression_html(few)


def test_the_run_says_what_was_kept() -> None:
    made = words(CHARTS["run"](""))
    assert "dashed: before, 98.00%" in made
    assert f"large dot: kept, {samples.stages()[0].accuracy:.2%}" in made
    assert made.count("prune") == made.count("round") == 1


def test_of_many_layers_those_that_lose_most_are_named() -> None:
    many = samples.sensitivity(30)
    made = words(sensitivity_charts.curves(many))
    assert "24 others" in made
    assert "stage0.block.conv.weight" in made
    assert "stage29.block" not in made
    assert "5,000" in text_of(table(many), 80), "samples that the split has are said"


def test_pages_are_self_contained_and_escaped() -> None:
    record = replace(samples.compression(), network="<script>net</script>")
    page = compression_html(record)
    assert "<script" not in page
    assert page.count("<svg") == 3
    assert "16.5 KiB, 102.0 times smaller than 1.64 MiB" in page
    assert "steps, bits by layer" in page
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    small = compression_html(replace(record, weights=(), stages=()))
    assert "<svg" not in small
    found = sensitivity_html(samples.sensitivity())
    assert found.count("<svg") == 1
    assert found.count("<table>") == 3


@pytest.mark.parametrize(("name", "kind"), [("compression", Compression), ("sensitivity", Sensitivity)])
def test_json_decodes_into_the_same_answer(name: str, kind: type) -> None:
    record = samples.RECORDS[name]()
    assert decode(as_json(record).encode(), kind, name) == record


@pytest.mark.runtime
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_pages_fit_their_screen(opened: Any, tmp_path: Path, width: int, scheme: str) -> None:
    for name, page in (
        ("compression", compression_html(samples.compression())),
        ("sensitivity", sensitivity_html(samples.sensitivity())),
    ):
        path = tmp_path / f"{name}.html"
        path.write_text(page, encoding="utf-8")
        with opened(path, width, scheme) as shown:
            assert shown.locator("h2").count() >= 4
