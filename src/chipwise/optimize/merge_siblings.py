"""Layers that read the same value become one wide layer, and a Split; where they were joined again, not even that.

    x -> Conv 1x1 (a) -> Relu -> Concat         x -> Conv 1x1 (a + b + c) -> Relu -> Concat
    x -> Conv 1x1 (b) -> Relu ---^         =>
    x -> Conv 1x1 (c) -> Relu ---^

Convolutions of equal kernels, strides, padding and dilation, and matrix products: one reads x once and fills wide
kernels better. A Split copies all that was computed, so it is slower as often as it is faster: for a measurement to
decide. Activations behind all of them move before the Split. (Jia et al. 2019, "TASO", section 7, has this rewrite.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from chipwise.optimize import drop_copies
from chipwise.optimize.rewrite import add_weights, floats, integer, is_op, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

LABEL = "exact"
_SIZES_ARE_INPUT = 13  # of a Split, since this operator set
_ACTIVATIONS = (
    "Relu", "LeakyRelu", "Sigmoid", "Tanh", "Clip", "HardSwish", "HardSigmoid", "Elu", "Selu", "Mish", "Softplus",
    "Gelu", "Abs", "Neg",
)  # fmt: skip


def apply(model: ir.Model) -> str:
    """Merge in place."""
    merged = groups = 0
    for value in _values(model.graph):
        for siblings in _groups(model.graph, value):
            _merge(model.graph, siblings, model.opset_imports.get("", 0))
            merged, groups = merged + len(siblings), groups + 1
    if not merged:
        return ""
    drop_copies.apply(model)
    return f"merged {merged} layers that read the same value into {groups}"


def _values(graph: ir.Graph) -> list[ir.Value]:
    return [*graph.inputs, *(value for node in graph for value in node.outputs)]


def _groups(graph: ir.Graph, value: ir.Value) -> Iterable[list[ir.Node]]:
    """Layers that read a value and can be one, in the order in which they are joined behind, or of the graph."""
    found: dict[tuple[Any, ...], list[ir.Node]] = {}
    for node, index in value.uses():
        key = _key(node) if index == 0 and node.graph is graph else None
        if key is not None:
            found.setdefault(key, []).append(node)
    return [sorted(nodes, key=_place_behind) for nodes in found.values() if len(nodes) > 1]


def _key(node: ir.Node) -> tuple[Any, ...] | None:
    """What two layers must have in common; None for what is no such layer."""
    weights = floats(node.inputs[1]) if len(node.inputs) > 1 and is_op(node, "Conv", "Gemm", "MatMul") else None
    output = node.outputs[0]
    if weights is None or output.is_graph_output() or shape_of(output) is None or integer(node, "group", 1) != 1:
        return None
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    array = floats(bias)
    if weights.ndim != 2 and node.op_type != "Conv":
        return None
    if bias is not None and (array is None or array.ndim != 1 or array.dtype != weights.dtype):
        return None
    if array is not None and len(array) != weights.shape[_outputs(node)]:
        return None
    kernel = weights.shape[2:]
    attributes = tuple(sorted((name, str(each.value)) for name, each in node.attributes.items()))
    return (node.op_type, kernel, weights.dtype, attributes)


def _outputs(node: ir.Node) -> int:
    """The axis of the weights that counts outputs."""
    return 0 if node.op_type == "Conv" or integer(node, "transB", 0) else 1


def _place_behind(node: ir.Node) -> int:
    """Which input of the Concat behind it a layer makes; 0 where there is none."""
    value = node.outputs[0]
    for _ in range(2):
        uses = value.uses()
        if len(uses) != 1:
            return 0
        use = next(iter(uses))
        if is_op(use.node, "Concat"):
            return use.idx
        value = use.node.outputs[0]
    return 0


def _merge(graph: ir.Graph, siblings: Sequence[ir.Node], opset: int) -> None:
    first = siblings[0]
    arrays = [_weights(node) for node in siblings]
    weights = add_weights(graph, np.concatenate([each for each, _ in arrays], _outputs(first)), "merged")
    biases = [bias for _, bias in arrays]
    inputs = [first.inputs[0], weights]
    if any(bias is not None for bias in biases):
        full = [np.zeros(each.shape[_outputs(first)], each.dtype) if b is None else b for each, b in arrays]
        inputs.append(add_weights(graph, np.concatenate(full), "merged"))
    made = [ir.Node("", first.op_type, inputs, list(first.attributes.values()))]
    ends = list(siblings)
    behind = _same_activation(siblings)
    if behind:
        act = behind[0]
        made.append(ir.Node("", act.op_type, [made[0].outputs[0], *act.inputs[1:]], list(act.attributes.values())))
        ends = behind
    made.append(_split(graph, made[-1].outputs[0], siblings, opset))
    places = {node: place for place, node in enumerate(graph)}
    graph.insert_before(min(siblings, key=places.__getitem__), made)
    for end, part in zip(ends, made[-1].outputs, strict=True):
        part.type, part.shape = end.outputs[0].type, end.outputs[0].shape
        end.outputs[0].replace_all_uses_with(part)
    graph.remove([*behind, *siblings], safe=True)


def _weights(node: ir.Node) -> tuple[NDArray[Any], NDArray[Any] | None]:
    weights = floats(node.inputs[1])
    assert weights is not None, "checked by _key"
    return weights, floats(node.inputs[2]) if len(node.inputs) > 2 else None


def _split(graph: ir.Graph, value: ir.Value, siblings: Sequence[ir.Node], opset: int) -> ir.Node:
    shape = shape_of(siblings[0].outputs[0])
    assert shape is not None, "checked by _key"
    axis = 1 if siblings[0].op_type == "Conv" else len(shape) - 1
    sizes = [_weights(node)[0].shape[_outputs(node)] for node in siblings]
    value.type = siblings[0].outputs[0].type
    value.shape = ir.Shape([sum(sizes) if place == axis else size for place, size in enumerate(shape)])
    attributes: dict[str, Any] = {"axis": axis}
    inputs = [value]
    if opset < _SIZES_ARE_INPUT:
        attributes["split"] = sizes
    else:
        inputs.append(add_weights(graph, np.array(sizes, np.int64), "sizes"))
    return ir.node("Split", inputs, attributes=attributes, num_outputs=len(sizes))


def _same_activation(siblings: Sequence[ir.Node]) -> list[ir.Node]:
    """The activation behind each layer, where all have the same one and nothing else reads any of them."""
    behind, kinds = list[ir.Node](), set[tuple[Any, ...]]()
    for node in siblings:
        uses = node.outputs[0].uses()
        reader = next(iter(uses)).node if len(uses) == 1 else None
        if reader is None or not is_op(reader, *_ACTIVATIONS) or reader.graph is not node.graph:
            return []
        if reader.outputs[0].is_graph_output() or any(_number(value) is None for value in reader.inputs[1:]):
            return []
        attributes = sorted((name, str(each.value)) for name, each in reader.attributes.items())
        kinds.add((reader.op_type, *(_number(value) for value in reader.inputs[1:]), *attributes))
        behind.append(reader)
    return behind if len(kinds) == 1 else []


def _number(value: ir.Value | None) -> float | None:
    array = floats(value)
    return float(array.item()) if array is not None and array.size == 1 else None
