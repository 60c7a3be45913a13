"""`chipwise train`."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer

from chipwise import api
from chipwise.cli import recipe
from chipwise.cli.answer import (
    GOES_ON,
    DataOption,
    InputShapeOption,
    JsonFlag,
    NetworkArgument,
    PreprocessOption,
    answer,
    begun,
    mesh_names,
    progress,
    shape,
)
from chipwise.core.errors import InputError
from chipwise.core.units import parse_duration_s

_MODEL_FILES = re.compile(r"\.(onnx|cfg|prototxt|keras|h5|cwz)$")


MemoryOption = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE|auto",
        help="What a process may take, as 10GB: micro-batches, bf16, checkpointing, ... are chosen until it fits.",
        autocompletion=lambda incomplete: begun(("auto",), incomplete),
    ),
]
TuneFlag = Annotated[
    bool, typer.Option("--tune", help="First find out how steps are fastest here; kept in DIR/recipe.json.")
]
FoundOption = Annotated[
    Path | None, typer.Option("--recipe", metavar="FILE", help="Settings that chipwise tune -o wrote.")
]
ExplainFlag = Annotated[
    bool, typer.Option("--explain", help="Tell what memory training would take, and train nothing.")
]


MeshOption = Annotated[
    str | None,
    typer.Option(
        metavar="dp2,tp2|auto:N",
        help="Several processes, along dp, zero1, zero2, fsdp, tp, pp, sph, spw, oc: the same curve; auto: what fits.",
        autocompletion=mesh_names,
    ),
]
MachinesOption = Annotated[
    str | None,
    typer.Option(metavar="N/M@HOST:PORT", help="This is machine N of M, which meet at the first; all see DIR."),
]


OnOption = Annotated[
    Literal["ray"] | None,
    typer.Option(help="Run the processes of --mesh on Ray: RAY_ADDRESS's cluster, or one of here."),
]
Curve = Annotated[
    Literal["data", "capacity", "epochs"] | None,
    typer.Option(help="Instead: train again and again, and show where it underfits and overfits."),
]
Variants = Annotated[
    str | None,
    typer.Option(
        metavar="V,...",
        help="Of a curve: plain, l1, l2, dropout, augment, usual; default plain.",
        autocompletion=lambda incomplete: recipe.completed_list(api.variant_names(), incomplete),
    ),
]
Seeds = Annotated[int | None, typer.Option(min=1, help="Of a curve: runs at each point.")]
Points = Annotated[
    str | None, typer.Option(metavar="P,...", help="Of a curve: shares of the data, or widths, as 1/8,1/2,1.")
]
Pictures = Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the curve: X.svg, or X.html.")]


_ALWAYS = ("weights", "preprocess", "skip_bad")
_OF_CURVES = ("variants", "seeds", "points", "pictures")


def default_folder(network: str) -> Path:
    """Where a network is trained when nothing is said: networks that differ have folders that differ."""
    name = _MODEL_FILES.sub("", Path(network).name)
    return Path("runs") / (re.sub(r"[^\w.=,+-]+", "-", name).strip("-.") or "network")


def main(
    network: NetworkArgument,
    data: DataOption = "digits",
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="DIR", help="Default: runs/NET.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget an earlier run in that folder.")] = False,
    weights: recipe.Weights = None,
    freeze: recipe.Freeze = None,
    unfreeze_after: recipe.UnfreezeAfter = None,
    backbone_rate: recipe.BackboneRate = None,
    epochs: recipe.Epochs = None,
    target_accuracy: recipe.TargetAccuracy = None,
    batch_size: recipe.BatchSize = None,
    learning_rate: recipe.LearningRate = None,
    optimizer: recipe.Optimizer = None,
    momentum: recipe.Momentum = None,
    nesterov: recipe.Nesterov = None,
    schedule: recipe.Schedule = None,
    patience: recipe.Patience = None,
    weight_decay: recipe.WeightDecay = None,
    l1: recipe.L1 = None,
    clip_norm: recipe.ClipNorm = None,
    dropout: recipe.Dropout = None,
    ema: recipe.Ema = None,
    loss: recipe.Loss = None,
    augment: recipe.Augment = None,
    teacher: recipe.Teacher = None,
    teacher_weights: recipe.TeacherWeights = None,
    teacher_share: recipe.TeacherShare = None,
    teacher_temperature: recipe.TeacherTemperature = None,
    precision: recipe.Precision = None,
    seed: recipe.Seed = None,
    threads: recipe.Threads = None,
    loading: recipe.Loading = None,
    workers: recipe.Workers = None,
    device: recipe.Device = None,
    feeding: recipe.Feeding = None,
    input_shape: InputShapeOption = None,
    preprocess: PreprocessOption = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out pictures that cannot be read.")] = False,
    memory: MemoryOption = None,
    tune: TuneFlag = False,
    tune_for: Annotated[str, typer.Option(metavar="TIME", help="Time for --tune, about.")] = "2min",
    found: FoundOption = None,
    mesh: MeshOption = None,
    machines: MachinesOption = None,
    on: OnOption = None,
    explain: ExplainFlag = False,
    curve: Curve = None,
    variants: Variants = None,
    seeds: Seeds = None,
    points: Points = None,
    pictures: Pictures = None,
    json: JsonFlag = False,
) -> None:
    """Train a network on this machine; an interrupted run goes on where it stopped."""
    given = locals()
    settings = recipe.given(**recipe.among(given)) | {name: given[name] for name in _ALWAYS}
    settings["input_shape"] = shape(input_shape)
    _answer(network, data, settings, given)


def _answer(network: str, data: str, settings: dict[str, Any], given: dict[str, Any]) -> None:
    """Draw a curve, explain, or train: what was asked for."""
    if given["curve"] is not None:
        _curve(network, data, settings, given)
        return
    _refuse("needs a kind of curve: --curve", **{name: given[name] for name in _OF_CURVES})
    if given["explain"]:
        _explain(network, data, settings, given)
    _train(network, data, settings, given)


def _train(network: str, data: str, settings: dict[str, Any], given: dict[str, Any]) -> NoReturn:
    """Train; 1 where accuracy was a goal and was not reached."""
    settings |= {name: given[name] for name in ("fresh", "memory", "mesh", "machines", "on")}
    settings |= {"tune_s": parse_duration_s(given["tune_for"]) if given["tune"] else None, "recipe": given["found"]}
    folder = default_folder(network) if given["output"] is None else given["output"]
    with progress(interrupted=GOES_ON) as bars:
        result = api.train(network, data, folder=folder, progress=bars, **settings)
    answer(result, json=given["json"])
    missed = given["target_accuracy"] is not None and result.stopped != "target reached"
    raise typer.Exit(1 if missed else 0)


def _explain(network: str, data: str, settings: dict[str, Any], given: dict[str, Any]) -> NoReturn:
    """Answer with the memory that training would take."""
    alone = {name: given[name] for name in ("machines", "on")}
    _refuse("is not for --explain", tune=given["tune"] or None, recipe=given["found"], **alone)
    with progress() as bars:
        told = api.training_memory(network, data, memory=given["memory"], mesh=given["mesh"], progress=bars, **settings)
    answer(told, json=given["json"])
    raise typer.Exit(1 if told.smallest is not None else 0)


def _curve(network: str, data: str, settings: dict[str, Any], given: dict[str, Any]) -> None:
    """Answer with a curve."""
    alone = {name: given[name] or None for name in ("memory", "teacher", "mesh", "machines", "on", "explain", "tune")}
    alone |= {name: given[name] for name in ("loading", "workers", "device", "feeding")}
    _refuse("is not for curves", **alone, recipe=given["found"])
    named = {name: given[name] for name in _OF_CURVES if given[name] is not None}
    if "variants" in named:
        named["variants"] = tuple(name.strip() for name in named["variants"].split(","))
    if "points" in named:
        named["points"] = tuple(map(_point, named["points"].split(",")))
    home, output = default_folder(network), given["output"]
    named["folder"] = output if output is not None else home.with_name(f"{home.name}-curves")
    how = {"kind": given["curve"], "fresh": given["fresh"], **settings}
    with progress(interrupted=GOES_ON) as bars:
        record = api.learning_curve(network, data, progress=bars, **named, **how)
    answer(record, json=given["json"])
    if "pictures" in named:
        typer.echo(f"the curves are in {named['pictures']}", err=True)


def _point(text: str) -> float:
    try:
        return float(Fraction(text.strip()))
    except (ValueError, ZeroDivisionError, OverflowError):
        raise typer.BadParameter(f"{text!r} is no point; write it as 0.25 or 1/4") from None


def _refuse(why: str, **options: Any) -> None:
    """Refuse options that would not be heeded."""
    for name, value in options.items():
        if value is not None:
            raise InputError(f"--{name.replace('_', '-')} {why}", hint="leave it out")
