"""`chipwise export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chipwise import api
from chipwise.cli.answer import JsonFlag, PlanArgument, answer


def main(
    plan: PlanArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="X.onnx; or X.xml, with X.bin, for OpenVINO.")
    ],
    json: JsonFlag = False,
) -> None:
    """Write a plan's graph for other tools: plain ONNX, or OpenVINO's files."""
    answer(api.export(plan, output=output), json=json)
