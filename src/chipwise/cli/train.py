"""`chipwise train`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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

if TYPE_CHECKING:
    from chipwise.core.training_memory import TrainingFit

_MODEL_FILES = re.compile(r"\.(onnx|cfg|prototxt|keras|h5|cwz)$")


MemoryOption = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE|auto",
        help="What the process may take, as 10GB: micro-batches, bf16, checkpointing, ... are chosen until it fits.",
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
        metavar="dp2,tp2",
        help="Several processes, along dp, zero1, zero2, fsdp, tp, pp, sph, spw: the same curve.",
        autocompletion=mesh_names,
    ),
]
MachinesOption = Annotated[
    str | None,
    typer.Option(metavar="N/M@HOST:PORT", help="This is machine N of M, which meet at the first; all see DIR."),
]


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
    input_shape: InputShapeOption = None,
    preprocess: PreprocessOption = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out pictures that cannot be read.")] = False,
    memory: MemoryOption = None,
    tune: TuneFlag = False,
    tune_for: Annotated[str, typer.Option(metavar="TIME", help="Time for --tune, about.")] = "2min",
    found: FoundOption = None,
    mesh: MeshOption = None,
    machines: MachinesOption = None,
    explain: ExplainFlag = False,
    json: JsonFlag = False,
) -> None:
    """Train a network on this machine; an interrupted run goes on where it stopped."""
    settings = recipe.given(**recipe.among(locals()))
    settings |= {"weights": weights, "input_shape": shape(input_shape), "preprocess": preprocess}
    settings |= {"skip_bad": skip_bad, "memory": memory}
    if explain:
        told = _explained(network, data, settings, mesh=mesh, tuned=tune or found is not None)
        answer(told, json=json)
        raise typer.Exit(1 if told.smallest is not None else 0)
    folder = output if output is not None else default_folder(network)
    with progress(interrupted=GOES_ON) as bars:
        settings |= {"tune_s": parse_duration_s(tune_for) if tune else None, "recipe": found}
        settings |= {"mesh": mesh, "machines": machines, "fresh": fresh}
        result = api.train(network, data, folder=folder, progress=bars, **settings)
    answer(result, json=json)
    missed = target_accuracy is not None and result.stopped != "target reached"
    raise typer.Exit(1 if missed else 0)


def _explained(network: str, data: str, settings: dict[str, Any], *, mesh: str | None, tuned: bool) -> TrainingFit:
    """What memory training takes in one process."""
    if mesh is not None:
        raise InputError(f"memory is predicted for one process, and --mesh {mesh} has several")
    if tuned:
        raise InputError("--explain tells of settings as they are given", hint="leave --tune and --recipe out")
    with progress() as bars:
        return api.training_memory(network, data, progress=bars, **settings)
