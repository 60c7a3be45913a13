"""`chipwise inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from chipwise import api
from chipwise.cli.answer import InputShapeOption, JsonFlag, NetworkArgument, WeightsOption, answer, shape


def main(
    network: NetworkArgument,
    batch: Annotated[int, typer.Option(help="Items for which work and bytes are counted.")] = 1,
    graph: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw it: X.svg, or X.html where groups open and close.")
    ] = None,
    style: Annotated[
        Literal["table", "keras", "darknet"], typer.Option(help="The columns of ours, Keras's or Darknet's table.")
    ] = "table",
    input_shape: InputShapeOption = None,
    weights: WeightsOption = None,
    json: JsonFlag = False,
) -> None:
    """Show a network's layers: shapes, parameters, FLOPs, bytes moved, arithmetic intensity."""
    if json and style != "table":
        raise typer.BadParameter(f"--json prints no {style} table; give one of them")
    record = api.inspect(network, batch=batch, input_shape=shape(input_shape), weights=weights, graph=graph)
    if json or style == "table":
        answer(record, json=json)
    else:
        from chipwise.show.styles import styled  # noqa: PLC0415  `--help` must not import what draws

        typer.echo(styled(record, style))
    if graph is not None:
        typer.echo(f"the graph is in {graph}", err=True)
