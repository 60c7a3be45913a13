"""`chipwise sensitivity`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chipwise import api
from chipwise.cli import recipe
from chipwise.cli.answer import (
    DataOption,
    JsonFlag,
    NetworkArgument,
    PreprocessOption,
    WeightsOption,
    answer,
    progress,
)


def main(
    network: NetworkArgument,
    data: DataOption = "digits",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Draw the curves: X.svg, or X.html.")
    ] = None,
    samples: Annotated[int, typer.Option(metavar="N", min=1, help="Of the validation split, at most.")] = 2000,
    weights: WeightsOption = None,
    threads: recipe.Threads = None,
    preprocess: PreprocessOption = None,
    json: JsonFlag = False,
) -> None:
    """Show what a trained network loses when one layer alone is pruned, or rounded; nothing is trained."""
    with progress() as bars:
        record = api.sensitivity(
            network,
            data,
            samples=samples,
            picture=output,
            weights=weights,
            preprocess=preprocess,
            threads=threads,
            progress=bars,
        )
    answer(record, json=json)
    if output is not None:
        typer.echo(f"the curves are in {output}", err=True)
