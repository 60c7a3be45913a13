"""`chipwise ui`."""

from __future__ import annotations

from typing import Annotated

import typer

from chipwise import api
from chipwise.cli.answer import NETWORK_HELP, JsonFlag, network_names
from chipwise.cli.ending import say

_PORT_MAX = 65535


def main(
    network: Annotated[
        str | None,
        typer.Argument(metavar="NET", help=f"To begin with. {NETWORK_HELP}", autocompletion=network_names),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=_PORT_MAX, help="To listen on; 0 takes any that is free.")] = 0,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open a browser.")] = False,
    json: JsonFlag = False,
) -> None:
    """Show the what-if page in the browser, until Ctrl-C: what a network takes on any hardware, as you choose."""

    def listening(page: api.WhatIfPage) -> None:
        if json:
            from chipwise.views.as_json import as_json  # noqa: PLC0415  `--help` must not import msgspec

            typer.echo(as_json(page))
        else:
            typer.echo(page.url)
            say("Ctrl-C ends it")

    api.what_if_page(network, port=port, open_browser=not no_open, listening=listening)
