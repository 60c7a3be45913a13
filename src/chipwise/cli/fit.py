"""`chipwise fit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chipwise import api
from chipwise.cli import recipe
from chipwise.cli.answer import (
    GOES_ON,
    DataOption,
    GoalOption,
    InputShapeOption,
    JsonFlag,
    NetworkArgument,
    answer,
    progress,
    shape,
)
from chipwise.core.units import parse_duration_s, parse_share


def main(
    network: NetworkArgument,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where everything goes.")],
    data: DataOption = "digits",
    max_drop: Annotated[str, typer.Option(metavar="SHARE", help="Accuracy that may be lost (95% bound).")] = "1%",
    goal: GoalOption = None,
    budget: Annotated[str, typer.Option(metavar="TIME", help="Time for the search.")] = "60s",
    vs: Annotated[
        str, typer.Option(metavar="NAMES", help="Runtimes to compare with, comma-separated, or all.")
    ] = "all",
    epochs: recipe.Epochs = None,
    target_accuracy: recipe.TargetAccuracy = None,
    batch_size: recipe.BatchSize = None,
    learning_rate: recipe.LearningRate = None,
    precision: recipe.Precision = None,
    seed: recipe.Seed = None,
    device: recipe.Device = None,
    input_shape: InputShapeOption = None,
    json: JsonFlag = False,
) -> None:
    """Do all of it: train, compile, check, bench, report. An interrupted call goes on where it stopped."""
    settings = recipe.given(
        epochs=epochs,
        target_accuracy=target_accuracy,
        batch_size=batch_size,
        learning_rate=learning_rate,
        precision=precision,
        seed=seed,
        device=device,
    )
    dims = shape(input_shape)
    with progress(interrupted=GOES_ON) as bars:
        result = api.fit(
            network,
            data,
            folder=output,
            goal=goal or "latency",
            max_drop=parse_share(max_drop),
            budget_s=parse_duration_s(budget),
            vs=[name.strip() for name in vs.split(",") if name.strip()],
            input_shape=dims,
            progress=bars,
            **settings,
        )
    answer(result, json=json)
    raise typer.Exit(0 if result.check.ok else 1)
