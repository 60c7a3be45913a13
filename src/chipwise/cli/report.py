"""`chipwise report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chipwise import api
from chipwise.cli.answer import JsonFlag, answer


def main(
    target: Annotated[Path, typer.Argument(metavar="DIR|X.plan", help="A folder that `fit` made, or a plan file.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="X.html", help="The page to write.")] = None,
    data: Annotated[str | None, typer.Option("--data", "-d", metavar="D", help="For a plan: check it on this.")] = None,
    json: JsonFlag = False,
) -> None:
    """Write one self-contained HTML page with the proof."""
    answer(api.report(target, output=output, data=data), json=json)
