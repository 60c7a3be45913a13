"""What all commands share: how an answer leaves, and the options that several take."""

from __future__ import annotations

from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from chipwise.views.terminal import TerminalProgress

GOES_ON = "the same command goes on from here"
JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document with a schema field.")]


_MESHES = (
    "dp2", "zero12", "zero22", "fsdp2", "tp2", "pp2", "sph2", "oc2", "dp2,fsdp2", "fsdp2,tp2", "dp2,pp2,tp2", "auto:2",
)  # fmt: skip


def network_names(incomplete: str) -> list[str]:
    """Names of the zoo that begin so, else files."""
    from chipwise import api  # noqa: PLC0415  completion must not slow down anything else

    return begun(api.network_names(), incomplete) or _files(incomplete)


def hardware_names(incomplete: str) -> list[str]:
    """Names of hardware that begin so."""
    from chipwise import api  # noqa: PLC0415  as above

    return begun(api.hardware_names(), incomplete.lower())


def _label_names(incomplete: str) -> list[str]:
    from chipwise import api  # noqa: PLC0415  as above

    return begun(api.label_names(), incomplete) + _files(incomplete)


def _task_names(incomplete: str) -> list[str]:
    from chipwise.core.task import Kind  # noqa: PLC0415  as above

    kinds = [kind for kind in get_args(Kind) if kind != "detection"]
    return begun([*kinds, "detection:corners", "detection:yolox"], incomplete)


def _goal_names(incomplete: str) -> list[str]:
    """Goals of a compilation that begin so."""
    return begun(("latency", "latency=", "throughput", "size", "energy"), incomplete)


def begun(names: Iterable[str], incomplete: str) -> list[str]:
    """Names that begin so."""
    return [name for name in names if name.startswith(incomplete)]


def _files(incomplete: str) -> list[str]:
    folder, _, start = incomplete.rpartition("/")
    found = Path(folder or ("/" if incomplete.startswith("/") else ".")).glob(f"{escape(start)}*")
    return sorted(f"{path}{'/' * path.is_dir()}" for path in found)


def plan_names(incomplete: str) -> list[str]:
    """Plan files that begin so, and folders."""
    return [name for name in _files(incomplete) if name.endswith((".plan", "/"))]


def data_names(incomplete: str) -> list[str]:
    """Names of data sets that begin so."""
    from chipwise import api  # noqa: PLC0415  as above

    return begun(api.data_names(), incomplete)


def mesh_names(incomplete: str) -> list[str]:
    """Ways to lay out processes that begin so."""
    return begun(_MESHES, incomplete)


GoalOption = Annotated[
    str | None,
    typer.Option(
        metavar="GOAL", help="latency (usual), latency=10ms, throughput, size or energy.", autocompletion=_goal_names
    ),
]
NETWORK_HELP = "A zoo name, a model file (.onnx .cfg .prototxt .keras .h5), a trained folder, or module:callable."
NetworkArgument = Annotated[
    str,
    typer.Argument(
        metavar="NET",
        help=NETWORK_HELP,
        autocompletion=network_names,
    ),
]
DataOption = Annotated[
    str,
    typer.Option(
        "--data",
        "-d",
        metavar="D",
        help="digits, idx:DIR, npz:FILE, folder:DIR, mnist or fashion-mnist.",
        autocompletion=data_names,
    ),
]


Uint8Flag = Annotated[
    bool, typer.Option("--uint8", help="Take pictures as uint8: scaling pixels becomes part of the network.")
]
ExportedArgument = Annotated[
    str, typer.Argument(metavar="X.plan|NET", help="A plan file, or a network.", autocompletion=plan_names)
]
PlanArgument = Annotated[Path, typer.Argument(metavar="X.plan", help="A plan file.", autocompletion=plan_names)]
WeightsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Trained weights: .safetensors, .cwz, .pth, .th; .weights for .cfg, .caffemodel or .net for .prototxt.",
    ),
]
LabelsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Class names, one a line, or a .csv; or coco-80, voc-20, voc-21, cifar-10.",
        autocompletion=_label_names,
    ),
]
TaskOption = Annotated[
    str | None,
    typer.Option(
        metavar="T",
        help="What it is for, where it does not say: classification, segmentation, image, detection:yolox, ...",
        autocompletion=_task_names,
    ),
]
PreprocessOption = Annotated[
    str | None,
    typer.Option(metavar="K=V,...", help="How pictures become inputs: scale=1/255,mean=0.5,order=BGR,..."),
]
InputShapeOption = Annotated[
    str | None, typer.Option(metavar="SHAPE", help="As 3x32x32, for a factory that does not say its own.")
]


def answer(record: Any, *, json: bool, shown: Callable[[], Any] | None = None) -> None:
    """Print a record on stdout, as JSON or as a table; `shown` makes it where importing all verbs' takes too long."""
    if json:
        from chipwise.views.as_json import as_json  # noqa: PLC0415  `--help` must not import msgspec or rich

        typer.echo(as_json(record))
    elif shown:
        from chipwise.views.terminal import print_shown  # noqa: PLC0415  as above

        print_shown(shown())
    else:
        from chipwise.views.answers import print_record  # noqa: PLC0415  as above

        print_record(record)


def say_picture(path: str, *, json: bool) -> None:
    """Say where a picture is, unbroken; nothing where there is none, or JSON says it."""
    if path and not json:
        from chipwise.views.terminal import print_line  # noqa: PLC0415  `--help` must not import rich

        print_line(path)


def progress(interrupted: str = "") -> TerminalProgress:
    """Progress bars on stderr, as a context manager; `interrupted` is said after Ctrl-C."""
    from chipwise.views.terminal import TerminalProgress  # noqa: PLC0415  as above

    return TerminalProgress(interrupted=interrupted)


def shape(text: str | None) -> tuple[int, ...] | None:
    """Read "3x32x32" as a shape.

    Raises:
        BadParameter: when it is none.
    """
    if text is None:
        return None
    try:
        dims = tuple(int(dim) for dim in text.replace(",", "x").split("x"))
    except ValueError:
        dims = ()
    if not dims or min(dims) < 1:
        raise typer.BadParameter(f"{text!r} is no shape; write it as 3x32x32, without the batch")
    return dims
