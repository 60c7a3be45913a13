"""`chipwise run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from chipwise import api
from chipwise.cli.answer import (
    InputShapeOption,
    JsonFlag,
    LabelsOption,
    PreprocessOption,
    TaskOption,
    WeightsOption,
    answer,
    network_names,
    progress,
    shape,
)
from chipwise.core.errors import InputError

_BAD_INPUT, _INTERRUPTED = 2, 130


def only_input(inputs: list[Path] | None) -> Path | None:
    """The one input that is looked at.

    Raises:
        BadParameter: several were given.
    """
    if inputs and len(inputs) > 1:
        raise typer.BadParameter(f"--features looks at one input, {len(inputs)} were given")
    return inputs[0] if inputs else None


def _refuse_beside_features(given: dict[str, Any]) -> None:
    """Refuse what `--features` has no use for, rather than leaving it out."""
    found = [f"--{name}" for name, value in given.items() if value is not None]
    if found:
        hint = f"leave {'it' if len(found) == 1 else 'them'} out, or --features"
        raise InputError(
            f"--features shows layers for one input; {', '.join(found)} cannot be given with it", hint=hint
        )


def main(
    network: Annotated[
        str,
        typer.Argument(
            metavar="NET",
            help="A plan, a zoo name, a model file, a trained folder, or module:callable.",
            autocompletion=network_names,
        ),
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
    input_shape: InputShapeOption = None,
    top: Annotated[int | None, typer.Option(min=1, help="Classes to name for each input; 5 if not given.")] = None,
    threshold: Annotated[
        float | None, typer.Option(metavar="P", help="Detectors: leave out boxes that score lower, 0..1.")
    ] = None,
    overlap: Annotated[
        float | None, typer.Option(metavar="P", help="Detectors: of boxes that share more, keep the best, 0..1.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Run a network or a plan on pictures, sounds or arrays, say what it sees, and draw it."""
    told: dict[str, Any] = {"weights": weights, "task": task, "labels": labels, "preprocess": preprocess}
    given = {key: value for key, value in told.items() if value is not None} | {"input_shape": shape(input_shape)}
    limits: dict[str, Any] = {"top": top, "threshold": threshold, "overlap": overlap}
    if features is not None:
        _refuse_beside_features({"frames": frames, "pipeline": pipeline} | limits)
        with progress() as shown:
            looked = api.features(network, only_input(inputs), features, output=output, progress=shown, **given)
        answer(looked, json=json)
        return
    with progress() as shown:
        result = api.run(
            network, inputs or [], output=output, frames=frames, pipeline=pipeline, progress=shown, **given, **limits
        )
    answer(result, json=json)
    if not result.complete:
        raise typer.Exit(_INTERRUPTED)
    if result.skipped:
        raise typer.Exit(_BAD_INPUT)
