"""Answers of `formats` for golden tables: the list, the gates, and a network under two formats and under six."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from chipwise.core.format_report import (
    Circuit,
    FormatLine,
    FormatReport,
    FormatScore,
    LayerRounding,
    OperationCost,
    Rounded,
)
from chipwise.core.measure import Accuracy, PairedDrop

_COST = OperationCost(0.9e-12, 3.7e-12, 4184.0, 7700.0)
LINES = (
    FormatLine("fp32", "fp32", "float", 32, 3.4e38, 1.4e-45, 2.0**-24, 83.0, "fp32", "none", _COST),
    FormatLine("mxfp4", "MXfp4 e2m1", "block", 4.25, 6.0, 0.5, 0.25, 1.1, "fp32", "none", OperationCost()),
    FormatLine("int8", "int8", "integer", 8, 127.0, 1.0, 0.5, 2.1, "int32", "max-abs", OperationCost(3e-14, 2e-13)),
    FormatLine("log", "log (8,1,5,5,7)", "log", 8, 4096.0, 2.0**-12, 0.0219, 7.2, "elma", "none", OperationCost()),
)
CIRCUITS = (
    Circuit("NAND", 1, 1, 1),
    Circuit("full adder", 1, 9, 6),
    Circuit("adder", 8, 68, 18, "int8", 36.0),
    Circuit("multiplier", 8, 600, 68, "int8; significands of bf16", 282.0),
    Circuit("multiplier", 24, 6024, 228, "significands of fp32"),
)
SOURCE = Accuracy(91, 100, 0.8377, 0.9519)
LAYERS = (
    LayerRounding("features.conv1", Rounded(150, 0, 3), Rounded(78400, 0, 12), Rounded(57600, 900, 1)),
    LayerRounding("linear 2", Rounded(1000, 0, 0), Rounded(4000, 1, 0), Rounded(0, 0, 0)),
)


def score(title: str, correct: int, *, lost: int, won: int, p_value: float) -> FormatScore:
    accuracy = Accuracy(correct, 100, correct / 100 - 0.05, correct / 100 + 0.04)
    drop = PairedDrop(SOURCE, accuracy, lost, won, (lost - won) / 100, 0.1, 0, p_value)
    return FormatScore(title, title, accuracy, drop, LAYERS, 1.5)


def scored(*scores: FormatScore) -> FormatReport:
    return FormatReport(LINES, (), "lenet5", "digits", SOURCE, scores)


def two() -> FormatReport:
    good = score("int8", 92, lost=1, won=2, p_value=1.0)
    return scored(good, score("posit (8,0)", 40, lost=52, won=1, p_value=1e-9))


RECORDS: dict[str, Callable[[], FormatReport]] = {
    "formats": lambda: FormatReport(LINES, picture="values.svg"),
    "formats_gates": lambda: FormatReport(LINES, CIRCUITS),
    "formats_scores": two,
    "formats_scores_gates": lambda: replace(two(), circuits=CIRCUITS),
    "formats_many": lambda: scored(*[score(f"format {place}", 91, lost=0, won=0, p_value=1.0) for place in range(6)]),
}
