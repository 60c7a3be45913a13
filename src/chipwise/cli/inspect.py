"""`chipwise inspect`."""

from __future__ import annotations

from typing import Annotated

import typer

from chipwise import api
from chipwise.cli.answer import InputShapeOption, JsonFlag, NetworkArgument, WeightsOption, answer, shape


def main(
    network: NetworkArgument,
    batch: Annotated[int, typer.Option(help="Items for which work and bytes are counted.")] = 1,
    input_shape: InputShapeOption = None,
    weights: WeightsOption = None,
    json: JsonFlag = False,
) -> None:
    """Show a network's layers: shapes, parameters, FLOPs, bytes moved, arithmetic intensity."""
    answer(api.inspect(network, batch=batch, input_shape=shape(input_shape), weights=weights), json=json)
