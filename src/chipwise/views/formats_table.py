"""Number formats as terminal tables: what each holds and costs, the gates behind it, and accuracies with intervals.

>>> _share(0.0), _share(0.00001), _share(0.25)
('0', '<0.01%', '25.0%')
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chipwise.views.grid import cell, grid, heading, line, muted
from chipwise.views.units import format_accuracy, format_count, plain, significant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.text import Text

    from chipwise.core.format_report import Circuit, FormatLine, FormatReport, FormatScore, Rounded

_ROOM_FOR_AREAS = 110  # columns of a terminal from which on areas fit beside the energies
_SCALES = {"none": "-", "max-abs": "largest", "power-of-two": "2^n"}
_MOST_IN_FULL = 4  # formats whose layers are shown one by one
_NOTES = (
    "accuracy: largest relative error next to 1; of integers and fixed point, half a step. Energy and area of one "
    "addition and one multiplication of operands this wide; sums are wider (see sums): Horowitz, ISSCC 2014, 45 nm; - "
    "where nothing is published. Smallest and largest of MX, int8 and others with a scale are before the scale."
)
_CIRCUITS = (
    "Built of NAND gates and tried on numbers; depth is the most of them in a row. An adder grows with n, a multiplier "
    "with n squared. Horowitz's areas of fp16 and fp32 hold the alignment, normalization and rounding too."
)
_COUNTED = (
    "95% intervals (Wilson). lost: answered rightly before and not after; won: the other way. saturated: beyond the "
    "largest value. tiny: not zero, and below the smallest or rounded to zero. Shares of all weights, inputs and "
    "outputs that were rounded."
)


@dataclass(frozen=True, slots=True)
class FormatsTable:
    """What was asked for, one table after the other: scores and circuits, or else the formats themselves."""

    record: FormatReport

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the tables for this width."""
        del console
        record, wide = self.record, options.max_width >= _ROOM_FOR_AREAS
        if record.source is not None:
            yield from _scores(record)
            if len(record.scores) <= _MOST_IN_FULL:
                yield from _layers(record.scores)
            else:
                yield muted(f"Layer by layer: with at most {_MOST_IN_FULL} formats (--only), or with --json.")
        if record.source is not None and record.circuits:
            yield line("")
        if record.circuits:
            yield from _circuits(record.circuits, wide=wide)
        if record.source is None and not record.circuits:
            yield from _formats(record.formats, wide=wide)


def _formats(lines: Iterable[FormatLine], *, wide: bool) -> Iterator[RenderableType]:
    areas = [">add\num2!", ">mul\num2!"] if wide else []
    sums = ["sums", "scale"] if wide else []
    rows = grid("format!", ">bits!", ">smallest!", ">largest!", ">accuracy!", *sums, ">add\npJ!", ">mul\npJ!", *areas)
    family = ""
    for each in lines:
        if family and each.family != family:
            rows.add_section()
        family, cost = each.family, each.cost
        rows.add_row(
            cell(each.title, "bold"),
            cell(f"{each.bits:g}"),
            cell(_number(each.smallest)),
            cell(_number(each.largest)),
            cell(_accuracy(each)),
            *([cell(each.accumulator), cell(_SCALES[each.scaling])] if wide else []),
            *(_maybe(value, 1e12) for value in (cost.add_j, cost.multiply_j)),
            *([_maybe(value, 1.0) for value in (cost.add_um2, cost.multiply_um2)] if wide else []),
        )
    yield rows
    yield muted(_NOTES)


def _circuits(circuits: Iterable[Circuit], *, wide: bool) -> Iterator[RenderableType]:
    rows = grid(
        "circuit!",
        ">bits!",
        ">gates!",
        ">per n!",
        ">per n²!",
        ">depth!",
        ">um2!",
        ">um2 /\ngate!",
        *(["used by"] if wide else []),
    )
    name = ""
    for each in circuits:
        if each.name != name and each.name in ("adder", "multiplier"):
            rows.add_section()
        name = each.name
        ratio = None if each.area_um2 is None else each.area_um2 / each.gates
        rows.add_row(
            cell(each.name, "bold"),
            cell(each.bits),
            cell(format_count(each.gates)),
            cell(f"{each.gates / each.bits:.1f}"),
            cell(f"{each.gates / each.bits**2:.1f}"),
            cell(each.depth),
            _maybe(each.area_um2, 1.0),
            cell("-" if ratio is None else f"{ratio:.2f}"),
            *([cell(each.used_by)] if wide else []),
        )
    yield rows
    yield muted(_CIRCUITS)


def _scores(record: FormatReport) -> Iterator[RenderableType]:
    assert record.source is not None, "there are no scores without it"
    yield heading(f"{plain(record.network)} on {plain(record.data)}: {format_accuracy(record.source)} as it is")
    rows = grid("format!", ">accuracy!", ">change,\npoints!", ">lost!", ">won!", ">saturated!", ">tiny!")
    for each in record.scores:
        parts = [part for layer in each.layers for part in (layer.weights, layer.inputs, layer.outputs)]
        clear = each.drop.p_value < 0.05 and each.drop.drop > 0
        rows.add_row(
            cell(each.title, "bold"),
            cell(format_accuracy(each.accuracy)),
            cell(f"{-100 * each.drop.drop:+.1f}", "red" if clear else ""),
            cell(each.drop.lost),
            cell(each.drop.won),
            *(cell(_share(value)) for value in _shares(parts)),
        )
    yield rows
    yield muted(_COUNTED)


def _layers(scores: Iterable[FormatScore]) -> Iterator[RenderableType]:
    """Per layer, the formats that lost something to their range."""
    for each in scores:
        rows = grid("layer", *(f">{part}\n{what}!" for part in _PARTS for what in ("saturated", "tiny")))
        for layer in each.layers:
            parts = [layer.weights, layer.inputs, layer.outputs]
            if any(part.saturated_share > _NOTABLE or part.tiny_share > _NOTABLE for part in parts):
                shares = [share for part in parts for share in (part.saturated_share, part.tiny_share)]
                rows.add_row(cell(layer.layer), *(cell(_share(share)) for share in shares))
        if rows.row_count:
            yield line("")
            yield heading(f"{each.title}: layers in which more than 1% were out of its range")
            yield rows


_PARTS = ("weights", "inputs", "outputs")
_NOTABLE = 0.01


def _shares(parts: Iterable[Rounded]) -> tuple[float, float]:
    held = list(parts)
    count = max(sum(part.count for part in held), 1)
    return sum(part.saturated for part in held) / count, sum(part.tiny for part in held) / count


def _share(share: float) -> str:
    return "0" if not share else "<0.01%" if share < 1e-4 else f"{significant(100 * share)}%"


def _number(value: float) -> str:
    return f"{value:.5g}" if 1e-2 <= value < 1e5 else f"{value:.2g}"


def _accuracy(each: FormatLine) -> str:
    if each.family in ("integer", "fixed") or each.name == "mxint8":
        return f"±{each.accuracy:.3g}"
    percent = 100 * each.accuracy
    return f"{percent:.2g}%"


def _maybe(value: float | None, factor: float) -> Text:
    return cell("-" if value is None else f"{value * factor:g}")
