"""`chipwise compress`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from chipwise import api
from chipwise.cli import recipe
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

Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="X.cwz", help="The small file; default NET.cwz.")
]
Target = Annotated[str | None, typer.Option(metavar="100x|50KB", help="How small the file is to be.")]
MaxDrop = Annotated[
    str | None, typer.Option(metavar="SHARE", help="Or: as small as loses no more accuracy than that, as 0.5%.")
]
Faster = Annotated[str | None, typer.Option(metavar="2x", help="Or: so many times as fast here; only channels go.")]
Rounding = Annotated[
    Literal["steps", "codebook"], typer.Option(help="Values of weights: whole numbers times a step, or k-means.")
]
Start = Annotated[
    Literal["linear", "density", "random"] | None, typer.Option(help="Of k-means, for codebooks; default linear.")
]
Bits = Annotated[str | None, typer.Option(metavar="2..8|auto", help="Of a weight; auto chooses them layer by layer.")]
Density = Annotated[str | None, typer.Option(metavar="SHARE", help="Weights that stay, as 20%.")]
NarrowTo = Annotated[int | None, typer.Option(min=1, help="Weights left once channels are gone.")]
Scope = Annotated[
    Literal["adaptive", "global", "layer", "sensitivity"],
    typer.Option(help="One threshold for all layers, the same share of each, or each until the loss rises alike."),
]
Pruning = Annotated[
    Literal["gradual", "iterative"],
    typer.Option(help="Prune while it trains, or in turns with training at a tenth of the rate."),
]
Pictures = Annotated[
    Path | None, typer.Option(metavar="X.html|DIR", help="Draw where weights lie, and accuracy as they go.")
]
Folder = Annotated[Path | None, typer.Option(metavar="DIR", help="What each stage leaves; default X.cwz.stages.")]


def main(
    network: NetworkArgument,
    data: DataOption = "digits",
    output: Output = None,
    target: Target = None,
    max_drop: MaxDrop = None,
    faster: Faster = None,
    rounding: Rounding = "steps",
    start: Start = None,
    bits: Bits = None,
    density: Density = None,
    narrow_to: NarrowTo = None,
    scope: Scope = "adaptive",
    pruning: Pruning = "gradual",
    pictures: Pictures = None,
    folder: Folder = None,
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
            faster=faster,
            folder=folder,
            rounding=rounding,
            start=start,
            bits=None if bits is None else _bits(bits),
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


def _bits(text: str) -> int | Literal["auto"]:
    if text == "auto":
        return "auto"
    if text.isdecimal() and 2 <= int(text) <= 8:
        return int(text)
    raise typer.BadParameter(f"bits is {text!r}; a number from 2 to 8, or auto")
