"""The picture of a race of array libraries says where each pays."""

from __future__ import annotations

from dataclasses import replace

from chipwise.views.array_charts import array_times

from .array_samples import race


def test_the_picture_tells_where_libraries_pay() -> None:
    drawn = array_times(race(), ".svg").decode()
    assert "matmul: torch is faster from 100000" in drawn
    assert "torch on cuda, moved" in drawn
    assert array_times(race(), ".png").startswith(b"\x89PNG")


def test_what_was_not_timed_has_no_panel() -> None:
    rows = tuple(replace(row, timing=None, speedup=None) for row in race().rows if row.operation == "matmul")
    kept = tuple(row for row in race().rows if row.operation == "slice")
    drawn = array_times(replace(race(), rows=(*kept, *rows), turns=()), ".svg").decode()
    assert ">slice<" in drawn
    assert ">matmul<" not in drawn
