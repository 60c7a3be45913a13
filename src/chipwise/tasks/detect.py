"""Detectors' outputs to named boxes in pixels of the picture as it was given.

>>> from chipwise.core.task import Detection, Preprocess, Task
>>> from chipwise.tasks.placement import place
>>> task = Task("detection", ("none", "face"), Preprocess(10, 10, 3, "RGB"), Detection("corners"))
>>> outputs = [np.array([[[0.1, 0.2, 0.5, 1.0]]]), np.array([[[0.1, 0.9]]])]
>>> found = detected(outputs, task, [place(100, 200, task.preprocess)])[0][0]
>>> found.label, round(found.left), round(found.bottom)
('face', 20, 100)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise.core.errors import DataError
from chipwise.core.report import Box
from chipwise.tasks.agreement import BACKGROUND_FIRST
from chipwise.tasks.classify import name_of
from chipwise.tasks.decode import decode
from chipwise.tasks.suppress import suppress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from chipwise.core.task import Task
    from chipwise.tasks.placement import Placement


def detected(
    outputs: Sequence[NDArray[Any]], task: Task, placements: Sequence[Placement | None]
) -> list[tuple[Box, ...]]:
    """Name the objects in each picture of a batch.

    Args:
        outputs: the network's, with their batch dimension.
        task: of a detector.
        placements: where each picture lies in its input; None leaves boxes in pixels of the input.

    Returns:
        for each picture its boxes, highest score first, clipped to the picture; empty ones are left out.

    Raises:
        DataError: as `decode`; or the outputs have not one row for each picture.
    """
    detection, preprocess = task.detection, task.preprocess
    if detection is None or preprocess is None:
        raise DataError("this detector does not say how its outputs become boxes", hint="--task detection:yolox")
    if any(array.ndim < 2 or len(array) != len(placements) for array in outputs):
        shapes = ", ".join(str(list(array.shape)) for array in outputs)
        raise DataError(f"outputs {shapes} are not one row for each of {len(placements)} pictures")
    found = []
    for index, placement in enumerate(placements):
        boxes, scores = decode([array[index] for array in outputs], detection, preprocess.height, preprocess.width)
        pairs = suppress(boxes, scores, threshold=detection.threshold, overlap=detection.overlap)
        kept = boxes[[box for box, _ in pairs]]
        edges = kept.astype(np.float64) if placement is None else placement.boxes(kept)
        shift = _labels_before(task, scores.shape[1])
        found.append(
            tuple(
                Box(name_of(kind + shift, task.labels), float(scores[box, kind]), *map(float, edge))
                for (box, kind), edge in zip(pairs, edges, strict=True)
                if edge[2] > edge[0] and edge[3] > edge[1]
            )
        )
    return found


def _labels_before(task: Task, classes: int) -> int:
    """How many labels stand before the first class that boxes have: the background's, where it is named or numbered."""
    assert task.detection is not None
    return int(task.detection.decoder in BACKGROUND_FIRST and len(task.labels) != classes)
