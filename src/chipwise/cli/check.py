"""`chipwise check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chipwise import api
from chipwise.cli.answer import DataOption, JsonFlag, answer, begun, plan_names, progress
from chipwise.core.errors import InputError
from chipwise.core.units import parse_share


def contestant_names(incomplete: str) -> list[str]:
    """What can be checked as the picture moves, and begins so: knn, plans, folders."""
    return begun(("knn",), incomplete) + plan_names(incomplete)


Checked = Annotated[
    list[str],
    typer.Argument(
        metavar="X.plan",
        help="A plan file. With --shift, --rotate or --scale: several, trained folders, model files, or knn.",
        autocompletion=contestant_names,
    ),
]
Pictures = Annotated[Path | None, typer.Option(metavar="FILE", help="Draw those curves: X.svg, or X.html.")]


def main(
    plan: Checked,
    data: DataOption = "digits",
    max_drop: Annotated[str | None, typer.Option(metavar="SHARE", help="Limit, as 1%; else the plan's own.")] = None,
    source: Annotated[str | None, typer.Option(metavar="NET", help="The source network, if not in the cache.")] = None,
    shift: Annotated[
        int | None, typer.Option(metavar="N", help="Accuracy as pictures move by up to so many pixels.")
    ] = None,
    rotate: Annotated[float | None, typer.Option(metavar="DEGREES", help="As they turn by so much, both ways.")] = None,
    scale: Annotated[float | None, typer.Option(metavar="F", help="As they become so many times as large.")] = None,
    samples: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Pictures that are moved, at most; default 2000.")
    ] = None,
    pictures: Pictures = None,
    json: JsonFlag = False,
) -> None:
    """Compare a plan's accuracy with its source's (exit 1 when it lost too much), or networks' as the picture moves."""
    if (shift, rotate, scale) != (None, None, None):
        _refuse("is for a plan beside its source", max_drop=max_drop, source=source)
        with progress() as bars:
            moved = api.check_moved(
                plan, data, shift=shift, rotate=rotate, scale=scale, samples=samples or 2000, pictures=pictures,
                progress=bars,
            )  # fmt: skip
        answer(moved, json=json)
        if pictures is not None:
            typer.echo(f"the curves are in {pictures}", err=True)
        return
    _refuse("needs a motion: --shift, --rotate or --scale", samples=samples, pictures=pictures)
    if len(plan) > 1:
        raise InputError(
            f"one plan is compared with its source; received {len(plan)}",
            hint="several are compared as the picture moves: --shift 4",
        )
    limit = None if max_drop is None else parse_share(max_drop)
    result = api.check(plan[0], data, max_drop=limit, source=source)
    answer(result, json=json)
    raise typer.Exit(0 if result.ok else 1)


def _refuse(why: str, **options: object) -> None:
    """Refuse options that would not be heeded."""
    for name, value in options.items():
        if value is not None:
            raise InputError(f"--{name.replace('_', '-')} {value} {why}", hint="leave it out")
