"""Meshes that a system could train on, for the terminal: those that fit, quickest first, and what does not fit.

>>> list(mesh_blocks([]))
[]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from chipwise.views.grid import Fitted, cell, grid, line, muted
from chipwise.views.intervals import number_range
from chipwise.views.units import format_bytes, format_count, format_share

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from chipwise.core.estimation import Forecast, MeshForecast

_MOST = 6  # meshes shown of one system
_LEGEND = (
    "As --mesh takes them: copies (dp), which share out what they keep (zero1, zero2, fsdp); cut within layers (tp) or "
    "between them (pp)."
)


def mesh_blocks(forecasts: Sequence[Forecast]) -> Iterator[RenderableType]:
    """A table for each system that trains."""
    for forecast in forecasts:
        if forecast.meshes:
            first = forecast.meshes[0]
            yield Text()
            yield line(
                f"Meshes of {first.devices} {forecast.estimate.device}, batch {format_count(first.batch)}", "bold"
            )
            yield Fitted(_table(forecast.meshes[:_MOST]))
            yield from _left(forecast.meshes)


def _table(meshes: Sequence[MeshForecast]) -> Table:
    rows = grid("mesh!", ">micro-batches!", ">items/s!", ">talking", ">memory of\neach!")
    for place, each in enumerate(meshes):
        full = each.fits is False
        style = "dim" if full else "bold" if place == 0 else ""
        rows.add_row(
            cell(each.mesh, style),
            cell(f"{each.micro_batches} of {each.micro}" if each.micro_batches > 1 else "-"),
            cell(number_range(each.items_s), style),
            cell("-" if each.communication is None else format_share(each.communication, 0)),
            cell(format_bytes(each.memory_bytes) + " !" * full, "bold red" if full else ""),
        )
    return rows


def _left(meshes: Sequence[MeshForecast]) -> Iterator[RenderableType]:
    yield muted(_LEGEND)
    more = meshes[_MOST:]
    if more:
        full = sum(each.fits is False for each in more)
        yield muted(f"and {len(more)} more with --json" + (f", {full} of which do not fit" if full else ""))
