"""What each layer alone can lose, as terminal tables: accuracy by density, by bits of a step and of a codebook.

>>> settings_of(())
[]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from chipwise.views.grid import cell, grid, heading, line, muted
from chipwise.views.units import format_accuracy, format_count, format_share, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from chipwise.core.sensitivity import LayerSensitivity, Sensitivity, SensitivityPoint

_LOST = 0.01  # of the accuracy, from which on a cell stands out
NOTE = (
    "One layer is changed, all others stay as they are, and nothing is trained: after retraining a network loses far "
    "less. Smallest weights go first. Steps: whole numbers times the step with the least squared error; codebook: "
    "k-means from a linear start."
)


def sensitivity_table(record: Sensitivity) -> Group:
    """A table for densities and one for each kind of rounding; what loses a point or more is red."""
    blocks: list[RenderableType] = [heading(title(record)), line(about(record))]
    for name, columns, rows in tables_of(record):
        made = grid("weights of", ">weights!", *(f">{column}!" for column in columns))
        for layer, points in rows:
            made.add_row(
                cell(plain(layer.name)),
                cell(format_count(layer.weights)),
                *(_share(point, record.accuracy.value) for point in points),
            )
        blocks += [Text(), line(name, "bold"), made]
    return Group(*blocks, Text(), muted(NOTE))


def title(record: Sensitivity) -> str:
    """What was measured."""
    return f"{plain(record.network)} on {plain(record.data)}, one layer at a time"


def about(record: Sensitivity) -> str:
    """Accuracy as it is, and on which samples."""
    count = record.accuracy.count
    which = "all" if count == record.available else "of them"
    samples = f"{format_count(count)} validation samples" + (
        "" if which == "all" else f", evenly spread over {format_count(record.available)}"
    )
    return f"as it is: {format_accuracy(record.accuracy)}, loss {record.loss:.4f}; {samples}"


def tables_of(
    record: Sensitivity,
) -> list[tuple[str, list[str], list[tuple[LayerSensitivity, tuple[SensitivityPoint, ...]]]]]:
    """Name, columns and rows of each table."""
    kinds = (
        ("accuracy, %, by share of the layer's weights that is left", [layer.density for layer in record.layers]),
        ("accuracy, %, by bits of a weight, steps", [layer.steps for layer in record.layers]),
        ("accuracy, %, by bits of a weight, codebook", [layer.codebook for layer in record.layers]),
    )
    return [
        (name, settings_of(rows[0] if rows else ()), list(zip(record.layers, rows, strict=True)))
        for name, rows in kinds
    ]


def settings_of(points: Sequence[SensitivityPoint]) -> list[str]:
    """Heads of columns: "20%" for densities, "4" for bits."""
    return [f"{point.setting:g}" if point.setting > 1 else format_share(point.setting, 0) for point in points]


def _share(point: SensitivityPoint, before: float) -> Text:
    return cell(f"{100 * point.accuracy:.1f}", "red" if point.accuracy <= before - _LOST else "")
