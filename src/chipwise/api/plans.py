"""Show and export: a plan opened up, and its graph, or a network, for other tools.

>>> export("none.plan", output="none.txt")
Traceback (most recent call last):
    ...
chipwise.core.errors.InputError: cannot export to none.txt: there is no such format
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from chipwise.api.given import graph_told, is_plan, plan_from
from chipwise.api.notebook import drawn
from chipwise.core.errors import InputError
from chipwise.core.events import Progress, silent

if TYPE_CHECKING:
    from chipwise.api.given import NetworkLike, PlanLike
    from chipwise.core.plan import Plan
    from chipwise.core.plan_sheet import Exported, PlanSheet

_FOR_PLANS, _FOR_NETWORKS = (".onnx", ".xml"), (".onnx", ".safetensors", ".cwz")


@drawn
def show(plan: PlanLike) -> PlanSheet:
    """Open a plan up: why it was chosen, where its work and time go, and what would make it faster.

    On the machine that it was compiled on, or one like it, its layers are timed by the runtime's own profiler.

    Args:
        plan: a plan or its path.

    Raises:
        PlanError, NetworkError: it is missing or damaged, or its graph is.
    """
    from chipwise.compiler.plan_facts import check_facts
    from chipwise.compiler.plan_sheet import named, plan_sheet
    from chipwise.devices.detect import detect
    from chipwise.networks.layers import layer_rows
    from chipwise.networks.onnx_file import from_bytes

    opened, name = plan_from(plan)
    check_facts(opened)
    model = named(opened.model)
    network = from_bytes(model, opened.manifest.source.name, title=f"the graph in {name}")
    rows = layer_rows(network, opened.manifest.choice.batch)
    return plan_sheet(opened, name, model, rows, detect())


@drawn
def export(
    given: PlanLike | NetworkLike,
    *,
    output: str | Path | None = None,
    triton: str | Path | None = None,
    weights: str | Path | None = None,
    progress: Progress = silent,
) -> Exported:
    """Write a plan's graph, or a network, for other tools: as ONNX, OpenVINO's files, safetensors or compressed.

    Or a plan as a model of the Triton Inference Server, which its ONNX Runtime backend runs.

    Labels and preprocessing go into the ONNX file's metadata, where `run` finds them again, and into the compressed
    file; the weights of OpenVINO's .xml are in a .bin beside it. Runtime, threads and the proof stay in the plan.

    Args:
        given: a plan or its path; or a network as `inspect` takes it, such as X.cwz, which becomes dense again.
        output: the file to write: X.onnx; X.xml for a plan; X.safetensors or X.cwz for a network. A .cwz holds the
            same values to the bit, as small as they can be coded as they are: `compress` makes them fewer.
        triton: instead, a folder of models for Triton; the plan becomes NAME/config.pbtxt, NAME/1/model.onnx, and
            NAME/labels.txt where its classes have names. NAME is its file's without the suffix.
        weights: a file of trained weights, for a network that does not hold its own.
        progress: told when the weights that are written are random.

    Raises:
        InputError: another suffix, both or neither of file and folder, or a folder in which Triton would find another
            version of the model. PlanError, NetworkError: what is given is missing or damaged, or its graph is.
        MissingExtraError: OpenVINO, safetensors or constriction is needed and not installed.
        RuntimeUnavailableError: OpenVINO cannot read the graph, or ONNX Runtime cannot run it for Triton.
        StorageError: the file cannot be written.
    """
    from chipwise.core.plan_sheet import Exported

    if (output is None) == (triton is None):
        raise InputError("one place to write to is wanted: a file, or a folder for Triton", hint="-o X.onnx")
    if triton is not None:
        files = _export_triton(given, Path(triton), weights)
    else:
        files = _export_file(given, Path(str(output)), weights, progress)
    return Exported(tuple((str(each), each.stat().st_size) for each in files))


def _export_file(
    given: PlanLike | NetworkLike, path: Path, weights: str | Path | None, progress: Progress
) -> tuple[Path, ...]:
    suffix, of_plan = path.suffix.lower(), is_plan(given)
    if suffix not in (*_FOR_PLANS, *_FOR_NETWORKS):
        raise InputError(
            f"cannot export to {path}: there is no such format",
            hint="-o X.onnx, or -o X.xml for OpenVINO; a network also becomes X.safetensors or X.cwz",
        )
    if suffix not in (_FOR_PLANS if of_plan else _FOR_NETWORKS):
        what, others = ("plan", _FOR_PLANS) if of_plan else ("network", _FOR_NETWORKS)
        raise InputError(f"cannot export to {path}: a {what} becomes {' or '.join(others)}", hint=f"-o X{others[0]}")
    if not of_plan:
        return _export_network(given, weights, path, progress)
    _check_own(weights)
    return _export_plan(given, path)


def _check_own(weights: str | Path | None) -> None:
    """Refuse weights beside those of a plan."""
    if weights is not None:
        raise InputError("a plan holds its weights", hint="leave --weights out")


def _export_plan(plan: PlanLike, path: Path) -> tuple[Path, ...]:
    from chipwise.codec.files import atomic_write, check_writable

    opened, name = plan_from(plan)
    check_writable(path)
    if path.suffix.lower() == ".onnx":
        atomic_write(path, _onnx_of(opened, name))
        return (path,)
    from chipwise import runtimes

    runtimes.load("openvino")  # says what is missing
    from chipwise.runtimes import openvino

    return tuple(openvino.save(opened.model, path))


def _onnx_of(plan: Plan, name: str) -> bytes:
    """A plan's graph, with labels and preprocessing in its metadata."""
    from chipwise.networks.onnx_file import from_bytes, serialize

    network = from_bytes(plan.model, plan.manifest.source.name, title=f"the graph in {name}")
    return serialize(replace(network, task=plan.manifest.task), with_task=True)


def _export_triton(given: PlanLike, folder: Path, weights: str | Path | None) -> tuple[Path, ...]:
    if not is_plan(given):
        raise InputError("only a plan becomes a model of Triton", hint="make one with: chipwise compile")
    _check_own(weights)
    from chipwise.codec.files import atomic_write, check_writable
    from chipwise.serving.shelf import model_name
    from chipwise.serving.triton import CONFIG, LABELS, MODEL, triton_config, triton_labels

    opened, title = plan_from(given)
    name = model_name(Path(title))
    place = folder / name
    _check_versions(place)
    check_writable(place / MODEL)
    labels = triton_labels(opened)
    files = {MODEL: _onnx_of(opened, title)} | ({LABELS: labels} if labels else {})
    files |= {CONFIG: triton_config(opened, name).encode()}  # the last: Triton looks for it
    for file, data in files.items():
        atomic_write(place / file, data)
    return tuple(place / file for file in files)


def _check_versions(place: Path) -> None:
    """Refuse a model's folder with versions that Triton would take instead, or beside.

    Raises:
        InputError: naming them.
    """
    others = sorted(each.name for each in place.glob("[0-9]*") if each.is_dir() and each.name != "1")
    if others:
        raise InputError(
            f"{place} has another version of the model already: {', '.join(others[:5])}",
            hint="export into another folder, or remove it",
        )


def _export_network(given: NetworkLike, weights: str | Path | None, path: Path, progress: Progress) -> tuple[Path, ...]:
    from chipwise.codec.files import atomic_write, check_writable
    from chipwise.networks.lazy import late
    from chipwise.networks.onnx_file import serialize

    check_writable(path)
    network = graph_told(given, None, weights, None, {}, progress=progress)
    match path.suffix.lower():
        case ".onnx":
            atomic_write(path, serialize(network, with_task=True))
        case ".safetensors":
            late("safetensors_file").save(path, network)
        case _:
            late("small_file").save(path, network)
    return (path,)
