"""`chipwise doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chipwise import api
from chipwise.cli.answer import JsonFlag, answer, progress
from chipwise.core.units import parse_duration_s


def main(
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure arithmetic, memory, overheads and layers; keep it for estimates.")
    ] = False,
    budget: Annotated[str, typer.Option(metavar="TIME", help="Time for the measurement.")] = "150s",
    profile: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Show what --save wrote; import it where it is of this machine.")
    ] = None,
    save: Annotated[Path | None, typer.Option(metavar="FILE", help="Write what was measured, to share.")] = None,
    json: JsonFlag = False,
) -> None:
    """Show what this machine is, which runtimes are usable or why not, and what it was measured to do."""
    with progress("interrupted: what was measured until the last stage is kept") as bars:
        record = api.doctor(
            measure=measure, budget_s=parse_duration_s(budget), profile=profile, save=save, progress=bars
        )
    answer(record, json=json)
