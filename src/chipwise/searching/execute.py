"""Run one trial in this process: build the model, fit it, ask it, weigh it; whatever goes wrong is its outcome.

execute(Job("1", "NoSuchModel()", 0, None, ".", "", "validation", (), 1 << 34)).error
"""

from __future__ import annotations

import importlib.util
import resource
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise.codec.files import atomic_write
from chipwise.core.errors import ChipwiseError, InputError, first_line
from chipwise.networks import run_folder
from chipwise.searching import arrays
from chipwise.searching.contestant import Given, contestant_of, late
from chipwise.searching.estimators import Estimator
from chipwise.searching.job import Job, Outcome
from chipwise.searching.metrics import score_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from chipwise.searching.contestant import Contestant

MODEL_FILE = "model.bin"  # what a contestant saves, where it is kept
_GRAPH_FILE, _NETWORK_FILE = "network.onnx", "network.json"  # of `graphs` and `run_folder`


def execute(job: Job, began: Callable[[], None] = lambda: None) -> Outcome:
    """Run a trial within its memory. Nothing is raised, whatever a model does.

    Args:
        job: the trial.
        began: called when libraries are loaded and fitting begins.
    """
    with ThreadPoolExecutor(1) as alone:
        future = alone.submit(_run, job, began)
        error = future.exception()
    if error is None:
        return future.result()
    return Outcome(job.id, error=_reason(error))


def own_model(spec: str) -> Contestant:
    """Build a model of the user's own.

    Args:
        spec: "FILE.py:function"; the function takes nothing and returns a `Contestant`.

    Raises:
        InputError: there is no such file or function, it cannot be imported, or what it gives lacks a method of the
            contract.
    """
    file, _, name = spec.rpartition(":")
    found = importlib.util.spec_from_file_location(Path(file).stem, file) if Path(file).is_file() else None
    if found is None or found.loader is None:
        raise InputError(f"no model in {spec!r}", hint="--with my_model.py:make")
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module
    with redirect_stdout(sys.stderr):  # what it prints is none of our answer
        try:
            found.loader.exec_module(module)
        except (ImportError, SyntaxError) as error:
            raise InputError(f"{file} cannot be imported: {type(error).__name__}: {first_line(error)}") from error
        make = getattr(module, name, None)
        if not callable(make):
            raise InputError(f"{file} has no function {name!r}", hint="--with my_model.py:make")
        made: Contestant = make()
    missing = [verb for verb in ("fit", "predict", "save", "describe") if not callable(getattr(made, verb, None))]
    if missing:
        raise InputError(f"what {spec} gives has no {' and no '.join(missing)}", hint="see docs/search.md")
    return made


def _run(job: Job, began: Callable[[], None]) -> Outcome:
    _limit(job.memory_bytes)
    warnings.simplefilter("ignore")  # of iterations that did not converge: the score says it
    folder = Path(job.folder)
    given = Given(len(job.class_names), job.seed, epochs=job.epochs, class_names=job.class_names)
    model = own_model(job.own) if job.own else contestant_of(job.model, given)
    inputs, labels = arrays.learned_from(folder, job.rows)
    asked = arrays.asked(folder, job.asks)
    began()
    start = time.perf_counter()
    model.fit(inputs, labels)
    fitted = time.perf_counter()
    predicted = _checked(model.predict(asked), len(asked))
    done = time.perf_counter()
    saved = model.save()
    if job.keep:
        atomic_write(Path(job.keep) / MODEL_FILE, saved)
    note = ""
    if job.graph:
        try:
            _write_network(model, Path(job.keep), asked.shape[1:], job.class_names)
        except ChipwiseError as error:  # its scores are no worse for that
            note = _reason(error)
    outcome = partial(Outcome, job.id, fitted - start, done - fitted, len(asked), len(saved))
    if job.asks == "test":
        return outcome(answers=predicted.astype("<i4").tobytes(), note=note)
    truth = arrays.labels_of(folder)
    value = score_of(job.metric, truth, predicted, len(job.class_names))
    return outcome(value=value)


def network_in(folder: Path) -> Path | None:
    """What the compiler takes of a contestant that is kept: a file or the folder; None where it is no network."""
    if (folder / _GRAPH_FILE).is_file():
        return folder / _GRAPH_FILE
    return folder if (folder / _NETWORK_FILE).is_file() else None


def _write_network(model: Contestant, folder: Path, shape: tuple[int, ...], class_names: tuple[str, ...]) -> None:
    """Write a contestant as what the compiler takes.

    Raises:
        InputError: a model of the user's own; or as `graphs.write_graph`. MissingExtraError: skl2onnx is missing.
    """
    if isinstance(model, Estimator):
        late("graphs").write_graph(model.fitted, "winner", shape, class_names, folder)
        return
    network = getattr(model, "network", None)
    if network is None:
        raise InputError(f"{model.describe()} is a model of your own, which cannot be compiled")
    run_folder.save(folder, network, folder / MODEL_FILE)


def _checked(predicted: Any, count: int) -> np.ndarray[Any, np.dtype[Any]]:
    """Answers of a model, which may be anybody's.

    Raises:
        InputError: they are not one whole number for each sample.
    """
    answers = np.asarray(predicted)
    if answers.shape != (count,) or answers.dtype.kind not in "iub":
        raise InputError(f"predict gave {answers.dtype} of shape {list(answers.shape)}", hint=f"{count} classes")
    return answers


def _limit(memory_bytes: int) -> None:
    """Let this process have so much memory of its own; what it maps of files is not counted."""
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes if most < 0 else min(memory_bytes, most), most))


def _reason(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "it needs more memory than a trial gets"
    if isinstance(error, ChipwiseError):
        return f"{error.message}: {error.hint}" if error.hint else error.message
    return f"{type(error).__name__}: {first_line(error)}"
