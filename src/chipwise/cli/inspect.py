"""`chipwise inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from chipwise import api
from chipwise.cli.answer import InputShapeOption, JsonFlag, NetworkArgument, WeightsOption, answer, shape

if TYPE_CHECKING:
    from chipwise.core.report import Inspection


def main(
    network: NetworkArgument,
    batch: Annotated[int, typer.Option(help="Items for which work and bytes are counted.")] = 1,
    graph: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw it: X.svg, or X.html where groups open and close.")
    ] = None,
    style: Annotated[
        Literal["table", "keras", "darknet"] | None,
        typer.Option(
            help="Columns of ours, Keras's or Darknet's table; default ours, or only the totals beside --graph."
        ),
    ] = None,
    counts: Annotated[
        bool, typer.Option("--counts", help="Only how many layers there are, before and after fusion.")
    ] = False,
    input_shape: InputShapeOption = None,
    weights: WeightsOption = None,
    json: JsonFlag = False,
) -> None:
    """Show a network's layers: shapes, parameters, FLOPs, bytes moved, arithmetic intensity."""
    if json and style not in (None, "table"):
        raise typer.BadParameter(f"--json prints no {style} table; give one of them")
    if counts:
        if graph is not None or style is not None:
            raise typer.BadParameter("--counts draws nothing and has a table of its own; give one of them")
        _count(network, shape(input_shape), weights, json=json)
        return
    record = api.inspect(network, batch=batch, input_shape=shape(input_shape), weights=weights, graph=graph)
    _say(record, style or ("totals" if graph else "table"), json=json)
    if graph is not None:
        typer.echo(f"the graph is in {graph}", err=True)


def _count(network: str, input_shape: tuple[int, ...] | None, weights: Path | None, *, json: bool) -> None:
    found = api.count_layers(network, input_shape=input_shape, weights=weights)

    def table() -> object:
        from chipwise.views.counts_table import counts_table  # noqa: PLC0415  `--help` must not import rich

        return counts_table(found)

    answer(found, json=json, shown=table)


def _say(record: Inspection, style: Literal["table", "keras", "darknet", "totals"], *, json: bool) -> None:
    """Print the table; of what was drawn, only the totals, unless a table was asked for."""
    if json or style == "table":
        answer(record, json=json)
    elif style == "totals":
        from chipwise.views.graph_marks import totals_of  # noqa: PLC0415  `--help` must not import what draws
        from chipwise.views.terminal import print_line  # noqa: PLC0415  as above

        print_line(f"{record.name}: {totals_of(record)}")
    else:
        from chipwise.views.styles import styled  # noqa: PLC0415  as above

        typer.echo(styled(record, style))
