"""Raw outputs as what the network's task says: names, boxes, areas, pictures, values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise.core.errors import DataError
from chipwise.core.network import TensorSpec
from chipwise.core.report import Prediction
from chipwise.tasks.classify import top_k
from chipwise.tasks.detect import detected
from chipwise.tasks.placement import place
from chipwise.tasks.render import finished, rendered
from chipwise.tasks.segment import areas, class_maps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from chipwise.compiler.feeds import Feed
    from chipwise.core.task import Preprocess, Task

    Outputs = Sequence[NDArray[Any]]


_PAPER = 232  # grey of what boxes are drawn on where there is no picture


@dataclass(frozen=True, slots=True)
class Answer:
    """What the network says of one item, with all that a drawing of it needs.

    Attributes:
        prediction: in words and numbers.
        picture: uint8 [H, W, C], what it was made from; None for arrays, an empty one of the input's size for boxes.
        classes: int32 [H, W], the class of each pixel of the picture; only for segmentation.
        image: uint8 [h, w, C], the picture that came out; only for image.
        signal: what a sequence was made from, [T, ...]; rate: its samples a second.
        array: the item of the first output; empty where something better is drawn.
        labels: class names of the task.
    """

    prediction: Prediction
    picture: NDArray[np.uint8] | None = None
    classes: NDArray[np.int32] | None = None
    image: NDArray[np.uint8] | None = None
    signal: NDArray[Any] | None = None
    rate: int = 0
    array: NDArray[Any] | None = None
    labels: tuple[str, ...] = ()


def answers(feed: Feed, outputs: Outputs, specs: Sequence[TensorSpec], task: Task, top: int) -> list[Answer]:
    """Say what the outputs for one input mean, item by item.

    Args:
        feed: what was run.
        outputs: of the network, in its order.
        specs: their names.
        task: what the network is for.
        top: classes to name.

    Raises:
        DataError: when the outputs are not what the task says.
    """
    shapes = _shapes(outputs, specs)
    if task.kind == "tensor":
        return [Answer(Prediction(feed.name, outputs=shapes), _only(feed), array=outputs[0], labels=task.labels)]
    count = len(outputs[0]) if outputs and outputs[0].ndim else 0
    if not count or (feed.pictures is not None and len(feed.pictures) != count):
        listed = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in shapes)
        raise DataError(f"outputs {listed} are not one answer for each item", hint="give another --task, as tensor")
    pictures: Sequence[NDArray[np.uint8] | None] = feed.pictures or [None] * count
    blank = [
        Answer(
            Prediction(f"{feed.name}[{row}]" if count > 1 else feed.name),
            picture,
            signal=feed.signal,
            rate=feed.rate,
            labels=task.labels,
        )
        for row, picture in enumerate(pictures)
    ]
    if task.kind == "classification":
        ranked = top_k(outputs[0].reshape(count, -1), task.labels, top)
        return [_with(answer, top=best) for answer, best in zip(blank, ranked, strict=True)]
    if task.kind == "detection":
        return _found(blank, outputs, task)
    if task.kind == "sequence":
        values = [_values(row) for row in outputs[0]]
        return [_with(answer, values=each, outputs=shapes) for answer, each in zip(blank, values, strict=True)]
    return _drawn(blank, outputs[0], shapes, task)


def stream_answer(feed: Feed, outputs: dict[str, NDArray[Any]], carried: set[str], task: Task) -> Answer:
    """What a signal that was fed piece by piece gave: the first output that is no state, one value a piece."""
    first = next((array for name, array in outputs.items() if name not in carried), None)
    if first is None:
        raise DataError("every output of the network is a state: nothing is left to show", hint="give another --task")
    shapes = tuple(TensorSpec(name, array.shape, str(array.dtype)) for name, array in outputs.items())
    prediction = Prediction(feed.name, values=_values(first), outputs=shapes)
    return Answer(prediction, signal=feed.signal, rate=feed.rate, array=first, labels=task.labels)


def _found(blank: list[Answer], outputs: Outputs, task: Task) -> list[Answer]:
    placed = [_placed(answer.picture, task.preprocess) for answer in blank]
    boxes = detected(outputs, task, placed)
    seen = task.preprocess
    empty = None if seen is None else np.full((seen.height, seen.width, 1), _PAPER, np.uint8)  # boxes in its pixels
    return [
        replace(_with(answer, boxes=found), picture=empty if answer.picture is None else answer.picture)
        for answer, found in zip(blank, boxes, strict=True)
    ]


def _drawn(blank: list[Answer], output: NDArray[Any], shapes: tuple[TensorSpec, ...], task: Task) -> list[Answer]:
    """Segmentation and image: outputs that are as much a picture as the input."""
    seen = task.preprocess
    layout = seen.layout if seen is not None else "NCHW"
    if task.kind == "image":
        assert task.rendering is not None, "an image task says how its output is a picture"
        images = rendered(output, task.rendering, layout)
        made = [
            image if answer.picture is None or seen is None else finished(image, answer.picture, seen, task.rendering)
            for answer, image in zip(blank, images, strict=True)
        ]
        return [replace(_with(answer, outputs=shapes), image=image) for answer, image in zip(blank, made, strict=True)]
    result = []
    for answer, classes in zip(blank, class_maps(output, layout), strict=True):
        placement = _placed(answer.picture, seen)
        spread = classes if placement is None else placement.classes(classes)
        result.append(replace(_with(answer, areas=areas(spread, task.labels)), classes=spread))
    return result


def _placed(picture: NDArray[np.uint8] | None, preprocess: Preprocess | None) -> Any:
    if picture is None or preprocess is None:
        return None
    return place(picture.shape[0], picture.shape[1], preprocess)


def _with(answer: Answer, **fields: Any) -> Answer:
    return replace(answer, prediction=replace(answer.prediction, **fields))


def _values(row: NDArray[Any]) -> tuple[float, ...]:
    """One value a step: of several features the last."""
    steps = row.reshape(len(row), -1)[:, -1] if row.ndim else row.reshape(1)
    return tuple(float(value) for value in steps)


def _only(feed: Feed) -> NDArray[np.uint8] | None:
    return feed.pictures[0] if feed.pictures is not None and len(feed.pictures) == 1 else None


def _shapes(outputs: Outputs, specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(spec.name, array.shape, str(array.dtype)) for spec, array in zip(specs, outputs, strict=True)
    )
