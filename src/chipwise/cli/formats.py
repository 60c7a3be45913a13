"""`chipwise formats`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chipwise import api
from chipwise.cli.answer import (
    JsonFlag,
    PreprocessOption,
    WeightsOption,
    answer,
    begun,
    network_names,
    progress,
    say_picture,
)

if TYPE_CHECKING:
    from chipwise.core.format_report import FormatReport
    from chipwise.views.formats_table import FormatsTable


def complete_format(incomplete: str) -> list[str]:
    """Number formats that begin so; of several with commas between them, the last."""
    before, comma, last = incomplete.rpartition(",")
    return [before + comma + name for name in begun(api.format_names(), last)]


def main(
    only: Annotated[
        str | None,
        typer.Option(
            metavar="F,...",
            help="These alone: fp32, bf16, int8, mxfp4-e2m1, posit-8-1, log-8-1-5-5-7, ...",
            autocompletion=complete_format,
        ),
    ] = None,
    gates: Annotated[
        bool, typer.Option("--gates", help="All adders and multipliers out of NAND gates, whatever --only says.")
    ] = False,
    network: Annotated[
        str | None,
        typer.Option(
            metavar="NET", help="Try a trained network under each: needs --data.", autocompletion=network_names
        ),
    ] = None,
    data: Annotated[str | None, typer.Option("--data", "-d", metavar="D", help="Labelled samples.")] = None,
    samples: Annotated[int, typer.Option(metavar="N", help="Of the test part.")] = 200,
    picture: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw their values: X.svg or X.png.")] = None,
    weights: WeightsOption = None,
    preprocess: PreprocessOption = None,
    json: JsonFlag = False,
) -> None:
    """Show what number formats hold and cost, the gates they take, and what a network loses under each."""
    names = [name.strip() for name in (only or "").split(",") if name.strip()]
    with progress() as bars:
        record = api.formats(
            *names,
            gates=gates,
            network=network,
            data=data,
            samples=samples,
            picture=picture,
            weights=weights,
            preprocess=preprocess,
            progress=bars,
        )
    say_picture(record.picture, json=json)
    answer(record, json=json, shown=lambda: _table(record))


def _table(record: FormatReport) -> FormatsTable:
    from chipwise.views.formats_table import FormatsTable  # noqa: PLC0415  `--help` must not import rich

    return FormatsTable(record)
