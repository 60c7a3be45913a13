"""Costs are the published ones, and nothing is made up for formats that are not in the table."""

from __future__ import annotations

from chipwise.compression.number_formats import number_formats
from chipwise.compression.published_costs import cost_of
from chipwise.core.format_report import OperationCost


def test_published_figures() -> None:
    assert cost_of("fp32") == OperationCost(0.9e-12, 3.7e-12, 4184.0, 7700.0)
    assert cost_of("int8").multiply_um2 == 282.0


def test_what_nobody_published_is_unknown() -> None:
    unknown = {name for name in number_formats() if cost_of(name) == OperationCost()}
    assert {"bf16", "mxint8", "posit-8-1", "log-8-1-5-5-7", "fp8-e4m3"} <= unknown
