"""The answers of `run` on a terminal: one block an input, as its task reads best.

>>> from chipwise.core.report import Box
>>> [text for text, _ in lines(Prediction("x", boxes=(Box("dog", 0.87, 131, 220, 310, 540),)))]
['dog 87% at 131,220-310,540']
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group

from chipwise.core.report import Prediction, RunResult
from chipwise.views.grid import cell, line, muted
from chipwise.views.units import format_shape, format_share, format_time, plain, significant

if TYPE_CHECKING:
    from rich.console import RenderableType

_MOST_AREAS = 12


def run(record: RunResult) -> RenderableType:
    """The answers, one block an input, then how it ran."""
    blocks: list[RenderableType] = []
    for prediction in record.predictions:
        blocks.append(cell(prediction.input, "bold"))
        blocks += [line(f"  {text}", style) for text, style in lines(prediction)]
    blocks.append(muted(_ran(record)))
    return Group(*blocks)


def lines(prediction: Prediction) -> list[tuple[str, str]]:
    """What a prediction says, line by line, each with its style."""
    found = [(f"{format_share(share):>6}: {plain(label)}", "") for label, share in prediction.top]
    found += [
        (f"{plain(b.label)} {b.score:.0%} at {b.left:.0f},{b.top:.0f}-{b.right:.0f},{b.bottom:.0f}", "")
        for b in prediction.boxes
    ]
    found += [(f"{format_share(share):>6}: {plain(label)}", "") for label, share in prediction.areas[:_MOST_AREAS]]
    if prediction.values:
        over = sum(value > 0.5 for value in prediction.values) / len(prediction.values)
        mean = sum(prediction.values) / len(prediction.values)
        count = f"{len(prediction.values):,} value{'s' if len(prediction.values) > 1 else ''}"
        found.append((f"{count}: mean {significant(mean, 4)}, {format_share(over)} over half", ""))
    if prediction.outputs and not prediction.values:
        found += [(f"{plain(spec.name)}: {spec.dtype} {format_shape(spec.shape)}", "") for spec in prediction.outputs]
    if not found:
        found.append(("nothing found", "dim"))
    if prediction.drawn:
        found.append((f"drawn: {plain(prediction.drawn)}", "dim"))
    return found


def _ran(record: RunResult) -> str:
    parts = [record.choice.title, f"{format_time(record.latency_s)} an item"]
    if record.frames_per_second is not None:
        count = f"{len(record.predictions):,} frames"
        parts.append(f"{count} at {significant(record.frames_per_second)} a second, reading included")
    return ", ".join(parts)
