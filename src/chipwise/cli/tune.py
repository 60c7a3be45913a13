"""`chipwise tune`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chipwise import api
from chipwise.cli import recipe
from chipwise.cli.answer import (
    DataOption,
    InputShapeOption,
    JsonFlag,
    NetworkArgument,
    PreprocessOption,
    answer,
    progress,
    shape,
)
from chipwise.core.units import parse_duration_s


def main(
    network: NetworkArgument,
    data: DataOption = "digits",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="X.json", help="Write what was kept, for train --recipe."),
    ] = None,
    budget: Annotated[str, typer.Option("--for", metavar="TIME", help="Time for it, about.")] = "2min",
    weights: recipe.Weights = None,
    epochs: recipe.Epochs = None,
    batch_size: recipe.BatchSize = None,
    learning_rate: recipe.LearningRate = None,
    optimizer: recipe.Optimizer = None,
    momentum: recipe.Momentum = None,
    schedule: recipe.Schedule = None,
    weight_decay: recipe.WeightDecay = None,
    augment: recipe.Augment = None,
    precision: recipe.Precision = None,
    seed: recipe.Seed = None,
    threads: recipe.Threads = None,
    loading: recipe.Loading = None,
    workers: recipe.Workers = None,
    device: recipe.Device = None,
    feeding: recipe.Feeding = None,
    input_shape: InputShapeOption = None,
    preprocess: PreprocessOption = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out pictures that cannot be read.")] = False,
    json: JsonFlag = False,
) -> None:
    """Find how training steps are fastest on this machine at equal accuracy; Ctrl-C gives the best so far."""
    settings = recipe.given(target_accuracy=None, **recipe.among(locals()))
    with progress() as bars:
        record = api.tune(
            network,
            data,
            budget_s=parse_duration_s(budget),
            output=output,
            weights=weights,
            input_shape=shape(input_shape),
            preprocess=preprocess,
            skip_bad=skip_bad,
            progress=bars,
            **settings,
        )
    answer(record, json=json)
    raise typer.Exit(0 if record.complete else 130)
