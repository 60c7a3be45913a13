"""A detector's outputs as boxes in pixels of its input and scores by class: one function for each kind of head.

Every function takes the outputs of one picture and gives boxes [P, 4] (left, top, right, bottom) and scores [P, K].
`chipwise.core.task.Detection` says what each kind holds; the formulas are Darknet's (YOLOv1 to v4), Megvii's (YOLOX)
and SSD's (Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016, and its Caffe prior boxes).

>>> from chipwise.core.task import Head
>>> heads = (Head(1, 1, ((8.0, 16.0),)),)
>>> boxes, scores = decode([np.zeros((6, 1, 1), np.float32)], Detection("yolo", heads), 32, 32)
>>> boxes.tolist(), scores.tolist()
([[12.0, 8.0, 20.0, 24.0]], [[0.25]])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise.core.errors import DataError
from chipwise.core.task import Detection, Head

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

YOLOX_STRIDES = (8, 16, 32)
_CORNERS = 4
BEFORE_CLASSES = 5  # centre, size and objectness
_FAR = np.float32(1e6)  # from the picture, in pixels: areas of boxes must not overflow
_MOST = 80.0  # exponents beyond it are no sizes, and exp of 89 is too large for float32


def decode(outputs: Sequence[NDArray[Any]], detection: Detection, height: int, width: int) -> tuple[Floats, Floats]:
    """Turn the outputs for one picture into boxes and scores.

    Args:
        outputs: without their batch dimension, in the network's order.
        detection: which heads they come from.
        height: of the network's input, pixels.
        width: of the network's input, pixels.

    Returns:
        boxes [P, 4] in pixels of the input and scores [P, K], background left out.

    Raises:
        DataError: when the outputs have other shapes than such a detector gives, or hold NaN or infinity.
    """
    arrays = [np.asarray(array, np.float32) for array in outputs]
    if any(not np.isfinite(array).all() for array in arrays):
        raise DataError("the detector's outputs hold NaN or infinity", hint="was the picture prepared as it wants?")
    boxes, scores = _DECODERS[detection.decoder](arrays, detection, height, width)
    return boxes.clip(-_FAR, _FAR), scores


def yolox_heads(height: int, width: int) -> tuple[Head, ...]:
    """The grids of every published YOLOX: strides 8, 16 and 32, one box a cell."""
    return tuple(Head(height // stride, width // stride, ((stride, stride),)) for stride in YOLOX_STRIDES)


def _yolo(outputs: list[Floats], detection: Detection, height: int, width: int) -> tuple[Floats, Floats]:
    """YOLOv3 and v4; "region" (YOLOv2) differs in that classes exclude each other."""
    _expect(outputs, len(detection.heads), detection)
    parts = [
        _yolo_head(output, head, (height, width), exclusive=detection.decoder == "region")
        for output, head in zip(outputs, detection.heads, strict=True)
    ]
    if len({scores.shape[1] for _, scores in parts}) != 1:
        raise _misfit(outputs, detection)
    return _joined([boxes for boxes, _ in parts]), _joined([scores for _, scores in parts])


def _yolo_head(output: Floats, head: Head, size: tuple[int, int], *, exclusive: bool) -> tuple[Floats, Floats]:
    cells, count = (head.rows, head.columns), len(head.anchors)
    if output.ndim != 3 or output.shape[1:] != cells or not count or output.shape[0] % count:
        raise _misfit([output], head)
    maps = output.reshape(count, -1, *cells)
    if maps.shape[1] <= BEFORE_CLASSES:
        raise _misfit([output], head)
    raw = head.squared  # such heads are activated already
    ends = maps[:, :2] if raw else _sigmoid(maps[:, :2])
    centres = ends * head.scale_xy - np.float32((head.scale_xy - 1) / 2) + _cells(head)
    centres = centres * np.array([size[1] / cells[1], size[0] / cells[0]], np.float32)[:, None, None]
    sizes = (2 * maps[:, 2:4]) ** 2 if raw else _exp(maps[:, 2:4])
    sizes = sizes * np.array(head.anchors, np.float32)[:, :, None, None]
    objectness = maps[:, 4:5] if raw else _sigmoid(maps[:, 4:5])
    classes = maps[:, BEFORE_CLASSES:]
    shares = _softmax(classes, axis=1) if exclusive else classes if raw else _sigmoid(classes)
    return _corners_of(_rows(centres), _rows(sizes)), _rows(objectness * shares)


def _yolo_v1(outputs: list[Floats], detection: Detection, height: int, width: int) -> tuple[Floats, Floats]:
    """One vector: class shares of every cell, objectness of every box, then boxes with the square roots of sizes."""
    _expect(outputs, 1, detection)
    head, vector = detection.heads[0], outputs[0].reshape(-1)
    cells, per_cell = head.rows * head.columns, max(len(head.anchors), 1)
    classes = vector.size // max(cells, 1) - BEFORE_CLASSES * per_cell
    if classes < 1 or vector.size != cells * (classes + BEFORE_CLASSES * per_cell):
        raise _misfit(outputs, detection)
    shares, objectness, places = np.split(vector, [cells * classes, cells * (classes + per_cell)])
    boxes: Floats = places.reshape(cells, per_cell, 4)
    corner = _cells(head).reshape(2, cells).T[:, None]
    centres = (boxes[..., :2] + corner) * np.array([width / head.columns, height / head.rows], np.float32)
    sizes = np.square(boxes[..., 2:]) * np.array([width, height], np.float32)
    scores = objectness.reshape(cells, per_cell, 1) * shares.reshape(cells, 1, classes)
    return _corners_of(centres.reshape(-1, 2), sizes.reshape(-1, 2)), scores.reshape(-1, classes)


def _yolox(outputs: list[Floats], detection: Detection, height: int, width: int) -> tuple[Floats, Floats]:
    """Centres and logarithms of sizes, in cells; objectness and classes between 0 and 1."""
    _expect(outputs, 1, detection, most=True)
    heads, rows = detection.heads or yolox_heads(height, width), outputs[0]
    wanted = sum(head.rows * head.columns for head in heads)
    if rows.ndim != 2 or rows.shape[0] != wanted or rows.shape[1] <= BEFORE_CLASSES:
        raise _misfit(outputs, detection)
    cell = _joined([_cells(head).reshape(2, -1).T for head in heads])
    stride = _joined(
        [
            np.full((head.rows * head.columns, 2), (width / head.columns, height / head.rows), np.float32)
            for head in heads
        ]
    )
    boxes = _corners_of((rows[:, :2] + cell) * stride, _exp(rows[:, 2:4]) * stride)
    return boxes, rows[:, 4:5] * rows[:, BEFORE_CLASSES:]


def _ssd(outputs: list[Floats], detection: Detection, height: int, width: int) -> tuple[Floats, Floats]:
    """Offsets to anchors in the middle of every cell."""
    offsets, scores = _offsets_and_scores(outputs, detection)
    anchors = _joined([_anchor_rows(head, height, width) for head in detection.heads] or [np.empty((0, 4), np.float32)])
    if len(anchors) != len(offsets):
        raise _misfit(outputs, detection)
    centre, size = (np.float32(variance) for variance in detection.variances)
    centres = anchors[:, :2] + offsets[:, :2] * centre * anchors[:, 2:]
    sizes = anchors[:, 2:] * _exp(offsets[:, 2:] * size)
    shares = scores if detection.activated else _softmax(scores, axis=1)
    return _corners_of(centres, sizes), shares[:, 1:]


def _corners(outputs: list[Floats], detection: Detection, height: int, width: int) -> tuple[Floats, Floats]:
    """Boxes as they are, in 0..1."""
    boxes, scores = _offsets_and_scores(outputs, detection)
    return boxes * np.array([width, height, width, height], np.float32), scores[:, 1:]


_DECODERS: dict[str, Callable[[list[Floats], Detection, int, int], tuple[Floats, Floats]]] = {
    "yolo": _yolo,
    "region": _yolo,
    "yolo-v1": _yolo_v1,
    "yolox": _yolox,
    "ssd": _ssd,
    "corners": _corners,
}


def _offsets_and_scores(outputs: list[Floats], detection: Detection) -> tuple[Floats, Floats]:
    """The output of four columns and the other one, whatever their order; of two such, the first are the boxes."""
    if len(outputs) != 2 or any(array.ndim != 2 for array in outputs) or len(outputs[0]) != len(outputs[1]):
        raise _misfit(outputs, detection)
    boxes, scores = outputs if outputs[0].shape[1] == _CORNERS else outputs[::-1]
    if boxes.shape[1] != _CORNERS or scores.shape[1] < 2:
        raise _misfit(outputs, detection)
    return boxes, scores


def _anchor_rows(head: Head, height: int, width: int) -> Floats:
    """Centre and size of every anchor, [rows * columns * A, 4], row by row."""
    columns, rows = np.meshgrid(np.arange(head.columns), np.arange(head.rows))
    centres = np.stack([(columns + 0.5) * width / head.columns, (rows + 0.5) * height / head.rows], axis=-1)
    anchors = np.array(head.anchors, np.float32).reshape(-1, 2)
    spread = np.broadcast_to(centres[:, :, None], (*centres.shape[:2], len(anchors), 2))
    return np.concatenate([spread, np.broadcast_to(anchors, spread.shape)], axis=-1).reshape(-1, 4).astype(np.float32)


def _cells(head: Head) -> Floats:
    """Column and row of every cell, [2, rows, columns]."""
    return np.stack(np.meshgrid(np.arange(head.columns), np.arange(head.rows))).astype(np.float32)


def _rows(maps: Floats) -> Floats:
    """[A, C, rows, columns] as [rows * columns * A, C]: the order in which Darknet lists its boxes."""
    return maps.transpose(2, 3, 0, 1).reshape(-1, maps.shape[1])


def _corners_of(centres: Floats, sizes: Floats) -> Floats:
    return np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)


def _joined(parts: Sequence[Floats]) -> Floats:
    return np.concatenate(parts)


def _sigmoid(values: Floats) -> Floats:
    shares: Floats = np.reciprocal(1 + np.exp(-np.clip(values, -_MOST, _MOST)))
    return shares


def _exp(values: Floats) -> Floats:
    return np.exp(np.minimum(values, np.float32(_MOST)))


def _softmax(values: Floats, axis: int) -> Floats:
    powers = np.exp(values - values.max(axis=axis, keepdims=True))
    shares: Floats = powers / powers.sum(axis=axis, keepdims=True)
    return shares


def _expect(outputs: Sequence[Floats], count: int, detection: Detection, *, most: bool = False) -> None:
    if len(outputs) != count or (not most and not detection.heads):
        raise _misfit(outputs, detection)


def _misfit(outputs: Sequence[Floats], wanted: Detection | Head) -> DataError:
    shapes = ", ".join(str(list(array.shape)) for array in outputs)
    if isinstance(wanted, Head):
        what = f"a grid of {wanted.rows} x {wanted.columns} cells with {len(wanted.anchors)} boxes"
    else:
        what = f"a {wanted.decoder} detector with {len(wanted.heads)} heads"
    return DataError(f"outputs {shapes} do not fit {what}", hint="is this the right --task for the network?")
