"""Readers that take what stands before a transpose as well, because their weights, axes or flags can be turned instead.

Flatten or Reshape into a matrix product with constant weights (their rows move), a reduction that drops the axes which
were moved, a two-dimensional matrix product (it has a flag), and Shape (its numbers move). Part of `move_transposes`.

>>> gemm = ir.node("Gemm", [ir.Value(name="a"), ir.Value(name="b")])
>>> absorbs(ir.Graph([], [], nodes=[gemm]), gemm, 0, (1, 0))
True
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from chipwise.optimize.layouts import REDUCTIONS, Perm, inverse, reduced_axes, turn, turned_reduction
from chipwise.optimize.rewrite import add_weights, constant, integer, is_op, only_reader, shape_of, swap

if TYPE_CHECKING:
    from numpy.typing import NDArray


def absorbs(graph: ir.Graph, reader: ir.Node, index: int, perm: Perm) -> bool:
    """True when a node that reads `Transpose(x, perm)` as its input of this number can read x instead."""
    if reader.graph is not graph:
        return False
    if is_op(reader, "Shape"):
        return not reader.attributes
    if is_op(reader, "Gemm"):
        return perm == (1, 0) and index < 2
    if index == 0 and is_op(reader, *REDUCTIONS):
        return _turned_axes(reader, perm) is not None
    return index == 0 and _rows(reader, perm) is not None


def absorb(graph: ir.Graph, reader: ir.Node, index: int, value: ir.Value, perm: Perm) -> None:
    """Let a node read `value` in the place of its transpose; `absorbs` said that it can."""
    if is_op(reader, "Shape"):
        shape = ir.node("Shape", [value])
        order = add_weights(graph, np.array(perm, np.int64), "order")
        swap(graph, reader, [reader], [shape, ir.node("Gather", [shape.outputs[0], order], attributes={"axis": 0})])
        return
    if is_op(reader, "Gemm"):
        flag = "transB" if index else "transA"
        reader.attributes.add(ir.AttrInt64(flag, 1 - integer(reader, flag, 0)))
    elif is_op(reader, *REDUCTIONS):
        axes = _turned_axes(reader, perm)
        assert axes is not None, "absorbs said so"
        turn(graph, reader, turned_reduction(reader, axes))
    else:
        array = _rows(reader, perm)
        assert array is not None, "absorbs said so"
        product = next(iter(reader.outputs[0].uses())).node
        product.replace_input_with(1, add_weights(graph, array, "turned"))
    reader.replace_input_with(index, value)


def _turned_axes(reader: ir.Node, perm: Perm) -> tuple[int, ...] | None:
    """The axes of x that a reduction of its transpose drops, when the others stay in order."""
    axes = reduced_axes(reader, len(perm))
    if not axes or integer(reader, "keepdims", 1):
        return None
    kept = [perm[axis] for axis in range(len(perm)) if axis not in axes]
    return tuple(perm[axis] for axis in axes) if kept == sorted(kept) else None


def _rows(reader: ir.Node, perm: Perm) -> NDArray[Any] | None:
    """The weights of the matrix product behind a Flatten or Reshape, for what is flattened without the transpose."""
    if not is_op(reader, "Flatten", "Reshape") or perm[0] != 0 or not only_reader(reader.outputs[0]):
        return None
    source, use = reader.inputs[0], next(iter(reader.outputs[0].uses()))
    shape = shape_of(source)
    sizes = None if shape is None else shape[1:]
    if sizes is None or None in sizes or use.idx != 0 or not _keeps_items(reader, prod(filter(None, sizes))):
        return None
    product = use.node
    if not is_op(product, "Gemm", "MatMul") or integer(product, "transA", 0):
        return None
    weights = constant(product.inputs[1])
    axis = integer(product, "transB", 0)
    if weights is None or weights.ndim != 2 or weights.shape[axis] != prod(filter(None, sizes)):
        return None
    places = np.arange(weights.shape[axis]).reshape([size or 0 for size in sizes])
    order = places.transpose([each - 1 for each in inverse(perm)[1:]])
    return weights.take(order.ravel(), axis)


def _keeps_items(reader: ir.Node, values: int) -> bool:
    """True when a Flatten or Reshape makes one row of `values` for each item of the first axis."""
    if is_op(reader, "Flatten"):
        return integer(reader, "axis", 1) == 1
    target = constant(reader.inputs[1]) if len(reader.inputs) > 1 else None
    if target is None or target.size != 2 or integer(reader, "allowzero", 0) or not values:
        return False
    return int(target[1]) == values or (int(target[0]) == 0 and int(target[1]) == -1)
