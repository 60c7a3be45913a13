"""The options of training, which `train` and `fit` share: what is not given comes from the network's recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from chipwise.cli.answer import begun, network_names
from chipwise.core.units import parse_share

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def completed_list(names: Iterable[str], incomplete: str, alone: Sequence[str] = ()) -> list[str]:
    """Lists of names that begin so: what follows the last comma is completed; some names stand alone."""
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in begun(names, last) if not (comma and name in alone)]


def _augmentations(incomplete: str) -> list[str]:
    """Lists of augmentations that begin so."""
    from chipwise import api  # noqa: PLC0415  completion must not slow down anything else

    return completed_list(api.augmentation_names(), incomplete, ("auto", "none"))


Epochs = Annotated[int | None, typer.Option(min=1, help="Passes over the training split.")]
TargetAccuracy = Annotated[str | None, typer.Option(metavar="SHARE", help="Stop at this validation accuracy, as 99%.")]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Samples a step.")]
LearningRate = Annotated[float | None, typer.Option("--learning-rate", "--lr", help="Highest of the schedule.")]
Optimizer = Annotated[Literal["adamw", "adam", "sgd"] | None, typer.Option(help="Update rule.")]
Schedule = Annotated[Literal["one-cycle", "cosine", "constant"] | None, typer.Option(help="Learning rate over time.")]
Patience = Annotated[int | None, typer.Option(min=1, help="Stop after so many epochs without a better one.")]
Weights = Annotated[
    Path | None,
    typer.Option(metavar="W", help="Trained weights to begin with: .safetensors, .pth, .th, or a trained folder."),
]
Freeze = Annotated[
    str | None,
    typer.Option(metavar="backbone|N", help="Hold all layers but the last, or the first N, in the first epochs."),
]
UnfreezeAfter = Annotated[
    int | None, typer.Option(min=0, help="Epochs until all layers learn; default a third of them, 0 never.")
]
BackboneRate = Annotated[
    float | None, typer.Option(help="Learning rate of what was frozen, as a share of the rest's; default 0.1.")
]
Loss = Annotated[Literal["cross-entropy", "hinge"] | None, typer.Option(help="What is made small.")]
L1 = Annotated[float | None, typer.Option("--l1", help="Weight of the sum of absolute weights in the loss.")]
WeightDecay = Annotated[float | None, typer.Option(help="On matrices and kernels.")]
Augment = Annotated[
    str | None,
    typer.Option(
        metavar="KINDS",
        help="Vary the pictures: auto, none, or several of affine,shift,crop,flip,cutout=0.5,mixup=0.2.",
        autocompletion=_augmentations,
    ),
]
Momentum = Annotated[float | None, typer.Option(help="Of sgd; default 0.9, 0 for none.")]
Nesterov = Annotated[bool | None, typer.Option("--nesterov/--plain-momentum", help="Kind of sgd's momentum.")]
ClipNorm = Annotated[float | None, typer.Option(metavar="NORM", help="Make longer gradients so long.")]
Ema = Annotated[
    float | None, typer.Option(metavar="DECAY", help="Keep an average of the weights over the steps, as 0.999.")
]
Dropout = Annotated[float | None, typer.Option(metavar="P", help="Rate of every dropout layer.")]
Teacher = Annotated[
    str | None,
    typer.Option(
        metavar="NET",
        help="Learn the answers of a trained network, too: a trained folder, .onnx, .cwz, or a zoo name.",
        autocompletion=network_names,
    ),
]
TeacherWeights = Annotated[Path | None, typer.Option(metavar="W", help="The teacher's weights, for a zoo name.")]
TeacherShare = Annotated[float | None, typer.Option(metavar="SHARE", help="Of its answers in the loss; default 0.9.")]
TeacherTemperature = Annotated[
    float | None, typer.Option(metavar="T", help="What scores are divided by to compare them; default 3.")
]
Precision = Annotated[
    Literal["fp32", "tf32", "bf16", "fp16"] | None,
    typer.Option(help="bf16 and fp16 are automatic mixed precision; fp16 scales the loss; tf32 is of GPUs."),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="auto|cpu|cuda|cuda:N|mps",
        help="Where it trains; default auto, CUDA where there is one.",
        autocompletion=lambda incomplete: begun(("auto", "cpu", "cuda", "cuda:0", "mps"), incomplete),
    ),
]
Feeding = Annotated[
    Literal["auto", "device", "pinned", "copied"] | None,
    typer.Option(help="How samples reach a GPU: they lie there, are sent ahead from pinned memory, or copied."),
]
Seed = Annotated[int | None, typer.Option(help="Of weights, order and augmentation.")]
Threads = Annotated[int | None, typer.Option(min=1, help="torch threads.")]
Loading = Annotated[
    Literal["auto", "ram", "workers"] | None,
    typer.Option(
        help="Where pictures of folder:DIR are: in memory, or read by workers; default auto, memory if they fit."
    ),
]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes that read pictures; default half the threads.")]


_NAMES = frozenset({
    "epochs", "target_accuracy", "batch_size", "learning_rate", "optimizer", "schedule", "patience", "weight_decay",
    "l1", "loss", "augment", "precision", "seed", "threads", "freeze", "unfreeze_after", "backbone_rate", "momentum",
    "nesterov", "clip_norm", "ema", "dropout", "teacher", "teacher_weights", "teacher_share", "teacher_temperature",
    "loading", "workers", "device", "feeding",
})  # fmt: skip


def among(arguments: dict[str, Any]) -> dict[str, Any]:
    """The settings among a command's arguments."""
    return {name: value for name, value in arguments.items() if name in _NAMES}


def given(*, target_accuracy: str | None, freeze: str | None = None, **settings: Any) -> dict[str, Any]:
    """Keep the settings that were given; the target is read as a share, what is frozen as a number or a word.

    Raises:
        InputError: when the target is none.
    """
    target = None if target_accuracy is None else parse_share(target_accuracy)
    held = int(freeze) if freeze is not None and freeze.isdecimal() else freeze
    everything = {**settings, "target_accuracy": target, "freeze": held}
    return {name: value for name, value in everything.items() if value is not None}
