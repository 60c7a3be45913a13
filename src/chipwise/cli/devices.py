"""`chipwise devices`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from chipwise import api
from chipwise.cli.answer import JsonFlag, answer, hardware_names


def main(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="One: everything known, with sources. Several: side by side. None: the list.",
            autocompletion=hardware_names,
        ),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="ORDER",
            help="List by flops-per-watt, flops-per-dollar, flops, bandwidth, memory, year, power, price or name.",
        ),
    ] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Side by side: --compare A B ...")] = False,
    kind: Annotated[
        Literal["gpu", "cpu", "tpu", "edge", "fpga", "system", "link"] | None, typer.Option(help="List only these.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(metavar="P", help="Number format of FLOPS per watt and dollar: fp32, bf16, int8, ...")
    ] = None,
    errata: Annotated[bool, typer.Option("--errata", help="Figures that are widely printed and wrong.")] = False,
    top500: Annotated[bool, typer.Option("--top500", help="The Top500 of June 2007 beside cards of today.")] = False,
    roofline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the roofs of the named devices: X.svg or X.png.")
    ] = None,
    history: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw year against FLOP/s, watts and bandwidth: X.svg or X.png.")
    ] = None,
    catalogue: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="More devices: a TOML file of yours, or a folder of them.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Show what devices, systems and links can do, cost and draw, with the source of every fact."""
    record = api.hardware(
        *(names or []),
        compare=compare,
        kind=kind,
        sort=sort,
        precision=precision,
        errata=errata,
        top500=top500,
        roofline=roofline,
        history=history,
        catalogue=catalogue,
    )
    if json or not record.pictures:
        answer(record, json=json)
    else:
        for picture in record.pictures:
            typer.echo(picture)
