"""`chipwise zoo`."""

from __future__ import annotations

from typing import Annotated

import typer

from chipwise import api
from chipwise.cli.answer import JsonFlag, answer


def main(
    search: Annotated[str, typer.Argument(metavar="[TEXT]", help="Only networks that have to do with this.")] = "",
    json: JsonFlag = False,
) -> None:
    """List the networks that come with chipwise: what they are for, take and cost."""
    answer(api.zoo(search), json=json)
