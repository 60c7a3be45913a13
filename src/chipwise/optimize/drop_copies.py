"""Remove joins and cuts of tensors that undo each other: a Concat or Split moves every value and computes none.

    Concat(Concat(a, b), c)         =>  Concat(a, b, c)
    Concat(all parts of Split(x))   =>  x
    Split(Concat(a, b))             =>  a, b               where the sizes are the same
    Slice(Concat(a, b))             =>  a, b or a Slice of one of them
    Concat(a)                       =>  a

Only where it copies no more than before: an inner Concat that others read stays as it is.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from chipwise.optimize.rewrite import add_weights, bypass, constant, integer, is_op, only_reader, shape_of

if TYPE_CHECKING:
    from collections.abc import Sequence

LABEL = "exact"
_INPUTS_SINCE = 10  # before, what a Slice cuts was in attributes


def apply(model: ir.Model) -> str:
    """Remove in place, in one walk from the inputs to the outputs."""
    graph, changes = model.graph, 0
    for node in list(graph):
        if is_op(node, "Concat"):
            changes += _flatten(graph, node) + _of_all_parts(graph, node) + _of_one(graph, node)
        elif is_op(node, "Split"):
            changes += _split_of_joined(node)
        elif is_op(node, "Slice") and model.opset_imports.get("", 0) >= _INPUTS_SINCE:
            changes += _slice_of_joined(graph, node)
    for node in reversed(list(graph)):
        unread = not any(value.uses() or value.is_graph_output() for value in node.outputs)
        if changes and unread and is_op(node, "Concat", "Split"):
            graph.remove(node, safe=True)
    return f"removed {changes} copies of parts" if changes else ""


def _axis(node: ir.Node, default: int) -> int | None:
    """Along which axis a node joins or cuts, from 0."""
    shape = shape_of(node.outputs[0])
    return None if shape is None else integer(node, "axis", default) % len(shape)


def _flatten(graph: ir.Graph, node: ir.Node) -> bool:
    """Take the inputs of the Concats that only this one reads."""
    inputs, axis = list[ir.Value | None](), _axis(node, 1)
    inner = list[ir.Node]()
    for value in node.inputs:
        maker = value.producer() if value is not None else None
        nested = maker is not None and is_op(maker, "Concat") and maker.graph is graph and _axis(maker, 1) == axis
        if value is not None and maker is not None and nested and axis is not None and only_reader(value):
            inputs += maker.inputs
            inner.append(maker)
        else:
            inputs.append(value)
    if inner:
        _set_inputs(node, inputs)
        graph.remove(inner, safe=True)
    return bool(inner)


def _set_inputs(node: ir.Node, inputs: Sequence[ir.Value | None]) -> None:
    node.resize_inputs(len(inputs))
    for place, value in enumerate(inputs):
        node.replace_input_with(place, value)


def _of_all_parts(graph: ir.Graph, node: ir.Node) -> bool:
    """Where all parts of a Split stand in a row, what was split stands in their place."""
    inputs, axis, changed = list(node.inputs), _axis(node, 1), False
    place = 0
    while place < len(inputs):
        value = inputs[place]
        maker = value.producer() if value is not None else None
        if maker is not None and is_op(maker, "Split") and maker.graph is graph and _axis(maker, 0) == axis is not None:
            parts = list(maker.outputs)
            if inputs[place : place + len(parts)] == parts:
                inputs[place : place + len(parts)] = [maker.inputs[0]]
                changed = True
        place += 1
    if changed:
        _set_inputs(node, inputs)
    return changed


def _of_one(graph: ir.Graph, node: ir.Node) -> bool:
    if len(node.inputs) != 1 or node.inputs[0] is None:
        return False
    bypass(graph, node, node.inputs[0])
    return True


def _joined(node: ir.Node, axis: int | None) -> tuple[list[ir.Value], list[int]] | None:
    """The parts of the Concat that a node reads, and where each begins, and the last ends."""
    maker = node.inputs[0].producer() if node.inputs[0] is not None else None
    if maker is None or axis is None or not is_op(maker, "Concat") or maker.graph is not node.graph:
        return None
    parts = [value for value in maker.inputs if value is not None]
    shapes = [shape_of(value) for value in parts]
    sizes = [shape[axis] for shape in shapes if shape is not None]
    known = [size for size in sizes if size is not None]
    if _axis(maker, 1) != axis or len(known) != len(maker.inputs):
        return None
    return parts, [0, *accumulate(known)]


def _split_of_joined(node: ir.Node) -> bool:
    axis = _axis(node, 0)
    joined = _joined(node, axis)
    shapes = [shape_of(value) for value in node.outputs]
    if joined is None or axis is None or any(value.is_graph_output() for value in node.outputs):
        return False
    sizes = [None if shape is None else shape[axis] for shape in shapes]
    if None in sizes or [0, *accumulate(size or 0 for size in sizes)] != joined[1]:
        return False
    for output, part in zip(node.outputs, joined[0], strict=True):
        output.replace_all_uses_with(part)
    return True


def _slice_of_joined(graph: ir.Graph, node: ir.Node) -> bool:
    """Where a Slice takes one part of a Concat, or a piece of one."""
    shape = shape_of(node.inputs[0])
    axes = constant(node.inputs[3]) if len(node.inputs) > 3 else None
    steps = constant(node.inputs[4]) if len(node.inputs) > 4 and node.inputs[4] is not None else np.array([1])
    bounds = [constant(value) for value in node.inputs[1:3]]
    if shape is None or axes is None or axes.size != 1 or steps is None or steps.item() != 1:
        return False
    axis = int(axes.item()) % len(shape)
    joined = _joined(node, axis)
    if joined is None or any(each is None or each.size != 1 for each in bounds):
        return False
    parts, starts = joined
    begin, end, _ = slice(*(int(each.item()) for each in bounds if each is not None)).indices(starts[-1])
    for part, start, stop in zip(parts, starts, starts[1:], strict=False):
        if (begin, end) == (start, stop):
            bypass(graph, node, part)
            return True
        if start <= begin < end <= stop:
            node.replace_input_with(0, part)
            for place, bound in ((1, begin - start), (2, end - start)):
                node.replace_input_with(place, add_weights(graph, np.array([bound], np.int64), "bound"))
            return True
    return False
