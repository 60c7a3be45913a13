"""`chipwise export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chipwise import api
from chipwise.cli.answer import ExportedArgument, JsonFlag, WeightsOption, answer, progress


def main(
    given: ExportedArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="X.onnx; of a plan X.xml, with X.bin, for OpenVINO; of a network X.safetensors, or X.cwz.",
        ),
    ] = None,
    triton: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Instead: a model repository of the Triton server, for the plan to be put in."
        ),
    ] = None,
    weights: WeightsOption = None,
    json: JsonFlag = False,
) -> None:
    """Write a plan's graph, or a network, for other tools: ONNX, OpenVINO, safetensors, compressed (.cwz), Triton."""
    with progress() as shown:
        done = api.export(given, output=output, triton=triton, weights=weights, progress=shown)
    answer(done, json=json)
