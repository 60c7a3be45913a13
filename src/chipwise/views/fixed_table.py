"""A network in fixed point as a terminal table: where each radix point stands and what it costs, then the proof.

>>> from chipwise.core.fixed_point import FixedTensor
>>> [each.plain for each in cells(FixedTensor("x", "activations", 0.0, 1.5, 8, False, (7,), 0.0, 48.13))]
['x', 'activations', '0', '1.50', 'u8', '7', '0', '48.1']
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.console import Group

from chipwise.views.grid import Fitted, cell, facts, grid, heading, line
from chipwise.views.units import format_accuracy, format_count, format_share, format_time, plain, significant

if TYPE_CHECKING:
    from rich.text import Text

    from chipwise.core.fixed_point import FixedTensor, IntegerAgreement, Quantization
    from chipwise.core.measure import PairedDrop


def fixed_table(record: Quantization) -> Group:
    """One row a tensor, then accuracy before and after, and whether integers and the runtime agree."""
    rows = grid("tensor", "of", ">least!", ">largest!", ">bits!", ">radix!", ">saturated!", ">SQNR dB!")
    for tensor in record.tensors:
        rows.add_row(*cells(tensor))
    under = line(
        "bits: s with a sign, u from zero on. A value is a whole number times 2^-radix, weights with a radix for each "
        "channel where two are said. saturated: share of the values that were cut off."
    )
    about = [
        ("file", f"{record.path}: QDQ ONNX, {record.bits} bits, a radix point for each {record.per} of weights"),
        ("radix points", f"least squared error on {format_count(record.calibrated)} samples of the training split"),
        ("fine-tuned", _tuned(record)),
        ("validation", _drop(record.validation)),
        ("test", "no test split" if record.test is None else _drop(record.test)),
        ("integers", _agreement(record.agreement)),
        ("sums", _sums(record.agreement)),
        ("stays float", ", ".join(map(plain, record.floating)) or "nothing: integers from input to output"),
        ("seed", f"{record.seed}; {format_time(record.seconds)}"),
    ]
    return Group(heading(f"{plain(record.network)} on {plain(record.data)}"), Fitted(rows), under, facts(about))


def cells(tensor: FixedTensor) -> list[Text]:
    """One row of the table."""
    return [
        cell(tensor.name),
        cell(tensor.role),
        cell(significant(tensor.low)),
        cell(significant(tensor.high)),
        cell(f"{'s' if tensor.signed else 'u'}{tensor.bits}"),
        cell(tensor.said),
        cell(_share(tensor.saturated), "yellow" if tensor.saturated > _MUCH else ""),
        cell("exact" if tensor.sqnr_db == math.inf else f"{tensor.sqnr_db:.1f}"),
    ]


_MUCH = 0.01  # of the values of a tensor


def _share(share: float) -> str:
    return "0" if share == 0 else "<0.01%" if share < 1e-4 else format_share(share)


def _tuned(record: Quantization) -> str:
    if not record.epochs:
        return "no"
    before = "" if record.untuned is None else f"; without, {_counts(record.untuned)} on validation"
    kept = f"epoch {record.kept} is kept" if record.kept else "no epoch was better, none is kept"
    return f"{record.epochs} epochs, {kept}{before}"


def _drop(drop: PairedDrop) -> str:
    return f"{format_accuracy(drop.source)} in float, {format_accuracy(drop.candidate)} in integers; {_counts(drop)}"


def _counts(drop: PairedDrop) -> str:
    return f"{drop.lost} answers lost, {drop.won} won: a drop of {drop.drop:.2%}, at most {drop.upper:.2%} (95%)"


def _agreement(found: IntegerAgreement) -> str:
    of = f"{format_count(found.equal)} of {format_count(found.compared)} numbers equal {plain(found.runtime)}'s"
    apart = "" if found.equal == found.compared else f", the others differ by {_steps(found.largest_steps)}"
    return f"{of} on {format_count(found.samples)} samples{apart}"


def _steps(count: float) -> str:
    return "one step" if count == 1 else f"up to {count:g} steps"


def _sums(found: IntegerAgreement) -> str:
    need = f"an accumulator of {found.accumulator_bits} bits can never overflow"
    return (
        f"{need}; float32 holds every sum exactly" if found.exact else f"{need}; float32 may have to round the largest"
    )
