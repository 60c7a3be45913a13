"""`chipwise crossover`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chipwise import api
from chipwise.cli.answer import JsonFlag, answer, begun, progress, say_picture
from chipwise.cli.estimate import CatalogueOption
from chipwise.core.crossover import CROSSOVER_PRECISIONS, NETS
from chipwise.core.units import parse_duration_s, parse_size


def complete_net(incomplete: str) -> list[str]:
    """Networks of any size that begin so."""
    return begun(NETS, incomplete)


def complete_devices(incomplete: str) -> list[str]:
    """Devices that begin so; of several with commas between them, the last."""
    before, comma, last = incomplete.lower().rpartition(",")
    return [before + comma + name for name in begun(api.device_names(), last)]


def complete_precision(incomplete: str) -> list[str]:
    """Ways to compute that begin so."""
    return begun(CROSSOVER_PRECISIONS, incomplete)


def main(
    net: Annotated[str, typer.Option(metavar="NET", help="mlp or cnn.", autocompletion=complete_net)] = "mlp",
    smallest: Annotated[str, typer.Option("--from", metavar="N", help="Parameters of the smallest network.")] = "1e4",
    largest: Annotated[str, typer.Option("--to", metavar="N", help="Parameters of the largest.")] = "1e8",
    points: Annotated[int, typer.Option(help="Sizes from one to the other.")] = 9,
    on: Annotated[
        str,
        typer.Option(
            metavar="DEVICE,...",
            help="Where; all are compared with here, or else with the first.",
            autocompletion=complete_devices,
        ),
    ] = "here,rtx3090,h100",
    batch: Annotated[int, typer.Option(help="Samples a step.")] = 64,
    precision: Annotated[
        str, typer.Option(metavar="F", help="fp32, or amp: bf16 here.", autocompletion=complete_precision)
    ] = "fp32",
    data_size: Annotated[int | None, typer.Option(help="Samples of the data: says what an epoch takes.")] = None,
    budget: Annotated[str, typer.Option("--for", metavar="TIME", help="Time for measuring here.")] = "1min",
    catalogue: CatalogueOption = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw steps against parameters: X.svg or X.png.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights and samples.")] = 0,
    json: JsonFlag = False,
) -> None:
    """Tell from how many parameters on a device trains faster than this machine, and why. Measured here."""
    with progress() as bars:
        record = api.crossover(
            net,
            smallest=parse_size("--from", smallest, *api.CROSSOVER_SIZES),
            largest=parse_size("--to", largest, *api.CROSSOVER_SIZES),
            points=points,
            on=[name.strip() for name in on.split(",") if name.strip()],
            batch=batch,
            precision=precision,
            data_size=data_size,
            budget_s=parse_duration_s(budget),
            catalogue=catalogue,
            picture=picture,
            seed=seed,
            progress=bars,
        )
    say_picture(record.picture, json=json)
    answer(record, json=json)
