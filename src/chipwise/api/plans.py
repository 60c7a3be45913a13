"""Show and export: a plan opened up, and its graph for other tools.

>>> export("none.plan", output="none.txt")
Traceback (most recent call last):
    ...
chipwise.core.errors.InputError: cannot export to none.txt: a plan becomes .onnx or .xml
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from chipwise.api.given import plan_from
from chipwise.api.notebook import drawn
from chipwise.core.errors import InputError

if TYPE_CHECKING:
    from chipwise.api.given import PlanLike
    from chipwise.core.plan_sheet import Exported, PlanSheet


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
def export(plan: PlanLike, *, output: str | Path) -> Exported:
    """Write a plan's graph for other tools: as ONNX, or as OpenVINO's files.

    Labels and preprocessing go into the ONNX file's metadata, where `run` finds them again; the weights of OpenVINO's
    .xml are in a .bin beside it. Runtime, threads and the proof stay in the plan.

    Args:
        plan: a plan or its path.
        output: the file to write, X.onnx or X.xml.

    Raises:
        InputError: another suffix. PlanError, NetworkError: the plan is missing or damaged, or its graph is.
        MissingExtraError: OpenVINO is not installed. RuntimeUnavailableError: it cannot read the graph.
        StorageError: the file cannot be written.
    """
    from chipwise.codec.files import atomic_write, check_writable
    from chipwise.core.plan_sheet import Exported
    from chipwise.networks.onnx_file import from_bytes, serialize

    path = Path(output)
    if path.suffix.lower() not in (".onnx", ".xml"):
        raise InputError(
            f"cannot export to {path}: a plan becomes .onnx or .xml", hint="-o X.onnx, or -o X.xml for OpenVINO"
        )
    opened, name = plan_from(plan)
    check_writable(path)
    if path.suffix.lower() == ".onnx":
        network = from_bytes(opened.model, opened.manifest.source.name, title=f"the graph in {name}")
        atomic_write(path, serialize(replace(network, task=opened.manifest.task), with_task=True))
        files: tuple[Path, ...] = (path,)
    else:
        from chipwise import runtimes

        runtimes.load("openvino")  # says what is missing
        from chipwise.runtimes import openvino

        files = openvino.save(opened.model, path)
    return Exported(tuple((str(each), each.stat().st_size) for each in files))
