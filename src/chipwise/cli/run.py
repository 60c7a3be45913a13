"""`chipwise run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chipwise import api
from chipwise.cli.answer import JsonFlag, answer


def main(
    plan: Annotated[Path, typer.Argument(metavar="X.plan", help="A plan file.")],
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Pictures or .npy files.")],
    top: Annotated[int, typer.Option(min=1, help="Classes to name for each input.")] = 5,
    json: JsonFlag = False,
) -> None:
    """Run a plan on pictures or arrays."""
    answer(api.run(plan, inputs, top=top), json=json)
