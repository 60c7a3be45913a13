"""Whether what was said of a network's task agrees with its outputs, as far as their shapes are known.

>>> from chipwise.core.network import TensorSpec
>>> from chipwise.core.task import Task
>>> class_count(Task("classification"), (TensorSpec("y", ("N", 10)),))
10
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from chipwise.core.errors import InputError
from chipwise.tasks.decode import BEFORE_CLASSES

if TYPE_CHECKING:
    from chipwise.core.network import TensorSpec
    from chipwise.core.task import Detection, Task

    Specs = tuple[TensorSpec, ...]

BACKGROUND_FIRST = ("ssd", "corners")
_RANKS = {"image": (4,), "segmentation": (3, 4)}


def check_task(task: Task, outputs: Specs) -> None:
    """Refuse a task that the network's inputs or outputs rule out.

    Raises:
        InputError: a detector that takes no pictures, or outputs of another rank or number than the task has.
    """
    listed = ", ".join(f"{spec.name} [{', '.join(map(str, spec.shape))}]" for spec in outputs)
    if task.kind == "detection" and task.preprocess is None and outputs:
        hint = "say how pictures become its input: --preprocess size=HxW,..."
        raise InputError("a detector takes pictures, and this network does not say that it does", hint=hint)
    ranks = _RANKS.get(task.kind)
    shaped = [spec for spec in outputs if spec.shape]  # () where the file does not say
    if ranks is not None and shaped and len(shaped[0].shape) not in ranks:
        wanted = " or ".join(map(str, ranks))
        raise InputError(f"{task.kind} needs an output with {wanted} dimensions; this network gives {listed}")
    if task.kind == "classification" and shaped and not _is_scores(shaped[0].shape):
        hint = "is this the right --task for the network?"
        raise InputError(f"classification needs scores [N, K] or [N, K, 1, 1]; this network gives {listed}", hint=hint)
    found = task.detection if task.kind == "detection" and len(shaped) == len(outputs) > 0 else None
    if found is not None and not _fits(found, outputs):
        hint = "is this the right --task for the network?"
        raise InputError(f"outputs {listed} do not fit a {found.decoder} detector", hint=hint)


def check_labels(task: Task, outputs: Specs, *, known: bool = False, partly: bool = False) -> None:
    """Refuse a list of labels that is shorter than the classes are many; or longer, when it is a well-known one.

    Args:
        task: with its labels.
        outputs: of the network.
        known: the list is a well-known one.
        partly: the list may leave classes out, as a table does that numbers those that it names.

    Raises:
        InputError: with both numbers.
    """
    classes, names = class_count(task, outputs), len(task.labels)
    if classes is not None and ((names < classes and not partly) or (known and names > classes + _background(task))):
        hint = "give a list with one name for each class, in the order of the outputs"
        raise InputError(f"{names} labels were given; the network tells {classes} classes apart", hint=hint)


def surplus_labels(task: Task, outputs: Specs) -> str:
    """What to tell of labels that no class has; empty when there are none."""
    classes = class_count(task, outputs)
    if classes is None or len(task.labels) <= classes + _background(task):
        return ""
    return f"note: {len(task.labels)} labels for {classes} classes: the last ones are not used"


def class_count(task: Task, outputs: Specs) -> int | None:
    """How many classes the outputs tell apart, a detector's background left out; None when that is not known."""
    shapes = [spec.shape for spec in outputs]
    found: float | str | None = None
    if task.kind == "classification" and shapes and len(shapes[0]) > 1:
        found = _size(shapes[0][1:])
    elif task.kind == "segmentation" and shapes and len(shapes[0]) == 4 and outputs[0].dtype.startswith("float"):
        axis = 3 if task.preprocess is not None and task.preprocess.layout == "NHWC" else 1
        found = shapes[0][axis] if shapes[0][axis] != 1 else None  # a single class against the background
    elif task.kind == "detection" and task.detection is not None and all(shapes) and shapes:
        found = _detected(task.detection, shapes)
    return found if isinstance(found, int) and found > 0 else None


def _detected(detection: Detection, shapes: list[tuple[int | str, ...]]) -> int | str | None:
    last = shapes[0][-1]
    anchors = len(detection.heads[0].anchors) if detection.heads else 0
    match detection.decoder:
        case "yolox":
            return last - BEFORE_CLASSES if isinstance(last, int) else None
        case "ssd" | "corners":
            scores = [shape[-1] for shape in shapes if shape[-1] != 4] or [last]
            return scores[0] - 1 if isinstance(scores[0], int) else None
        case "yolo" | "region":
            channels = shapes[0][1] if len(shapes[0]) == 4 else None
            return channels // anchors - BEFORE_CLASSES if isinstance(channels, int) and anchors else None
        case "yolo-v1":
            size, cells = _size(shapes[0][1:]), sum(head.rows * head.columns for head in detection.heads)
            return size // cells - BEFORE_CLASSES * anchors if size is not None and cells else None
    return None


def _fits(detection: Detection, outputs: Specs) -> bool:
    """False when the outputs cannot be what the decoder reads; only those that a line can name are looked at."""
    shapes = [spec.shape for spec in outputs]
    if detection.decoder == "yolox":
        rows = sum(head.rows * head.columns for head in detection.heads)
        if len(shapes) != 1 or len(shapes[0]) != 3:
            return False
        _, places, columns = shapes[0]
        return (isinstance(places, str) or places == rows) and (isinstance(columns, str) or columns > BEFORE_CLASSES)
    if detection.decoder == "corners":
        return len(shapes) == 2 and all(len(shape) == 3 for shape in shapes) and any(shape[2] == 4 for shape in shapes)
    return True


def _is_scores(shape: tuple[int | str, ...]) -> bool:
    """False when an output has more than one axis besides the batch along which it is known to be longer than 1."""
    return len(shape) > 1 and sum(isinstance(dim, int) and dim != 1 for dim in shape[1:]) <= 1


def _background(task: Task) -> int:
    """One where labels may begin with a background that is no class of the boxes."""
    return int(task.detection is not None and task.kind == "detection" and task.detection.decoder in BACKGROUND_FIRST)


def _size(dims: tuple[int | str, ...]) -> int | None:
    return None if any(isinstance(dim, str) for dim in dims) else math.prod(int(dim) for dim in dims)
