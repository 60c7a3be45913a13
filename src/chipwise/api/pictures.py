"""Pictures of networks: the graph that `inspect` draws, and what layers make of a picture.

>>> from pathlib import Path
>>> check_picture(Path("a.svg")).suffix
'.svg'
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chipwise.api.given import graph_told, is_plan, plan_told
from chipwise.api.notebook import drawn
from chipwise.core.errors import InputError
from chipwise.core.events import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from chipwise.api.drawing import Album
    from chipwise.api.given import NetworkLike, PlanLike, RunInput
    from chipwise.core.network import Network
    from chipwise.core.plan import Plan
    from chipwise.core.report import Features, FeatureSheet, Inspection
    from chipwise.core.task import Task
    from chipwise.networks.inner_values import InnerValue


def check_picture(path: Path, what: str = "a graph", suffixes: tuple[str, ...] = (".svg", ".html")) -> Path:
    """Refuse what cannot be written before any work is done.

    Args:
        path: of the picture.
        what: is to be drawn, as errors call it.
        suffixes: that its file may have.

    Raises:
        InputError: its name ends in none of the suffixes, or its folder does not exist.
    """
    if path.suffix.lower() not in suffixes:
        known = f"{', '.join(suffixes[:-1])} or {suffixes[-1]}"
        raise InputError(f"{what} cannot be drawn into {path.name!r}", hint=f"give a file that ends in {known}")
    if not path.resolve().parent.is_dir():
        raise InputError(f"no such folder: {path.parent}")
    return path


def draw(record: Inspection, network: Network, path: Path) -> Inspection:
    """Write the picture of a network; a tiny one shows the value and the gradient at every operation."""
    from chipwise.codec.files import atomic_write
    from chipwise.networks.zoo.entry import from_zoo

    page = path.suffix.lower() == ".html"
    computation = None
    if network.source is not None and not from_zoo(network.source):  # a factory of the user's: torch is here
        from chipwise.networks.computation import MOST_STEPS, tiny_computation

        computation = tiny_computation(network) if record.totals.layers <= MOST_STEPS else None
    if computation is not None:
        from chipwise.views.computation_picture import computation_html, computation_svg

        text = computation_html(computation) if page else computation_svg(computation)
    else:
        from chipwise.views.graph_picture import graph_html, graph_svg

        text = graph_html(record) if page else graph_svg(record)
    atomic_write(path, text.encode())
    return replace(record, graph=str(path))


@drawn
def features(
    network: NetworkLike | PlanLike,
    picture: RunInput | None = None,
    layers: str | Sequence[str] = "list",
    *,
    output: str | Path | None = None,
    example_input: Any = None,
    weights: str | Path | None = None,
    preprocess: str | None = None,
    task: str | None = None,
    labels: str | Path | None = None,
    input_shape: tuple[int, ...] | None = None,
    progress: Progress = silent,
) -> Features:
    """Look inside a network: the kernels of layers, and the feature maps that they make of one picture.

    Args:
        network: a plan, a zoo name, a model file, a trained folder, "package.module:callable", or a live `nn.Module`.
        picture: a picture, a .npy file, or an array that holds what a .npy file may hold.
        layers: names of layers, or of groups for their last one, also as one text with commas between them; "list"
            says which there are.
        output: folder for the PNG files; made where it is missing. It must be given, except for "list".
        example_input: as `load` takes it, and so are weights, preprocess, task, labels, input_shape and progress.
        weights: likewise.
        preprocess: likewise.
        task: likewise.
        labels: likewise.
        input_shape: likewise.
        progress: likewise.

    Raises:
        UnknownNameError: no such layer. NetworkError, PlanError: no network and no plan.
        DataError, InputError: a picture that does not fit. RuntimeUnavailableError: it cannot run here.
        StorageError: the drawings cannot be written.
    """
    from chipwise.core.report import Features, FeatureSheet
    from chipwise.networks.inner_values import find_inner, inner_values

    names = [name.strip() for name in layers.split(",")] if isinstance(layers, str) else list(layers)
    said = {"preprocess": preprocess, "task": task, "labels": None if labels is None else Path(labels)}
    if is_plan(network):
        graphed = _graph_of(*plan_told(network, weights, input_shape, said, progress))
    else:
        random = names == ["list"]  # names do not depend on weights
        graphed = graph_told(network, example_input, weights, input_shape, said, progress=progress, random=random)
    known = inner_values(graphed)
    if names == ["list"]:
        return Features(graphed.name, "", tuple(FeatureSheet(each.name, each.op, each.shape) for each in known))
    if picture is None:
        raise InputError("a picture is wanted, to show what the layers make of it")
    if output is None:
        raise InputError("the drawings of layers need a folder", hint="name one with -o DIR, or output=DIR in Python")
    from chipwise.api.drawing import Album

    wanted = tuple(dict.fromkeys(find_inner(known, name) for name in names))
    given = Path(picture) if isinstance(picture, (str, Path)) else picture
    album = Album(Path(output), [given])
    name, values = _looked(graphed, wanted, given)
    stems = [re.sub(r"[^\w.-]+", "_", inner.name)[-80:].strip(".") or "layer" for inner in wanted]
    stems = [stem if stems.count(stem) == 1 else f"{stem}_{place}" for place, stem in enumerate(stems)]
    sheets = [_sheet(graphed, *each, album) for each in zip(wanted, values, stems, strict=True)]
    return Features(graphed.name, name, tuple(sheets))


def _graph_of(plan: Plan, name: str, task: Task) -> Network:
    """The portable graph of a plan."""
    from chipwise.networks.onnx_file import from_bytes

    return from_bytes(plan.model, Path(name).stem, task=task)


def _looked(network: Network, wanted: tuple[InnerValue, ...], picture: RunInput) -> tuple[str, list[NDArray[Any]]]:
    """Run a network with inner values as outputs; the picture's name, and each value for its first item."""
    import numpy as np

    from chipwise.compiler.runner import from_graph
    from chipwise.networks.inner_values import exposing

    runner = from_graph(network.name, exposing(network, wanted), network.task)
    feed = runner.read(picture if isinstance(picture, Path) else np.asarray(picture))
    if not feed.arrays:
        raise InputError(f"{feed.name} is a signal that is fed piece by piece", hint="give one piece as a .npy file")
    made = runner.run(*feed.arrays)
    runner.close()
    return feed.name, [made[inner.value][0] for inner in wanted]


def _sheet(network: Network, inner: InnerValue, value: NDArray[Any], stem: str, album: Album) -> FeatureSheet:
    from chipwise.core.report import FeatureSheet
    from chipwise.networks.inner_values import kernels_of
    from chipwise.views.feature_maps import kernel_sheet, map_sheet, png

    if value.ndim not in (1, 2, 3) or not value.size:
        raise InputError(f"{inner.name} gives {list(value.shape)} for an item, which is no map")
    title = f"{inner.name} ({inner.op})"
    maps = str(album.write(f"{stem}.maps", png(map_sheet(value, title))))
    held = kernels_of(network, inner)
    if held is None or held.ndim not in (3, 4):
        return FeatureSheet(inner.name, inner.op, tuple(value.shape), maps=maps)
    kernels = str(album.write(f"{stem}.kernels", png(kernel_sheet(held, title))))
    return FeatureSheet(inner.name, inner.op, tuple(value.shape), kernels, maps)
