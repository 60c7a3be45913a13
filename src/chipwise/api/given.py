"""Turn what the user gave into what the stages take: names and paths into networks, data sets and plans."""

from __future__ import annotations

import importlib.util
import inspect
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chipwise.core.errors import InputError, MissingExtraError, NetworkError
from chipwise.core.events import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Callable

    from chipwise.core.network import Network, TensorSpec
    from chipwise.core.plan import Manifest, Plan
    from chipwise.core.report import BenchResult
    from chipwise.core.task import Task
    from chipwise.datasets.dataset import Dataset
    from chipwise.datasets.picture_files import PictureFiles

NetworkLike = Any  # str | Path | Network | torch.nn.Module; torch must not be imported to say so
DataLike = Any  # str | Dataset
PlanLike = Any  # str | Path | Plan
RunInput = Any  # str | Path | NDArray | torch.Tensor

_MOST_NAMED = 20  # files in a warning
_ZIPPED = (".keras", ".pt", ".pth", ".th", ".npz")  # zip files that are no plans


def network_from(given: NetworkLike, example_input: Any = None, **options: Any) -> Network:
    """Load a network by name or path, take one as it is, or export a live module.

    Raises:
        InputError: it is none of these, or a live module without an example input.
    """
    from chipwise.core.network import Network
    from chipwise.networks.load import load
    from chipwise.tasks.describe import described

    paths = {key: Path(options[key]) for key in ("weights", "labels") if options.get(key) is not None}
    if isinstance(given, (str, Path)):
        return load(str(given), **options | paths)
    said = {key: options.get(key) for key in ("preprocess", "task")} | {"labels": paths.get("labels")}
    if isinstance(given, Network):
        return described(given, **said)
    if not callable(getattr(given, "state_dict", None)):
        raise InputError(f"a {type(given).__name__} is no network", hint="give a name, a path or a torch.nn.Module")
    if example_input is None:
        raise InputError("a live module needs an example input", hint="chipwise.compile(module, torch.zeros(1, ...))")
    from chipwise.networks.torch_source import from_module

    return described(from_module(given, example_input, type(given).__name__), **said)


def trained_from(given: NetworkLike, *, weights: str | Path | None, preprocess: str | None) -> Network:
    """Load a network that has weights which were learned.

    Raises:
        NetworkError: it has none. What `network_from` raises.
    """
    loaded = network_from(given, weights=weights, preprocess=preprocess)
    if loaded.source is not None and loaded.source.weights is None:
        raise NetworkError(f"{loaded.name} is not trained", hint=f"chipwise train {loaded.name} -d D -o DIR, then DIR")
    return loaded


def trainable_from(
    given: NetworkLike,
    input_shape: tuple[int, ...] | None = None,
    weights: str | Path | None = None,
    preprocess: str | None = None,
) -> Network:
    """Load a network that `train` and `fit` can build again by its name, which a live module has not.

    Raises:
        InputError: a live module, or no network.
    """
    if callable(getattr(given, "state_dict", None)):
        raise InputError(
            "a live module cannot be trained: an interrupted run could not build it again",
            hint='write a function that returns it, and give "module:function"',
        )
    if is_small(given) and weights is None and input_shape is None:
        from chipwise.networks.lazy import late
        from chipwise.tasks.describe import described

        return described(late("small_file").trainable(Path(given)), preprocess=preprocess)
    return network_from(given, input_shape=input_shape, weights=weights, preprocess=preprocess)


def is_small(given: Any) -> bool:
    """A compressed network's file."""
    return isinstance(given, (str, Path)) and Path(given).suffix.lower() == ".cwz" and Path(given).is_file()


def is_plan(given: Any) -> bool:
    """A plan, its file, or what is meant to be one."""
    if not isinstance(given, (str, Path)):
        return hasattr(given, "manifest")
    path = Path(given)
    if path.suffix.lower() == ".plan":
        return True
    if path.suffix.lower() in _ZIPPED or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError:
        return False


def plan_told(
    given: PlanLike, weights: Any, input_shape: tuple[int, ...] | None, said: dict[str, Any], progress: Progress
) -> tuple[Plan, str, Task]:
    """Read a plan: with the name that answers call it by, and its task as `told` changes it.

    Raises:
        InputError: weights or a shape, which a plan holds itself; or as `told`. PlanError: it cannot be read.
    """
    from chipwise.tasks.describe import told

    if weights is not None or input_shape is not None:
        raise InputError("a plan holds its weights and shapes", hint="leave --weights and --input-shape out")
    plan, name = plan_from(given)
    facts = plan.manifest
    task = told(facts.task, facts.inputs, facts.outputs, **said)
    _check_numbers(facts, task)
    note_surplus(task, facts.outputs, said, progress)
    return plan, name, task


def _check_numbers(facts: Manifest, task: Task) -> None:
    """Refuse other numbers for pixels than those that are part of a plan's network."""
    now, before = task.preprocess, facts.task.preprocess
    if facts.source.preprocess is None or now is None or before is None:
        return
    if (now.scale, now.mean, now.std) != (before.scale, before.mean, before.std):
        raise InputError(
            "the plan takes uint8 pictures, and scales them itself",
            hint="leave scale, mean and std out, or compile its network anew: --from X.plan --preprocess ...",
        )


def graph_told(
    given: NetworkLike,
    example_input: Any,
    weights: Any,
    input_shape: tuple[int, ...] | None,
    said: dict[str, Any],
    *,
    progress: Progress,
    random: bool = False,
) -> Network:
    """Load a network with its graph, its task as `told` changes it; warn of random weights, unless they may be so.

    Raises:
        InputError, NetworkError: as `network_from`, `with_graph` and `told`.
    """
    from chipwise.networks.untrained import is_untrained
    from chipwise.tasks.describe import told

    loaded = network_from(given, example_input, weights=weights, input_shape=input_shape)
    if not random and is_untrained(loaded):
        warn("no weights were given: they are random (seed 0), and so is what it says", progress)
    graphed = with_graph(loaded)
    task = told(graphed.task, graphed.inputs, graphed.outputs, **said)
    note_surplus(task, graphed.outputs, said, progress)
    return replace(graphed, task=task)


def warn(message: str, progress: Progress) -> None:
    """Show a warning; where nobody watches progress it becomes Python's, at the line outside of this package."""
    if progress is not silent:
        progress.note(f"warning: {message}")
        return
    names = [each.frame.f_globals.get("__name__", "") for each in inspect.stack(0)]
    level = next((level for level, name in enumerate(names, 1) if not name.startswith("chipwise.")), len(names))
    warnings.warn(message, stacklevel=level)


def assumed_pixels(network: Network) -> str:
    """What to tell of a model file that does not say which pixels it wants, and was no known network; else empty."""
    from chipwise.networks.onnx_file import TASK_KEY

    seen, suffix = network.task.preprocess, Path(network.origin).suffix.lower()
    said = () if network.graph is None else network.graph.metadata_props
    stored = TASK_KEY in said or "Image.NominalPixelRange" in said or suffix in (".cfg", ".plan", ".cwz")
    stored = stored or (network.origin != "" and Path(network.origin).is_dir())  # a trained folder says it
    if seen is None or network.source is not None or stored:
        return ""
    if (seen.scale, seen.mean, seen.std) == (1 / 255, (0.0,), (1.0,)):
        what = "scaled to 0..1"
    elif suffix == ".prototxt":
        what = f"{seen.order} from 0 to 255, less {'/'.join(f'{value:g}' for value in seen.mean)}"
    else:
        return ""
    name = network.origin or network.name
    return f"note: pixels are assumed to be {what} (nothing in {name} says so); say otherwise with --preprocess"


def note_surplus(task: Task, outputs: tuple[TensorSpec, ...], said: dict[str, Any], progress: Progress) -> None:
    """Say when a list of labels that was given is longer than the classes are many."""
    from chipwise.tasks.agreement import surplus_labels

    note = surplus_labels(task, outputs) if said.get("labels") is not None else ""
    if note:
        progress.note(note)


def network_names() -> list[str]:
    """Names of the zoo, for completion."""
    from chipwise.networks.zoo import ZOO

    return sorted(ZOO)


def label_names() -> list[str]:
    """Well-known lists of class names, for completion."""
    from chipwise.tasks.describe import label_names as known

    return sorted(known())


def augmentation_names() -> list[str]:
    """Ways to vary pictures, for completion: those that stand alone first."""
    from chipwise.training.augmentations import AUGMENTATIONS

    return list(AUGMENTATIONS)


def variant_names() -> list[str]:
    """Ways to train that curves compare, for completion."""
    from chipwise.training.curves.variants import VARIANTS

    return list(VARIANTS)


def data_names() -> list[str]:
    """Names and prefixes of data sets, for completion."""
    return ["digits", "fashion-mnist", "folder:", "idx:", "mnist", "npz:"]


HTTP = ("uvicorn", "httptools", "uvloop")  # what a server needs


def need(*modules: str, extra: str) -> None:
    """Say which extra is missing before anything is started."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(module, extra)


def data_from(
    given: DataLike,
    progress: Progress = silent,
    *,
    skip_bad: bool = False,
    lazily: Callable[[PictureFiles], bool] | None = None,
) -> Dataset:
    """Load a data set by name, or take one as it is; warn of what is left out because it cannot be read.

    Args:
        given: a data set or its name.
        progress: told how far it is.
        skip_bad: leave out pictures that cannot be read.
        lazily: whether the pictures of a folder stay in their files; None for no.

    Raises:
        InputError: `skip_bad` is asked of what is no folder of pictures. DataError: it cannot be read.
    """
    from chipwise.datasets import load

    if not isinstance(given, (str, Path)):
        if skip_bad:
            raise InputError("skip_bad is for folders of pictures, and the data set is read already")
        return given  # type: ignore[no-any-return]
    dataset = load(str(given), progress=progress, skip_bad=skip_bad, lazily=lazily)
    if dataset.skipped:
        shown = ", ".join(dataset.skipped[:_MOST_NAMED])
        more = f" and {len(dataset.skipped) - _MOST_NAMED} more" if len(dataset.skipped) > _MOST_NAMED else ""
        whole = len(dataset) + len(dataset.skipped)
        warn(f"left out {len(dataset.skipped)} of {whole} pictures that cannot be read: {shown}{more}", progress)
    return dataset


def plan_from(given: PlanLike) -> tuple[Plan, str]:
    """Read a plan, or take one as it is; with the name that answers call it by."""
    from chipwise.codec.plan_file import read_plan

    if isinstance(given, (str, Path)):
        return read_plan(Path(given)), str(given)
    return given, given.manifest.source.name


def with_graph(network: Network) -> Network:
    """Export a network that has only a source; one that has a graph is returned as it is, without torch.

    Raises:
        MissingExtraError: an export is needed and torch is not installed.
    """
    if network.graph is not None:
        return network
    need("torch", "safetensors", extra="torch")
    from chipwise.networks import export

    return export.with_graph(network)


def source_bytes(plan: Plan, given: NetworkLike | None) -> bytes:
    """Serialize the source graph of a plan: the one that was given, or the copy in the cache."""
    from chipwise.compiler.sources import find_source
    from chipwise.networks.onnx_file import serialize

    return find_source(plan, None if given is None else serialize(with_graph(network_from(given))))


def source_of(given: PlanLike) -> tuple[Network, Manifest]:
    """The network that a plan was made from, with what the plan says; its own graph where that says the same.

    Raises:
        InputError: the plan changes answers, and its source is not in the cache.
    """
    from chipwise.compiler.sources import find_source
    from chipwise.networks.onnx_file import from_bytes

    plan, name = plan_from(given)
    facts = plan.manifest
    try:
        model = find_source(plan)
    except InputError as error:
        if facts.label == "lossy":
            hint = f"give it: chipwise compile {facts.source.origin or 'NET'}"
            raise InputError(
                f"{name} is quantized, and its source {facts.source.name} is not here", hint=hint
            ) from error
        model = plan.model
    task = facts.task
    if model is not plan.model and facts.source.preprocess is not None:
        task = replace(task, preprocess=facts.source.preprocess)
    return from_bytes(model, facts.source.name, task=task, origin=facts.source.origin), facts


def bench_from(path: Path) -> BenchResult:
    """Read an earlier bench.

    Raises:
        InputError: it is missing or no bench.
    """
    from chipwise.codec.records import decode
    from chipwise.core.report import BENCH_SCHEMA, BenchResult

    try:
        result = decode(path.read_bytes(), BenchResult, str(path))
    except OSError as error:
        raise InputError(
            f"cannot read baseline {path}: {error.strerror}", hint="chipwise bench PLAN --json > FILE"
        ) from error
    if result.schema != BENCH_SCHEMA:
        raise InputError(f"{path} has schema {result.schema!r}, this reads {BENCH_SCHEMA}")
    return result
