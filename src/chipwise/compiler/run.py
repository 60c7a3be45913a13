"""Run a plan on pictures or arrays: the top classes, or the raw outputs.

A .npy file holds one batch (its first dimension is the batch) or one item; pictures are prepared as the network's task
says. Everything is read and checked before anything runs.
"""

from __future__ import annotations

import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise.compiler.load import open_plan
from chipwise.core.errors import DataError, InputError
from chipwise.core.network import TensorSpec
from chipwise.core.report import Prediction, RunResult
from chipwise.runtimes.engine import check_inputs
from chipwise.tasks.classify import top_k
from chipwise.tasks.pictures import open_picture
from chipwise.tasks.preprocess import prepare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from chipwise.core.device import Machine
    from chipwise.core.plan import Manifest, Plan
    from chipwise.runtimes.engine import Engine


def run_plan(
    plan: Plan, name: str, inputs: Sequence[Path | NDArray[Any]], machine: Machine, *, top: int = 5
) -> RunResult:
    """Run a plan on files and arrays.

    Args:
        plan: an opened plan file.
        name: what to call it in the answer.
        inputs: pictures, .npy files or arrays, at least one; a plan with several inputs takes one array for each.
        machine: this machine.
        top: classes to name per item.

    Raises:
        DataError: a file that cannot be read. InputError: a shape that does not fit.
        RuntimeUnavailableError: the plan cannot run here.
    """
    if not inputs:
        raise InputError("no input was given", hint="name pictures or .npy files")
    specs = plan.manifest.inputs
    several = len(specs) > 1
    if several and len(inputs) != len(specs):
        wanted = ", ".join(spec.name for spec in specs)
        raise InputError(f"the network takes {len(specs)} inputs ({wanted}); received {len(inputs)}")
    feeds = (
        [[_as_batch(*_array(each), spec) for each, spec in zip(inputs, specs, strict=True)]]
        if several
        else [[_load_input(each, plan.manifest)] for each in inputs]
    )
    engine = open_plan(plan, machine)
    for feed in feeds:
        _check_feed(engine, feed, plan.manifest)
    predictions: list[Prediction] = []
    seconds = []
    names = [_name(each) for each in inputs][: len(feeds)]
    for each, feed in zip(names, feeds, strict=True):
        engine.run(feed)  # a batch that is seen for the first time is prepared for
        started = time.perf_counter()
        outputs = engine.run(feed)
        seconds.append((time.perf_counter() - started) / len(feed[0]))
        predictions += _predictions(each, outputs, plan.manifest, top)
    return RunResult(name, plan.manifest.choice, tuple(predictions), float(np.median(seconds)))


def read_array(path: Path) -> NDArray[Any]:
    """Read a .npy file.

    Raises:
        DataError: when it is missing, holds Python objects, or its header asks for more than the file has.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise DataError(f"{path} holds several arrays", hint="save one array with numpy.save")
        return np.array(array)
    except (OSError, ValueError, EOFError, SyntaxError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(
            f"cannot read array {path}: {error}", hint="save it with numpy.save(..., allow_pickle=False)"
        ) from error


def _name(given: Path | NDArray[Any]) -> str:
    return str(given) if isinstance(given, Path) else "array"


def _array(given: Path | NDArray[Any]) -> tuple[str, NDArray[Any]]:
    return _name(given), read_array(given) if isinstance(given, Path) else given


def _check_feed(engine: Engine, feed: list[NDArray[Any]], manifest: Manifest) -> None:
    """Compare a feed with what the engine takes; say that pictures may come as bytes where that would have helped."""
    try:
        check_inputs(engine, feed)
    except InputError as error:
        if error.hint or manifest.task.preprocess is None:
            raise
        hint = "an array is one item or a batch of just this; as uint8 it is taken for a picture and prepared"
        raise InputError(error.message, hint=hint) from error


def _as_batch(name: str, array: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    """One item or a batch as the network's element type; only what stays the same kind of number is converted."""
    wanted = np.dtype(spec.dtype)
    whole = wanted.kind in "iu" and array.dtype.kind in "iu"
    if not whole and not np.can_cast(array.dtype, wanted, "same_kind"):
        raise DataError(f"{name} holds {array.dtype}, which is no {spec.dtype}", hint=f"save it as {spec.dtype}")
    if array.ndim == len(spec.shape) - 1:
        array = array[None]
    converted = np.ascontiguousarray(array, dtype=wanted)
    if whole and not np.array_equal(converted, array):
        raise DataError(f"{name} holds numbers that do not fit {spec.dtype}", hint=f"save it as {spec.dtype}")
    return converted


def _load_input(given: Path | NDArray[Any], manifest: Manifest) -> NDArray[Any]:
    """One file or array as a batch; a uint8 array is a picture where the network takes pictures."""
    spec, preprocess = manifest.inputs[0], manifest.task.preprocess
    if isinstance(given, Path) and given.suffix.lower() != ".npy":
        if preprocess is None:
            raise DataError(f"{given}: this network takes arrays, not pictures", hint="give a .npy file")
        return prepare(open_picture(given)[None], preprocess).astype(np.dtype(spec.dtype), copy=False)
    name, array = _array(given)
    if preprocess is not None and array.dtype == np.uint8 and spec.dtype != "uint8":
        rank = {2: (None, ..., None), 3: (None, ...)}.get(array.ndim, (...,))
        return prepare(np.ascontiguousarray(array[rank]), preprocess).astype(np.dtype(spec.dtype), copy=False)
    return _as_batch(name, array, spec)


def _predictions(name: str, outputs: list[NDArray[Any]], manifest: Manifest, top: int) -> list[Prediction]:
    if manifest.task.kind != "classification":
        specs = tuple(
            TensorSpec(spec.name, array.shape, str(array.dtype))
            for spec, array in zip(manifest.outputs, outputs, strict=True)
        )
        return [Prediction(name, outputs=specs)]
    ranked = top_k(outputs[0].reshape(len(outputs[0]), -1), manifest.task.labels, top)
    several = len(ranked) > 1
    return [Prediction(f"{name}[{row}]" if several else name, top=best) for row, best in enumerate(ranked)]
