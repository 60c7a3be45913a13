"""`chipwise bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chipwise import api
from chipwise.cli.answer import JsonFlag, answer, progress
from chipwise.core.units import parse_duration_s, parse_share


def main(
    plan: Annotated[Path, typer.Argument(metavar="X.plan", help="A plan file.")],
    vs: Annotated[
        str, typer.Option(metavar="NAMES", help="Runtimes to compare with, comma-separated, or all.")
    ] = "all",
    budget: Annotated[str, typer.Option(metavar="TIME", help="Time for the measurement.")] = "20s",
    baseline: Annotated[Path | None, typer.Option(metavar="OLD.json", help="An earlier `bench --json`.")] = None,
    fail_slower: Annotated[
        str, typer.Option(metavar="SHARE", help="Exit 1 if slower than the baseline by this.")
    ] = "5%",
    source: Annotated[str | None, typer.Option(metavar="NET", help="The source network, if not in the cache.")] = None,
    json: JsonFlag = False,
) -> None:
    """Time a plan against every runtime's default on the source network, interleaved."""
    with progress() as bars:
        result = api.bench(
            plan,
            vs=[name.strip() for name in vs.split(",") if name.strip()],
            budget_s=parse_duration_s(budget),
            baseline=baseline,
            fail_slower=parse_share(fail_slower),
            source=source,
            progress=bars,
        )
    answer(result, json=json)
    raise typer.Exit(0 if result.ok else 1)
