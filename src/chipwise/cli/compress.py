"""`chipwise compress`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chipwise import api
from chipwise.cli import recipe, ways
from chipwise.cli.answer import (
    GOES_ON,
    DataOption,
    JsonFlag,
    NetworkArgument,
    PreprocessOption,
    WeightsOption,
    answer,
    progress,
)
from chipwise.cli.train import default_folder
from chipwise.core.units import parse_share


def main(
    network: NetworkArgument,
    data: DataOption = "digits",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="X.cwz", help="The small file; default NET.cwz.")
    ] = None,
    target: Annotated[str | None, typer.Option(metavar="100x|50KB", help="How small the file is to be.")] = None,
    max_drop: ways.MaxDrop = None,
    rounding: ways.Rounding = "steps",
    start: ways.Start = None,
    bits: ways.Bits = None,
    density: Annotated[str | None, typer.Option(metavar="SHARE", help="Weights that stay, as 20%.")] = None,
    narrow_to: Annotated[int | None, typer.Option(min=1, help="Weights left once channels are gone.")] = None,
    scope: ways.Scope = "adaptive",
    pruning: ways.Pruning = "gradual",
    pictures: ways.Pictures = None,
    folder: ways.Folder = None,
    weights: WeightsOption = None,
    epochs: recipe.Epochs = None,
    batch_size: recipe.BatchSize = None,
    learning_rate: recipe.LearningRate = None,
    augment: recipe.Augment = None,
    precision: recipe.Precision = None,
    seed: recipe.Seed = None,
    threads: recipe.Threads = None,
    preprocess: PreprocessOption = None,
    json: JsonFlag = False,
) -> None:
    """Make a trained network small: a file of the size that is asked for, which runs; it goes on where it stopped."""
    settings = recipe.given(target_accuracy=None, **recipe.among(locals()))
    file = output if output is not None else Path(f"{default_folder(network).name}.cwz")
    with progress(interrupted=GOES_ON) as bars:
        result = api.compress(
            network,
            data,
            output=file,
            target=target,
            max_drop=None if max_drop is None else parse_share(max_drop),
            folder=folder,
            rounding=rounding,
            start=start,
            bits=ways.bits_of(bits),
            density=None if density is None else parse_share(density),
            narrow_to=narrow_to,
            scope=scope,
            pruning=pruning,
            pictures=pictures,
            weights=weights,
            preprocess=preprocess,
            progress=bars,
            **settings,
        )
    answer(result, json=json)
    if pictures is not None:
        typer.echo(f"the pictures are in {pictures}", err=True)
    raise typer.Exit(0 if result.met else 1)
