"""`chipwise quantize`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

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
from chipwise.cli.train import default_folder


def main(
    network: NetworkArgument,
    data: DataOption = "digits",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="X.onnx", help="The file; default NET-int8.onnx.")
    ] = None,
    bits: Annotated[int, typer.Option(metavar="8|16", help="Of weights and activations.")] = 8,
    per: Annotated[
        Literal["tensor", "channel"], typer.Option(help="What of the weights has a radix point of its own.")
    ] = "channel",
    epochs: Annotated[
        int | None,
        typer.Option(min=0, help="Of fine-tuning; 3 where more than 0.3 points are lost without, else none."),
    ] = None,
    calibrate: Annotated[int, typer.Option(min=1, help="Samples that radix points are chosen on.")] = 500,
    compare: Annotated[int, typer.Option(min=1, help="Samples that the integer reference answers.")] = 200,
    weights: WeightsOption = None,
    batch_size: recipe.BatchSize = None,
    learning_rate: recipe.LearningRate = None,
    augment: recipe.Augment = None,
    seed: recipe.Seed = None,
    threads: recipe.Threads = None,
    preprocess: PreprocessOption = None,
    json: JsonFlag = False,
) -> None:
    """Turn a trained network into fixed point: integers times powers of two, as QDQ ONNX, checked against integers."""
    told = {name: value for name, value in recipe.among(locals()).items() if name != "epochs"}
    settings = recipe.given(target_accuracy=None, **told)
    file = output if output is not None else Path(f"{default_folder(network).name}-int{bits}.onnx")
    with progress() as bars:
        result = api.quantize(
            network,
            data,
            output=file,
            bits=bits,
            per=per,
            epochs=epochs,
            calibrate=calibrate,
            compare=compare,
            weights=weights,
            preprocess=preprocess,
            progress=bars,
            **settings,
        )
    answer(result, json=json)
