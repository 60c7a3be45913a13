"""`chipwise search`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chipwise import api
from chipwise.cli.answer import GOES_ON, DataOption, JsonFlag, answer, begun, progress
from chipwise.core.errors import InputError
from chipwise.core.units import parse_bytes, parse_duration_s, parse_number

if TYPE_CHECKING:
    from chipwise.core.contest import Contest

_SEARCHED = f"the board so far is in the ledger; {GOES_ON}"


def complete_kind(incomplete: str) -> list[str]:
    """Kinds of contestants that begin so; of several with commas between them, the last."""
    before, comma, last = incomplete.rpartition(",")
    return [before + comma + name for name in begun(api.kind_names(), last)]


def _among(*names: str) -> Any:
    return lambda incomplete: begun(names, incomplete)


MaxPredict = Annotated[str | None, typer.Option("--max-predict", metavar="TIME", help="To predict one item, as 1ms.")]
MaxSize = Annotated[str | None, typer.Option("--max-size", metavar="SIZE", help="Of the saved model, as 100KB.")]
MaxCost = Annotated[str | None, typer.Option("--max-cost", metavar="USD", help="Of fitting it, as 0.05usd.")]
Price = Annotated[str | None, typer.Option("--price", metavar="USD", help="Of one thread for an hour, as 0.04usd.")]
Ledger = Annotated[Path, typer.Option("--ledger", metavar="FILE", help="File of the rows, or a folder for it.")]
Own = Annotated[
    list[str] | None, typer.Option("--with", metavar="FILE.py:F", help="A model of your own, which F() gives.")
]
Kinds = Annotated[
    str | None,
    typer.Option("--kinds", metavar="A,B", help="Only these kinds of contestants.", autocompletion=complete_kind),
]
Metric = Annotated[
    str,
    typer.Option(
        metavar="M", help="accuracy or balanced-accuracy.", autocompletion=_among("accuracy", "balanced-accuracy")
    ),
]
Sampler = Annotated[
    str, typer.Option(metavar="S", help="tpe, random or grid.", autocompletion=_among("tpe", "random", "grid"))
]
Then = Annotated[
    str, typer.Option("--then", metavar="compile", help="Compile the winner.", autocompletion=_among("compile"))
]
On = Annotated[
    str,
    typer.Option("--on", metavar="ray", help="Run trials as tasks on a Ray cluster.", autocompletion=_among("ray")),
]


def main(
    data: DataOption = "digits",
    budget: Annotated[str, typer.Option("--for", metavar="TIME", help="Time for all of it.")] = "60s",
    ledger: Ledger = Path("runs") / "search",
    metric: Metric = "accuracy",
    max_predict: MaxPredict = None,
    max_size: MaxSize = None,
    max_cost: MaxCost = None,
    price: Price = None,
    own: Own = None,
    kinds: Kinds = None,
    sampler: Sampler = "tpe",
    seed: Annotated[int, typer.Option(min=0, help="Of samplers and models.")] = 0,
    jobs: Annotated[int | None, typer.Option(min=1, help="Trials at once, of one thread each. [cores]")] = None,
    memory: Annotated[str | None, typer.Option(metavar="SIZE", help="That one trial may have, as 4GB.")] = None,
    group: Annotated[str, typer.Option(metavar="NAME", help="Who asks, for the board.")] = "",
    on: On = "",
    then: Then = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="X.plan", help="The plan of --then compile.")
    ] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out pictures that cannot be read.")] = False,
    json: JsonFlag = False,
) -> None:
    """Let many models compete on score, time, size and money; Ctrl-C gives the board so far."""
    with progress(_SEARCHED) as bars:
        record = api.search(
            data,
            for_s=parse_duration_s(budget),
            ledger=ledger,
            metric=metric,
            max_predict_s=None if max_predict is None else parse_duration_s(max_predict),
            max_size_bytes=None if max_size is None else parse_bytes(max_size),
            max_cost_usd=_usd("--max-cost", max_cost),
            usd_an_hour=_usd("--price", price),
            own=own or (),
            kinds=tuple(name.strip() for name in kinds.split(",")) if kinds else (),
            sampler=sampler,
            seed=seed,
            jobs=jobs,
            memory_bytes=None if memory is None else parse_bytes(memory),
            group=group,
            on=on,
            then=then,
            output=output,
            skip_bad=skip_bad,
            progress=bars,
        )
    answer(record, json=json, shown=lambda: _shown(record))
    raise typer.Exit(_code(record))


def _shown(record: Contest) -> Any:
    from chipwise.views.contest_table import contest_table  # noqa: PLC0415  `--help` must not import rich

    return contest_table(record)


def _code(record: Contest) -> int:
    """130 where it was interrupted; 1 where no contestant came to the end."""
    if not record.complete:
        return 130
    return 0 if record.winner is not None and record.winner.test is not None else 1


def _usd(option: str, text: str | None) -> float | None:
    """Read "0.05usd" or "0.05" as dollars.

    Raises:
        InputError: it is none, or below 0.
    """
    if text is None:
        return None
    value = parse_number(option, text.lower().removesuffix("usd").strip(), "0.05usd")
    if value < 0:
        raise InputError(f"{option} is {text!r}", hint=f"write {option} 0.05usd")
    return value
