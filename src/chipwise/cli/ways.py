"""The options of compression: how far, in which way, and what is drawn of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

MaxDrop = Annotated[
    str | None, typer.Option(metavar="SHARE", help="Or: as small as loses no more accuracy than that, as 0.5%.")
]
Rounding = Annotated[
    Literal["steps", "codebook"], typer.Option(help="Values of weights: whole numbers times a step, or k-means.")
]
Start = Annotated[
    Literal["linear", "density", "random"] | None, typer.Option(help="Of k-means, for codebooks; default linear.")
]
Bits = Annotated[str | None, typer.Option(metavar="2..8|auto", help="Of a weight; auto chooses them layer by layer.")]
Scope = Annotated[
    Literal["adaptive", "global", "layer", "sensitivity"],
    typer.Option(help="One threshold for all layers, the same share of each, or each until the loss rises alike."),
]
Pruning = Annotated[
    Literal["gradual", "iterative"],
    typer.Option(help="Prune while it trains, or in turns with training at a tenth of the rate."),
]
Pictures = Annotated[
    Path | None, typer.Option(metavar="X.html|DIR", help="Draw where weights lie, and accuracy as they go.")
]
Folder = Annotated[Path | None, typer.Option(metavar="DIR", help="What each stage leaves; default X.cwz.stages.")]


def bits_of(text: str | None) -> int | Literal["auto"] | None:
    """Read a number of bits, or "auto".

    Raises:
        BadParameter: when it is neither.
    """
    if text is None or text == "auto":
        return "auto" if text else None
    if text.isdecimal() and 2 <= int(text) <= 8:
        return int(text)
    raise typer.BadParameter(f"bits is {text!r}; a number from 2 to 8, or auto")
