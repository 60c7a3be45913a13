"""`chipwise check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chipwise import api
from chipwise.cli.answer import DataOption, JsonFlag, answer
from chipwise.core.units import parse_share


def main(
    plan: Annotated[Path, typer.Argument(metavar="X.plan", help="A plan file.")],
    data: DataOption = "digits",
    max_drop: Annotated[str | None, typer.Option(metavar="SHARE", help="Limit, as 1%; else the plan's own.")] = None,
    source: Annotated[str | None, typer.Option(metavar="NET", help="The source network, if not in the cache.")] = None,
    json: JsonFlag = False,
) -> None:
    """Compare a plan's accuracy with its source network's, on held-out samples; exit 1 when it lost too much."""
    limit = None if max_drop is None else parse_share(max_drop)
    result = api.check(plan, data, max_drop=limit, source=source)
    answer(result, json=json)
    raise typer.Exit(0 if result.ok else 1)
