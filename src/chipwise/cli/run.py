"""`chipwise run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chipwise import api
from chipwise.cli.answer import (
    JsonFlag,
    LabelsOption,
    PreprocessOption,
    TaskOption,
    WeightsOption,
    answer,
    progress,
)

_INTERRUPTED = 130


def only_input(inputs: list[Path] | None) -> Path | None:
    """The one input that is looked at.

    Raises:
        BadParameter: several were given.
    """
    if inputs and len(inputs) > 1:
        raise typer.BadParameter(f"--features looks at one input, {len(inputs)} were given")
    return inputs[0] if inputs else None


def main(
    network: Annotated[
        str,
        typer.Argument(metavar="NET", help="A plan, a zoo name, a model file, a trained folder, or module:callable."),
    ],
    inputs: Annotated[
        list[Path] | None, typer.Argument(metavar="[INPUT]...", help="Pictures, .wav or .npy files.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="DIR", help="Draw every answer into this folder, as PNG.")
    ] = None,
    frames: Annotated[
        Path | None, typer.Option(metavar="DIR|FILM", help="Run on a folder of pictures in name order, or on a film.")
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(metavar="LAYER,...|list", help="Draw kernels and feature maps of layers, for one input, into -o."),
    ] = None,
    pipeline: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="TOML stages that find regions in a picture; the network judges each."),
    ] = None,
    weights: WeightsOption = None,
    task: TaskOption = None,
    labels: LabelsOption = None,
    preprocess: PreprocessOption = None,
    top: Annotated[int, typer.Option(min=1, help="Classes to name for each input.")] = 5,
    threshold: Annotated[
        float | None, typer.Option(metavar="P", help="Detectors: leave out boxes that score lower, 0..1.")
    ] = None,
    overlap: Annotated[
        float | None, typer.Option(metavar="P", help="Detectors: of boxes that share more, keep the best, 0..1.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Run a network or a plan on pictures, sounds or arrays, say what it sees, and draw it."""
    if features is not None:
        target = output if output is not None else Path("features")
        said = {"weights": weights, "task": task, "labels": labels, "preprocess": preprocess}
        given = {key: value for key, value in said.items() if value is not None}
        answer(api.features(network, only_input(inputs), features, folder=target, **given), json=json)
        return
    with progress() as shown:
        result = api.run(
            network,
            inputs or [],
            top=top,
            output=output,
            frames=frames,
            pipeline=pipeline,
            weights=weights,
            task=task,
            labels=labels,
            preprocess=preprocess,
            threshold=threshold,
            overlap=overlap,
            progress=shown,
        )
    answer(result, json=json)
    if not result.complete:
        raise typer.Exit(_INTERRUPTED)
