"""`chipwise leaderboard`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chipwise import api
from chipwise.cli.answer import JsonFlag, answer, begun, data_names, progress
from chipwise.core.board import FIELDS
from chipwise.core.errors import InputError
from chipwise.core.units import parse_duration_s

if TYPE_CHECKING:
    from chipwise.core.board import Leaderboard

_INTERRUPTED = "verdicts so far are kept; the same command goes on"


def complete_field(incomplete: str) -> list[str]:
    """Fields of the board that begin so; of several with commas between them, the last."""
    before, comma, last = incomplete.rpartition(",")
    return [before + comma + name for name in begun(FIELDS, last)]


Ledger = Annotated[Path, typer.Argument(metavar="[LEDGER]", help="A file of rows, or the folder of a search.")]
By = Annotated[str, typer.Option(metavar="FIELD", help="What ranks.", autocompletion=complete_field)]
Pareto = Annotated[str, typer.Option(metavar="A,B", help="Mark the front of two.", autocompletion=complete_field)]
Data = Annotated[
    str | None,
    typer.Option(
        "--data", "-d", metavar="D", help="Rows of this data set; what --verify runs on.", autocompletion=data_names
    ),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write the page X.html, or the front X.svg or X.png."),
]
Imports = Annotated[
    list[Path] | None, typer.Option("--import", metavar="FILE", help="Take in messages or rows as claims.")
]
Samples = Annotated[int | None, typer.Option(metavar="N", help="Test samples for --verify, drawn at random.")]


def main(
    ledger: Ledger = Path("runs") / "search",
    by: By = "score",
    pareto: Pareto = "score,fit_s",
    metric: Annotated[str | None, typer.Option(metavar="M", help="Rank rows of this metric.")] = None,
    data: Data = None,
    group: Annotated[
        str | None, typer.Option(metavar="NAME", help="Rows of this group; the author of --import.")
    ] = None,
    output: Output = None,
    imports: Imports = None,
    verify: Annotated[bool, typer.Option("--verify", help="Run what is claimed, on --data.")] = False,
    samples: Samples = None,
    each: Annotated[str, typer.Option(metavar="TIME", help="Time for a model of --verify, at most.")] = "10min",
    seed: Annotated[int, typer.Option(min=0, help="Of every random choice of --verify.")] = 0,
    top: Annotated[int, typer.Option(min=0, metavar="N", help="Rows to show; 0 for all.")] = 20,
    live: Annotated[bool, typer.Option("--live", help="Show it until Ctrl-C, as it changes.")] = False,
    json: JsonFlag = False,
) -> None:
    """Show who is best at what price, and whether what others claim is so."""
    board: Any = partial(
        api.leaderboard, ledger, metric=metric, by=by, pareto=_two(pareto), data=data, group=group, most=top or None
    )
    if live:
        if json or verify or imports or output:
            raise InputError("--live only shows", hint="leave --json, --output, --import and --verify out")
        from chipwise.views.leaderboard_live import follow  # noqa: PLC0415  `--help` must not import rich

        record = follow(board)
    else:
        with progress(_INTERRUPTED) as bars:
            record = board(
                imports=imports or (),
                verify=verify,
                samples=samples,
                each_s=parse_duration_s(each),
                seed=seed,
                output=output,
                progress=bars,
            )
    answer(record, json=json, shown=lambda: _shown(record))


def _shown(record: Leaderboard) -> Any:
    from chipwise.views.leaderboard_table import leaderboard_table  # noqa: PLC0415  as above

    return leaderboard_table(record)


def _two(text: str) -> tuple[str, ...]:
    """Two names with a comma between them.

    Raises:
        InputError: there are not two.
    """
    names = tuple(name.strip() for name in text.split(","))
    if len(names) != 2:
        raise InputError(f"a front of {len(names)} field{'s' * (len(names) != 1)}", hint="--pareto score,fit_s")
    return names
