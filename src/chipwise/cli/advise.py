"""`chipwise advise`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from chipwise import api
from chipwise.cli.answer import InputShapeOption, JsonFlag, NetworkArgument, WeightsOption, answer, shape
from chipwise.cli.estimate import CatalogueOption, PrecisionOption, complete_device
from chipwise.core.units import parse_bytes, parse_duration_s, parse_money, parse_rate, parse_watts

if TYPE_CHECKING:
    from chipwise.core.advice import Advice
    from chipwise.views.advice_table import AdviceTable

ForOption = Annotated[Literal["training", "inference"], typer.Option("--for", help="What the hardware is for.")]
BudgetOption = Annotated[
    str | None, typer.Option(metavar="MONEY", help="To buy, as 1500eur or 1500usd; to rent, as 2usd/h.")
]
HaveOption = Annotated[
    list[str] | None,
    typer.Option(metavar="DEVICE", help="What is there already, as rtx3080x2.", autocompletion=complete_device),
]
PayOption = Annotated[Literal["buy", "rent"] | None, typer.Option(help="Only what is bought, or rented.")]
ByOption = Annotated[
    Literal["cost", "time", "energy"] | None,
    typer.Option(help="What decides; time where a budget or watts bound the rest, else cost."),
]


def main(
    network: NetworkArgument,
    purpose: ForOption,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Items of a step of all devices (256), or of a call of each.")
    ] = None,
    data_size: Annotated[int | None, typer.Option(min=1, help="Items of the training data.")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the data.")] = 1,
    budget: BudgetOption = None,
    deadline: Annotated[str | None, typer.Option(metavar="TIME", help="Of all the training, as 1day or 12h.")] = None,
    memory_limit: Annotated[
        str | None, typer.Option(metavar="BYTES", help="That a device may use at most, as 10GB.")
    ] = None,
    latency: Annotated[str | None, typer.Option(metavar="TIME", help="Of an answer, as 7ms.")] = None,
    rate: Annotated[str | None, typer.Option(metavar="N/s", help="Answers a second of all devices, as 1000/s.")] = None,
    watts: Annotated[str | None, typer.Option(metavar="W", help="Of all devices, as 15.")] = None,
    have: HaveOption = None,
    pay: PayOption = None,
    by: ByOption = None,
    precision: PrecisionOption = None,
    prices: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A .toml file of prices, in the place of the catalogue's.")
    ] = None,
    catalogue: CatalogueOption = None,
    input_shape: InputShapeOption = None,
    weights: WeightsOption = None,
    json: JsonFlag = False,
) -> None:
    """Rank hardware for a network: what fits and how, time, energy, money; which to take, what would change that."""
    record = api.advise(
        network,
        phase=purpose,
        batch=batch,
        data_size=data_size,
        epochs=epochs,
        budget=None if budget is None else parse_money(budget),
        deadline_s=None if deadline is None else parse_duration_s(deadline),
        memory_bytes=None if memory_limit is None else parse_bytes(memory_limit),
        latency_s=None if latency is None else parse_duration_s(latency),
        rate_s=None if rate is None else parse_rate(rate),
        power_w=None if watts is None else parse_watts(watts),
        have=have or (),
        pay=pay or "",
        by=by,
        precision=precision,
        prices=prices,
        catalogue=catalogue,
        input_shape=shape(input_shape),
        weights=weights,
    )
    answer(record, json=json, shown=lambda: _table(record))
    raise typer.Exit(0 if record.candidates else 1)


def _table(record: Advice) -> AdviceTable:
    from chipwise.views.advice_table import AdviceTable  # noqa: PLC0415  `--help` must not import rich

    return AdviceTable(record)
