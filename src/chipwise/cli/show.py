"""`chipwise show`."""

from __future__ import annotations

from typing import Annotated

import typer

from chipwise import api
from chipwise.cli.answer import JsonFlag, PlanArgument, answer


def main(
    plan: PlanArgument,
    whole: Annotated[bool, typer.Option("--all", help="Every layer, not only the heaviest.")] = False,
    json: JsonFlag = False,
) -> None:
    """Open a plan up: why this choice, where its work and time go, and which fast paths were missed."""
    record = api.show(plan)

    def table() -> object:
        from chipwise.views.plan_sheet_table import PlanSheetTable  # noqa: PLC0415  `--help` must not import rich

        return PlanSheetTable(record, whole=whole)

    answer(record, json=json, shown=table)
