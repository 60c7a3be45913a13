"""Which weights around a value can take over a scale and a shift per channel.

`behind` looks for the layers that make a value, `ahead` for those that read it, both through whatever lets the scale
and shift pass. Nothing is changed before `commit`, and then all or nothing.

    Conv -> Relu -> scale              x W s = x (W s)                 where the scale is positive
    scale, shift -> MaxPool -> Conv    (x s + t) W = x (s W) + t W     where nothing is padded, or t is zero

>>> import onnx.parser
>>> text = '''<ir_version: 8, opset_import: ["": 17]> g (float[N, 2] x) => (float[N, 1] y) <float[2, 1] w = {1, 1}>
...     { a = Relu(x)  y = MatMul(a, w) }'''
>>> graph = ir.serde.deserialize_model(onnx.parser.parse_model(text)).graph
>>> commit(graph, ahead(graph.inputs[0], Affine.of(scale=3.0), graph))
True
>>> graph[1].inputs[1].const_value.numpy().tolist()
[[3.0], [3.0]]
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnx_ir as ir

from chipwise.optimize.affine import MOVERS, Affine, after, passes, second_place, sections
from chipwise.optimize.rewrite import add_weights, floats, is_op, only_reader, swap
from chipwise.optimize.scalable_layers import Scalable, given, scalable, taken

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Edit(NamedTuple):
    """A change of one layer's weights: `given` as if its output were scaled and shifted, else its first input.

    `layer` is None for an addition of a constant, whose constant takes both.
    """

    node: ir.Node
    affine: Affine
    given: bool
    layer: Scalable | None


def behind(value: ir.Value, affine: Affine) -> list[Edit]:
    """The changes after which `value` is what it was, scaled and shifted; empty where that cannot be done.

    The one reader of `value` is the caller's concern, and is taken out by it.
    """
    node = value.producer()
    if node is None or not only_reader(value) or not node.inputs or node.inputs[0] is None:
        return []
    layer = scalable(node)
    if layer is not None:
        return [Edit(node, affine, True, layer)] if _gives(layer, affine, value) else []
    if is_op(node, "Add"):
        return _behind_addition(node, affine)
    if is_op(node, "Concat"):
        return _behind_concat(node, affine)
    moved = affine.place is None and is_op(node, *MOVERS)
    return behind(node.inputs[0], affine) if moved or passes(node, affine) else []


def ahead(value: ir.Value, affine: Affine, graph: ir.Graph) -> list[Edit]:
    """The changes after which readers of `value` may read it unscaled and unshifted; empty where that cannot be."""
    edits: list[Edit] = []
    seen: set[ir.Node] = set()
    waiting = [(value, affine)]
    while waiting:
        at, change = waiting.pop()
        if at.is_graph_output() or not at.uses():
            return []
        for node, index in at.uses():
            if node in seen or node.graph is not graph:
                return []
            seen.add(node)
            layer = scalable(node) if index == 0 else None
            if layer is not None:
                if not _takes(layer, change, at):
                    return []
                edits.append(Edit(node, change, False, layer))
            else:
                moved = after(node, index, change)
                if moved is None:
                    return []
                waiting.append((node.outputs[0], moved))
    return edits


def commit(graph: ir.Graph, edits: list[Edit]) -> bool:
    """Make the changes; False, and nothing done, where there are none or a weight would overflow."""
    made = [_arrays(edit) for edit in edits]
    if not made or not all(np.isfinite(array).all() for arrays in made for array in arrays.values()):
        return False
    for edit, arrays in zip(edits, made, strict=True):
        for index, array in sorted(arrays.items()):
            if is_op(edit.node, "MatMul") and index == 2:
                _add_behind(graph, edit.node, array)
                continue
            if index >= len(edit.node.inputs):
                edit.node.resize_inputs(index + 1)
            edit.node.replace_input_with(index, add_weights(graph, array))
    return True


def _arrays(edit: Edit) -> dict[int, NDArray[Any]]:
    """New constants by the input they belong to; the third of a MatMul is to be added."""
    affine = edit.affine
    if edit.layer is not None:
        with np.errstate(all="ignore"):
            return (given if edit.given else taken)(edit.layer, affine.scale, affine.shift)
    index = 1 if floats(edit.node.inputs[1]) is not None else 0
    array = floats(edit.node.inputs[index])
    assert array is not None, "an addition of a constant"
    with np.errstate(over="ignore"):
        return {index: (array * affine.aligned(affine.scale) + affine.aligned(affine.shift)).astype(array.dtype)}


def _add_behind(graph: ir.Graph, node: ir.Node, shift: NDArray[Any]) -> None:
    """A MatMul has no bias: an addition after it takes the shift, or becomes one."""
    reader = _addition_after(node)
    if reader is not None:
        index = 1 if floats(reader.inputs[1]) is not None else 0
        reader.replace_input_with(index, add_weights(graph, np.asarray(floats(reader.inputs[index]) + shift)))
        return
    product = ir.node("MatMul", node.inputs)
    swap(graph, node, [node], [product, ir.node("Add", [product.outputs[0], add_weights(graph, shift)])])


def _addition_after(node: ir.Node) -> ir.Node | None:
    """The addition of a constant vector that alone reads a MatMul."""
    if not only_reader(node.outputs[0]):
        return None
    reader = next(iter(node.outputs[0].uses())).node
    constants = [floats(each) for each in reader.inputs] if is_op(reader, "Add") and not reader.attributes else []
    vector = next((each for each in constants if each is not None), None)
    wide = vector is None or vector.ndim > 1 or (vector.size != 1 and vector.shape != _bias_shape(node))
    return None if wide or reader.graph is not node.graph else reader


def _bias_shape(node: ir.Node) -> tuple[int, ...] | None:
    layer = scalable(node)
    return (layer.gives,) if layer is not None else None


def _gives(layer: Scalable, affine: Affine, value: ir.Value) -> bool:
    place = layer.place if layer.place is not None else second_place(value)
    if is_op(layer.node, "MatMul") and affine.shift.any() and (affine.scale == 1).all():
        return False  # it is an addition after a MatMul already
    return place is not None and affine.fits(layer.gives, place)


def _takes(layer: Scalable, affine: Affine, value: ir.Value) -> bool:
    place = layer.place if layer.place is not None else second_place(value)
    if affine.shift.any() and (layer.padded or _grows(layer, affine)):
        return False  # the border is not shifted
    return place is not None and affine.fits(layer.takes, place)


def _grows(layer: Scalable, affine: Affine) -> bool:
    """An addition before a MatMul would become one after it."""
    return is_op(layer.node, "MatMul") and _addition_after(layer.node) is None and bool((affine.scale == 1).all())


def _behind_addition(node: ir.Node, affine: Affine) -> list[Edit]:
    constants = [floats(value) for value in node.inputs]
    if len(constants) != 2 or node.attributes or sum(each is not None for each in constants) != 1:
        return []  # before opset 7 an attribute says how to broadcast
    source = node.inputs[0 if constants[0] is None else 1]
    further = behind(source, replace(affine, shift=np.zeros_like(affine.shift))) if source is not None else []
    return [Edit(node, affine, True, None), *further] if further else []


def _behind_concat(node: ir.Node, affine: Affine) -> list[Edit]:
    sources = [value for value in node.inputs if value is not None]
    parts = [affine] * len(sources)
    if affine.place is not None:
        found_at = sections(node)
        if found_at is None:
            return []
        place, ends = found_at
        if affine.place == place:
            if ends[-1] != len(affine.scale):
                return []
            parts = [affine.part(start, stop) for start, stop in pairwise(ends)]
    found = [behind(value, part) for value, part in zip(sources, parts, strict=True)]
    return [edit for edits in found for edit in edits] if all(found) else []
