"""What every pass needs to read a graph and to change it: constants, attributes, shapes, other nodes in a place.

>>> import onnx.parser
>>> text = '<ir_version: 8, opset_import: ["": 17]> g (float[N, 3] x) => (float[N, 3] y) { a = Neg(x)  y = Relu(a) }'
>>> graph = ir.serde.deserialize_model(onnx.parser.parse_model(text)).graph
>>> bypass(graph, graph[0], graph[0].inputs[0])
>>> [node.op_type for node in graph]
['Relu']
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_FLOATS = (np.float32, np.float64)


def is_op(node: ir.Node | None, *names: str) -> bool:
    """True when a node is one of ONNX's own operators of these names."""
    return node is not None and node.domain in ("", "ai.onnx") and node.op_type in names


def constant(value: ir.Value | None) -> NDArray[Any] | None:
    """The array behind a value that no caller can change; None for anything else."""
    if value is None or value.is_graph_input():
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def floats(value: ir.Value | None) -> NDArray[Any] | None:
    """Like `constant`, for float32 and float64 only."""
    array = constant(value)
    return array if array is not None and array.dtype in _FLOATS else None


def add_weights(graph: ir.Graph, array: NDArray[Any], name: str = "folded") -> ir.Value:
    """A new initializer with a name of its own, C-contiguous, in the array's element type."""
    number = len(graph.initializers)
    while f"{name}_{number}" in graph.initializers:
        number += 1
    value = ir.Value(name=f"{name}_{number}", const_value=ir.tensor(np.ascontiguousarray(array)))
    graph.register_initializer(value)
    return value


def only_reader(value: ir.Value) -> bool:
    """True when exactly one node reads a value, once, and no caller does."""
    return len(value.uses()) == 1 and not value.is_graph_output()


def integer(node: ir.Node, name: str, default: int) -> int:
    """An integer attribute."""
    return node.attributes[name].as_int() if name in node.attributes else default


def number(node: ir.Node, name: str, default: float) -> float:
    """A float attribute."""
    return node.attributes[name].as_float() if name in node.attributes else default


def integers(node: ir.Node, name: str, default: Sequence[int]) -> tuple[int, ...]:
    """An attribute of several integers."""
    return tuple(node.attributes[name].as_ints()) if name in node.attributes else tuple(default)


def text(node: ir.Node, name: str, default: str) -> str:
    """A string attribute."""
    return node.attributes[name].as_string() if name in node.attributes else default


def shape_of(value: ir.Value | None) -> tuple[int | None, ...] | None:
    """Dimensions, None for each that is free; None where even their number is not known."""
    if value is None or value.shape is None:
        return None
    return tuple(dim if isinstance(dim, int) else None for dim in value.shape)


def weight_axes(node: ir.Node, rank: int) -> tuple[int, int]:
    """The axes of a layer's weights that belong to its outputs and to its inputs.

    Args:
        node: Conv, ConvTranspose, Gemm or MatMul; grouped ones have a group's share along one of them.
        rank: of the weights.
    """
    if node.op_type == "Conv" or (node.op_type == "Gemm" and integer(node, "transB", 0)):
        return 0, 1
    return (1, 0) if node.op_type == "ConvTranspose" else (rank - 1, rank - 2)


def permutation(node: ir.Node) -> tuple[int, ...] | None:
    """What a Transpose does; None where the number of axes is not known."""
    shape = shape_of(node.inputs[0])
    usual = None if shape is None else tuple(range(len(shape)))[::-1]
    return integers(node, "perm", ()) or usual


def pads_of(node: ir.Node, dims: int) -> tuple[int, ...] | None:
    """Begin and end padding of a convolution or pooling over `dims` axes; None where the runtime works it out."""
    if text(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return None
    return integers(node, "pads", (0,) * 2 * dims) if text(node, "auto_pad", "NOTSET") == "NOTSET" else (0,) * 2 * dims


def bypass(graph: ir.Graph, node: ir.Node, value: ir.Value) -> None:
    """Take a node with one output out: what read its output reads `value`. An output of the graph keeps its name."""
    output = node.outputs[0]
    maker = value.producer()
    if output.is_graph_output() and (value.is_graph_output() or maker is None or maker.graph is not graph):
        swap(graph, node, [node], [ir.node("Identity", [value])])
        return
    name, places = output.name, [place for place, each in enumerate(graph.outputs) if each is output]
    output.replace_all_uses_with(value, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    if places:
        value.name, value.type, value.shape = name, output.type, output.shape


def swap(graph: ir.Graph, at: ir.Node, old: Sequence[ir.Node], new: Sequence[ir.Node]) -> None:
    """Put `new` nodes in the place of `old` ones.

    Args:
        graph: that both belong to.
        at: the node of `old` whose first output is read outside; the others' outputs are not.
        old: taken out.
        new: put in where `at` was, in order; the last one's first output takes over its name and readers.
    """
    kept = at.outputs[0]
    made = new[-1].outputs[0]
    name, made.type, made.shape = kept.name, kept.type, kept.shape
    made.name = name
    ir.convenience.replace_nodes_and_values(graph, at, list(old), list(new), [kept], [made])
    made.name = name
