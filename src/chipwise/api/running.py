"""Run a network or a plan: on files and arrays, on the frames of a film, or as an object to call.

>>> import onnx, pathlib, tempfile
>>> text = '<ir_version: 8, opset_import: ["": 17]> g (float[N, 3] x) => (float[N, 3] y) { y = Softmax(x) }'
>>> path = pathlib.Path(tempfile.mkdtemp()) / "softmax.onnx"
>>> onnx.save(onnx.parser.parse_model(text), path)
>>> runner = load(path, task="classification")
>>> [spec.name for spec in runner.inputs], runner.task.kind
(['x'], 'classification')
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from chipwise.api.given import assumed_pixels, graph_told, is_plan, need, network_from, plan_told
from chipwise.api.notebook import drawn
from chipwise.core.errors import DataError, InputError
from chipwise.core.events import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from chipwise.api.drawing import Album
    from chipwise.api.given import NetworkLike, PlanLike, RunInput
    from chipwise.compiler.runner import Runner
    from chipwise.core.pipeline import Pipeline
    from chipwise.core.report import RunResult
    from chipwise.tasks.frames import Frames

_WORTH_DRAWING = {"detection": "boxes", "segmentation": "areas", "image": "pictures"}


def load(
    network: NetworkLike | PlanLike,
    example_input: Any = None,
    *,
    weights: str | Path | None = None,
    preprocess: str | None = None,
    task: str | None = None,
    labels: str | Path | None = None,
    threshold: float | None = None,
    overlap: float | None = None,
    input_shape: tuple[int, ...] | None = None,
    progress: Progress = silent,
) -> Runner:
    """Make a network or a plan ready to be called: `.run(arrays)` gives arrays, `.predict("dog.jpg")` what it sees.

    Args:
        network: a plan, a zoo name, a model file, a trained folder, "package.module:callable", or a live `nn.Module`.
        example_input: for a live module, one input (with its batch dimension).
        weights: a file of trained weights, for what does not hold its own.
        preprocess: how pictures become inputs, as "scale=1,mean=...,order=BGR", instead of what the network says.
        task: what it is for, as "detection:yolox", where it does not say.
        labels: a text file with one class name a line, or "coco-80", "voc-20", "voc-21", "cifar-10".
        threshold: of a detector: boxes that score lower are left out, 0..1.
        overlap: of a detector: of two boxes that share more, one is left out, 0..1.
        input_shape: for a factory that does not say its own, without the batch dimension.
        progress: told what to know, as that there are no weights.

    Raises:
        NetworkError, PlanError, InputError, DataError: what was given cannot be used.
        RuntimeUnavailableError: nothing here can run it.
    """
    from chipwise.compiler.runner import from_graph, from_plan
    from chipwise.devices.detect import detect
    from chipwise.networks.onnx_file import check_runnable, serialize

    said: dict[str, Any] = {
        "preprocess": preprocess,
        "task": task,
        "labels": None if labels is None else Path(labels),
        "threshold": threshold,
        "overlap": overlap,
    }
    if is_plan(network):
        plan, name, described = plan_told(network, weights, input_shape, said, progress)
        return from_plan(plan, name, detect(), described)
    graphed = graph_told(network, example_input, weights, input_shape, said, progress=progress)
    check_runnable(graphed)
    return from_graph(graphed.origin or graphed.name, serialize(graphed), graphed.task)


@drawn
def run(
    network: NetworkLike | PlanLike,
    inputs: RunInput | Sequence[RunInput] = (),
    *,
    top: int | None = None,
    output: str | Path | None = None,
    frames: str | Path | None = None,
    pipeline: str | Path | None = None,
    progress: Progress = silent,
    **options: Any,
) -> RunResult:
    """Run a network or a plan on pictures, sounds and arrays, or on the frames of a film.

    Args:
        network: as `load`.
        inputs: one of, or a sequence of: pictures, .wav and .npy files, and arrays that hold what a .npy file may hold.
        top: classes to name for each; 5 where nothing is said.
        output: a folder into which every answer is drawn, as a PNG named after its input.
        frames: a folder of pictures in the order of their names, or a film, in the place of `inputs`.
        pipeline: a TOML or JSON file with stages that find regions in each picture; the network judges those.
        progress: told which input it is, and what to know.
        options: weights, preprocess, task, labels, threshold, overlap, example_input and input_shape, as `load`.

    Returns:
        the answers. Pictures and frames that turn out to be damaged when their turn comes are left out of them, and
        named in `skipped`; whatever else does not fit is found out before anything runs.

    Raises:
        NetworkError, PlanError: no network and no plan. DataError, InputError: an input that does not fit.
        StorageError: the drawings cannot be written. RuntimeUnavailableError: it cannot run here.
    """
    given = [_file_or_array(each) for each in (inputs if isinstance(inputs, (list, tuple)) else [inputs])]
    if frames is not None and given:
        raise InputError("inputs and frames were given; one of them is run", hint="leave out the other")
    if pipeline is not None and frames is not None:
        raise InputError("a pipeline looks at pictures, not at frames", hint="name the pictures")
    if pipeline is not None and top is not None:
        raise InputError("a pipeline gives each region one class; top has no meaning there", hint="leave top out")
    from chipwise.compiler.run import run_all, run_frames
    from chipwise.core.network import Network
    from chipwise.tasks.classify import check_top

    count = 5 if top is None else top
    check_top(count)
    album = _album(output, given if frames is None else _files(Path(frames)), numbered=frames is not None)
    shown: dict[str, Any] = {"progress": progress} | ({} if album is None else {"keep": album.keep})
    stages = None if pipeline is None else _stages(Path(pipeline))
    if not is_plan(network):  # a plan is read at once, and says first what is wrong with it
        _check_files(given)
    opened = None if frames is None else _open_frames(Path(frames))
    network = _opened(network, given if frames is None and options.get("task") is None else None, options)
    runner = load(network, progress=progress, **options)
    if stages is not None:
        from chipwise.compiler.pipeline import run_pipeline

        result = run_pipeline(runner, stages, given, **shown)
    elif opened is None:
        result = run_all(runner, given, top=count, **shown)
    else:
        result = run_frames(runner, opened[1], opened[0], top=count, **shown)
    if album is not None and album.blank:
        progress.note(f"note: {album.blank} of {len(result.predictions)} answers have nothing to draw")
    assumed = assumed_pixels(network) if isinstance(network, Network) and options.get("preprocess") is None else ""
    if assumed and runner.pictured:
        progress.note(assumed)
    worth = "boxes" if stages is not None else _WORTH_DRAWING.get(runner.task.kind)
    if output is None and worth and result.predictions:
        progress.note(f"hint: -o DIR draws the {worth}")
    return result


def _opened(network: Any, given: list[Any] | None, options: dict[str, Any]) -> Any:
    """A plan as it is, else the network, with `options` that are used up taken out of them.

    Exporting takes long: before that what is given is counted, unless it is None.
    """
    if is_plan(network):
        return network
    from chipwise.compiler.feeds import check_count

    used = {key: options.pop(key) for key in ("example_input", "weights", "input_shape") if key in options}
    opened = network_from(network, **used)
    if given is not None and opened.graph is None:
        check_count(given, opened.task, opened.inputs)
    return opened


def _album(output: str | Path | None, inputs: Sequence[Any], *, numbered: bool) -> Album | None:
    if output is None:
        return None
    from chipwise.api.drawing import Album

    return Album(Path(output), inputs, numbered=numbered)


def _files(frames: Path) -> list[Path]:
    """What must not be drawn over: the frames themselves."""
    return list(frames.iterdir()) if frames.is_dir() else [frames]


def _check_files(given: Sequence[Any]) -> None:
    """Refuse a file that is not there before a network is built and exported for it."""
    for path in (each for each in given if isinstance(each, Path)):
        try:
            path.stat()
        except FileNotFoundError as error:
            raise DataError(f"no such file: {path}") from error
        except (OSError, ValueError):  # whoever reads it says what it is
            continue


def _open_frames(path: Path) -> tuple[int, Frames]:
    from chipwise.tasks.frames import open_frames

    return open_frames(path)


def _stages(path: Path) -> Pipeline:
    need("cv2", extra="vision")
    from chipwise.codec.files import read_bounded
    from chipwise.codec.pipeline_file import LIMIT_BYTES, read_pipeline

    return read_pipeline(read_bounded(path, LIMIT_BYTES, "pipeline"), str(path))


def _file_or_array(given: RunInput) -> Path | NDArray[Any]:
    if isinstance(given, (str, Path)):
        return Path(given)
    import numpy as np

    return np.asarray(given)
