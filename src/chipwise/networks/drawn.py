"""What graphs that are drawn layer by layer have in common, whatever the file that they are drawn from.

>>> drawn_constant("scale", 0.5).shape, drawn_value("x", (3, 8, 8)).shape
(Shape([]), Shape([SymbolicDim('batch'), 3, 8, 8]))
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from chipwise.core.layer import Shape
from chipwise.core.network import TensorSpec

MOST_VALUES = 2**28  # of one result of one item: 1 GiB
FLOAT = ir.TensorType(ir.DataType.FLOAT)
_IR_VERSION = 8


def drawn_value(name: str, shape: Shape) -> ir.Value:
    """An input or a result of a node: [batch, *shape]."""
    return ir.Value(name=name, shape=ir.Shape(["batch", *shape]), type=FLOAT)


def drawn_constant(name: str, numbers: npt.ArrayLike, dtype: type = np.float32) -> ir.Value:
    """Numbers that belong to a formula."""
    array: npt.NDArray[Any] = np.asarray(numbers, dtype)
    tensor = ir.Tensor(array, name=name)
    return ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)


def drawn_model(
    inputs: Sequence[ir.Value],
    outputs: Sequence[ir.Value],
    nodes: Sequence[ir.Node],
    initializers: Sequence[ir.Value],
    *,
    opset: int,
    name: str,
) -> ir.Model:
    """The model when all is drawn."""
    graph = ir.Graph(inputs, outputs, nodes=nodes, initializers=initializers, opset_imports={"": opset}, name=name)
    return ir.Model(graph, ir_version=_IR_VERSION, producer_name="chipwise")


def specs_of(values: Sequence[ir.Value]) -> tuple[TensorSpec, ...]:
    """Specs of a drawn graph's inputs or outputs, [batch, ...], whose sizes beside the batch are all known."""
    shapes = [() if value.shape is None else value.shape[1:] for value in values]
    return tuple(
        TensorSpec(str(value.name), ("batch", *(dim for dim in shape if isinstance(dim, int))))
        for value, shape in zip(values, shapes, strict=True)
    )
