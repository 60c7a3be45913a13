"""`chipwise arrays`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chipwise import api
from chipwise.cli.answer import JsonFlag, answer, begun, progress, say_picture
from chipwise.core.units import parse_duration_s, parse_sizes


def complete_operation(incomplete: str) -> list[str]:
    """Operations that begin so; of several with commas between them, the last."""
    before, comma, last = incomplete.rpartition(",")
    return [before + comma + name for name in begun(api.array_operations(), last)]


def complete_library(incomplete: str) -> list[str]:
    """Libraries that begin so; of several with commas between them, the last."""
    before, comma, last = incomplete.rpartition(",")
    return [before + comma + name for name in begun(api.array_libraries(), last)]


def main(
    operations: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="These alone: slice, copy, index, broadcast, elementwise, sum, matmul, fft, sort, ...",
            autocompletion=complete_operation,
        ),
    ] = None,
    sizes: Annotated[
        str, typer.Option(metavar="A..B", help="Values of an array: powers of ten from A to B, or some as 1000,5e4.")
    ] = "1e3..1e7",
    libraries: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="Beside NumPy: torch, jax, cupy, numba; all that are installed by default.",
            autocompletion=complete_library,
        ),
    ] = None,
    budget: Annotated[str, typer.Option("--for", metavar="TIME", help="Time for measuring.")] = "2min",
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw times against sizes: X.svg or X.png.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the arrays, and of the order of turns.")] = 0,
    json: JsonFlag = False,
) -> None:
    """Tell from which size torch, JAX, CuPy or Numba pay against NumPy, on the operations that people use."""
    with progress() as bars:
        record = api.arrays(
            operations=_names(operations),
            sizes=parse_sizes("--sizes", sizes, *api.ARRAY_SIZES),
            libraries=_names(libraries),
            budget_s=parse_duration_s(budget),
            picture=picture,
            seed=seed,
            progress=bars,
        )
    say_picture(record.picture, json=json)
    answer(record, json=json)


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]
