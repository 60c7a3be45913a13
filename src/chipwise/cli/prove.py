"""`chipwise prove`."""

from __future__ import annotations

from typing import Annotated

import typer

from chipwise import api
from chipwise.cli.answer import (
    InputShapeOption,
    JsonFlag,
    NetworkArgument,
    PreprocessOption,
    answer,
    begun,
    data_names,
    mesh_names,
    progress,
    shape,
)


def _schedule_names(incomplete: str) -> list[str]:
    return begun(("gpipe", "1f1b", "interleaved"), incomplete)


def main(
    network: NetworkArgument,
    mesh: Annotated[
        str,
        typer.Option(
            metavar="dp2,tp2",
            help="Processes along dp, zero1, zero2, fsdp, tp, pp, sph, spw, oc.",
            autocompletion=mesh_names,
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            "--data", "-d", metavar="D", help="A data set; default random samples.", autocompletion=data_names
        ),
    ] = None,
    reshard: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MESH",
            help="Goes on from the checkpoint before; again for more. Default 1, then half.",
            autocompletion=mesh_names,
        ),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Samples a step, over all processes.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Training steps; half as many after each checkpoint.")] = 4,
    schedule: Annotated[
        str, typer.Option(help="Of a pipeline: gpipe, 1f1b or interleaved.", autocompletion=_schedule_names)
    ] = "1f1b",
    microbatches: Annotated[int | None, typer.Option(min=1, help="Of a pipeline; default twice its processes.")] = None,
    learning_rate: Annotated[float, typer.Option("--learning-rate", "--lr", help="Of SGD.")] = 0.05,
    momentum: Annotated[float, typer.Option(help="Of SGD.")] = 0.9,
    tolerance: Annotated[float, typer.Option(help="Largest difference that is taken for rounding.")] = 1e-10,
    seed: Annotated[int, typer.Option(help="Of weights and samples.")] = 0,
    timeout: Annotated[float, typer.Option(metavar="S", help="Seconds that each launch may take.")] = 600.0,
    input_shape: InputShapeOption = None,
    preprocess: PreprocessOption = None,
    json: JsonFlag = False,
) -> None:
    """Prove that training in several processes learns what one process does; nothing is kept of it."""
    with progress() as bars:
        record = api.prove(
            network,
            mesh,
            data,
            reshard=reshard,
            batch_size=batch_size,
            steps=steps,
            schedule=schedule,
            microbatches=microbatches,
            learning_rate=learning_rate,
            momentum=momentum,
            tolerance=tolerance,
            seed=seed,
            timeout_s=timeout,
            input_shape=shape(input_shape),
            preprocess=preprocess,
            progress=bars,
        )
    answer(record, json=json)
    raise typer.Exit(0 if record.holds else 1)
