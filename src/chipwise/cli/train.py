"""`chipwise train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chipwise import api
from chipwise.cli import recipe
from chipwise.cli.answer import (
    GOES_ON,
    DataOption,
    InputShapeOption,
    JsonFlag,
    NetworkArgument,
    answer,
    progress,
    shape,
)


def main(
    network: NetworkArgument,
    data: DataOption = "digits",
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="DIR", help="Default: runs/NET.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget an earlier run in that folder.")] = False,
    weights: recipe.Weights = None,
    freeze: recipe.Freeze = None,
    unfreeze_after: recipe.UnfreezeAfter = None,
    backbone_rate: recipe.BackboneRate = None,
    epochs: recipe.Epochs = None,
    target_accuracy: recipe.TargetAccuracy = None,
    batch_size: recipe.BatchSize = None,
    learning_rate: recipe.LearningRate = None,
    optimizer: recipe.Optimizer = None,
    schedule: recipe.Schedule = None,
    patience: recipe.Patience = None,
    weight_decay: recipe.WeightDecay = None,
    l1: recipe.L1 = None,
    loss: recipe.Loss = None,
    augment: recipe.Augment = None,
    precision: recipe.Precision = None,
    seed: recipe.Seed = None,
    threads: recipe.Threads = None,
    input_shape: InputShapeOption = None,
    json: JsonFlag = False,
) -> None:
    """Train a network on this machine; an interrupted run goes on where it stopped."""
    settings = recipe.given(
        freeze=freeze,
        unfreeze_after=unfreeze_after,
        backbone_rate=backbone_rate,
        epochs=epochs,
        target_accuracy=target_accuracy,
        batch_size=batch_size,
        learning_rate=learning_rate,
        optimizer=optimizer,
        schedule=schedule,
        patience=patience,
        weight_decay=weight_decay,
        l1=l1,
        loss=loss,
        augment=augment,
        precision=precision,
        seed=seed,
        threads=threads,
    )
    folder = output if output is not None else Path("runs") / Path(network.replace(":", "-")).stem
    dims = shape(input_shape)
    with progress(interrupted=GOES_ON) as bars:
        result = api.train(
            network,
            data,
            folder=folder,
            fresh=fresh,
            weights=weights,
            input_shape=dims,
            progress=bars,
            **settings,
        )
    answer(result, json=json)
    missed = target_accuracy is not None and result.stopped != "target reached"
    raise typer.Exit(1 if missed else 0)
