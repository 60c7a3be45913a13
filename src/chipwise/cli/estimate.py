"""`chipwise estimate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from chipwise import api
from chipwise.cli.answer import (
    InputShapeOption,
    JsonFlag,
    NetworkArgument,
    WeightsOption,
    answer,
    begun,
    progress,
    shape,
)
from chipwise.core.units import parse_duration_s, parse_whole

if TYPE_CHECKING:
    from chipwise.core.estimation import Estimation
    from chipwise.views.estimate_table import EstimateTable

_MOST = 2**24


def complete_device(incomplete: str) -> list[str]:
    """Short names of devices and systems that begin so."""
    return begun(api.device_names(), incomplete.lower())


def complete_precision(incomplete: str) -> list[str]:
    """Number formats that begin so."""
    return begun(api.PRECISIONS, incomplete.lower())


def complete_technique(incomplete: str) -> list[str]:
    """Techniques that begin so."""
    return begun(api.TECHNIQUES, incomplete.lower())


OnOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="DEVICE",
        help="Where: here (default), rtx4090, tpu-v3, edge-tpu, dgx-1, ...; several rank them.",
        autocompletion=complete_device,
    ),
]
PhaseOption = Annotated[Literal["infer", "train"], typer.Option(help="Inference, or one step of training.")]
BatchOption = Annotated[str, typer.Option(metavar="N,...", help="Items per step, as 1,8,32; or sweep, with the knee.")]
PrecisionOption = Annotated[
    str | None,
    typer.Option(metavar="F", help="fp32, tf32, fp16, bf16, int8, amp, ...", autocompletion=complete_precision),
]
RuntimeOption = Annotated[
    Literal["torch", "onnxruntime", "openvino"] | None, typer.Option(help="Software; the usual one by default.")
]
TechniqueOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="T",
        help="channels_last, checkpointing; the optimizer: adamw, adam, sgd, ...",
        autocompletion=complete_technique,
    ),
]
RooflineOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Draw every layer under the roof: X.svg, X.png or X.html.")
]
CatalogueOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="More devices: a .toml file of yours, or a folder of them.")
]
ProfileOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="For the machine on which doctor --save wrote this.")
]


def main(
    network: NetworkArgument,
    on: OnOption = None,
    phase: PhaseOption = "infer",
    batch: BatchOption = "1",
    precision: PrecisionOption = None,
    compiled: Annotated[bool, typer.Option("--compiled", help="Run by what fuses layers.")] = False,
    runtime: RuntimeOption = None,
    technique: TechniqueOption = None,
    layers: Annotated[bool, typer.Option("--layers", help="Show every layer: time, FLOPs, bytes, bound.")] = False,
    roofline: RooflineOption = None,
    data_size: Annotated[int | None, typer.Option(help="Items of the data: says what an epoch costs.")] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the data.")] = 1,
    catalogue: CatalogueOption = None,
    profile: ProfileOption = None,
    measure: Annotated[bool, typer.Option("--measure", help="Run it here, too, and score the prediction.")] = False,
    budget: Annotated[str, typer.Option(metavar="TIME", help="Time for the measurement.")] = "20s",
    input_shape: InputShapeOption = None,
    weights: WeightsOption = None,
    json: JsonFlag = False,
) -> None:
    """Tell what a network takes on any device: time with its interval, what bounds it, memory, energy and money."""
    sizes: str | list[int] = "sweep"
    if batch.strip().lower() != "sweep":
        sizes = [parse_whole("--batch", size.strip(), 1, _MOST) for size in batch.split(",")]
    with progress() as bars:
        record = api.estimate(
            network,
            on=on or None,
            phase=phase,
            batch=sizes,
            precision=precision,
            compiled=compiled,
            runtime=runtime or "",
            techniques=technique or (),
            layers=layers,
            roofline=roofline,
            data_size=data_size,
            epochs=epochs,
            catalogue=catalogue,
            profile=profile,
            measure=measure,
            budget_s=parse_duration_s(budget),
            input_shape=shape(input_shape),
            weights=weights,
            progress=bars,
        )
    answer(record, json=json, shown=lambda: _table(record))


def _table(record: Estimation) -> EstimateTable:
    from chipwise.views.estimate_table import EstimateTable  # noqa: PLC0415  `--help` must not import rich

    return EstimateTable(record)
