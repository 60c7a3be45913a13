"""Fitted estimators of scikit-learn as ONNX graphs that the compiler takes: pixels in, a score for each class out.

skl2onnx makes the graph; the class that it also gives is left out, since the scores say it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator

from chipwise.codec.files import atomic_write
from chipwise.core.errors import InputError, first_line
from chipwise.core.task import Preprocess, Task
from chipwise.networks.onnx_file import from_bytes, serialize

if TYPE_CHECKING:
    from collections.abc import Sequence

FILE = "network.onnx"
_REFUSED = (MissingConverter, MissingShapeCalculator, NotImplementedError, RuntimeError, ValueError, TypeError)


def write_graph(fitted: Any, name: str, shape: tuple[int, ...], class_names: Sequence[str], folder: Path) -> None:
    """Write a fitted estimator as a network.

    Args:
        fitted: the estimator.
        name: of the network.
        shape: of a sample; pictures [H, W, C] are taken as they are in the data.
        class_names: in the order of the labels.
        folder: of the file `network.onnx`.

    Raises:
        InputError: skl2onnx cannot convert it, or knows no such pictures.
    """
    sample = np.zeros((1, int(np.prod(shape))), np.float32)
    try:
        model = to_onnx(fitted, sample, options={"zipmap": False})
    except _REFUSED as error:
        raise InputError(f"{name} cannot become a graph: {first_line(error)}") from error
    while len(model.graph.output) > 1 and model.graph.output[0].type.tensor_type.elem_type != 1:
        del model.graph.output[0]
    if len(model.graph.output) != 1 or model.graph.output[0].type.tensor_type.elem_type != 1:
        raise InputError(f"{name} gives classes and no scores, which cannot be compiled")
    task = Task(labels=tuple(class_names), preprocess=_seen(shape))
    network = from_bytes(model.SerializeToString(), name, task=task)
    atomic_write(folder / FILE, serialize(network, with_task=True))


def _seen(shape: tuple[int, ...]) -> Preprocess | None:
    """Pictures as rows of numbers from 0 to 1; None for arrays.

    Raises:
        InputError: pictures in colour, whose rows would come in another order.
    """
    if len(shape) != 3:
        return None
    if shape[2] != 1:
        raise InputError("estimators of pictures in colour cannot be compiled", hint="networks can")
    return Preprocess(shape[0], shape[1], layout="flat")
