"""`chipwise compile`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chipwise import api
from chipwise.cli.answer import (
    NETWORK_HELP,
    GoalOption,
    InputShapeOption,
    JsonFlag,
    LabelsOption,
    PreprocessOption,
    TaskOption,
    Uint8Flag,
    WeightsOption,
    answer,
    network_names,
    progress,
    shape,
)
from chipwise.core.units import parse_duration_s, parse_share


def main(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="X.plan", help="The plan file to write.")],
    network: Annotated[
        str | None, typer.Argument(metavar="NET", help=NETWORK_HELP, autocompletion=network_names)
    ] = None,
    from_plan: Annotated[
        Path | None, typer.Option("--from", metavar="X.plan", help="Compile the network of a plan anew, here.")
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", "-d", metavar="D", help="Samples for calibration and guard.")
    ] = None,
    max_drop: Annotated[
        str | None, typer.Option(metavar="SHARE", help="Accuracy that may be lost (95% bound); 1% with data.")
    ] = None,
    goal: GoalOption = None,
    budget: Annotated[str, typer.Option(metavar="TIME", help="Time for the search.")] = "60s",
    runtime: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Try only this runtime (repeatable).")
    ] = None,
    allow: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Also try a runtime that is not portable.")
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option(metavar="fp32:LAYERS", help="Layers that stay in float, as fp32:conv1,fc.")
    ] = None,
    uint8: Uint8Flag = False,
    weights: WeightsOption = None,
    preprocess: PreprocessOption = None,
    task: TaskOption = None,
    labels: LabelsOption = None,
    input_shape: InputShapeOption = None,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    json: JsonFlag = False,
) -> None:
    """Find the best way to run a network here and write it as one plan file; exit 1 when the goal is missed."""
    kept = f"the best so far, if anything ran, is in {output}; the same command finds what is known again"
    with progress(interrupted=kept) as bars:
        plan = api.compile(
            network,
            from_plan=from_plan,
            output=output,
            data=data,
            goal=goal,
            max_drop=None if max_drop is None else parse_share(max_drop),
            budget_s=parse_duration_s(budget),
            seed=seed,
            runtimes=runtime or (),
            allow=allow or (),
            keep=keep or (),
            uint8=uint8,
            weights=weights,
            preprocess=preprocess,
            task=task,
            labels=labels,
            input_shape=shape(input_shape),
            progress=bars,
        )
    answer(plan.manifest, json=json)
    if plan.manifest.unmet:
        bars.note(f"the goal is missed: {plan.manifest.unmet}")
        raise typer.Exit(1)
