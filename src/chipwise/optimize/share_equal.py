"""Compute what is computed twice once, and keep weights that are equal once.

    Add(Conv(x, w1), Conv(x, w2)), w1 equal to w2   =>   c = Conv(x, w1), Add(c, c)

Equal weights are found by shape and element type, then by a hash of their bytes: each is read once, and only where
another is like it. Nodes are onnx_ir's CommonSubexpressionEliminationPass, from which operators are kept that need not
answer the same again: random ones, a Dropout in training, and any that is not ONNX's own.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import TYPE_CHECKING

import onnx_ir as ir
import onnx_ir.passes.common as ir_passes

from chipwise.optimize.rewrite import is_op

if TYPE_CHECKING:
    from collections.abc import Iterator

LABEL = "exact"
_RANDOM = (
    *("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"),
    "Dropout",  # which may be in training
)
# What onnx_ir compares by value; others it cannot hash, or compares by identity.
_COMPARABLE = {
    *(ir.AttributeType.INT, ir.AttributeType.FLOAT, ir.AttributeType.STRING, ir.AttributeType.TENSOR),
    *(ir.AttributeType.INTS, ir.AttributeType.FLOATS, ir.AttributeType.STRINGS),
}
_MARK = "chipwise_differs"


def apply(model: ir.Model) -> str:
    """Share in place."""
    weights = sum(_share_weights(graph) for graph in model.graphs())
    before = len(model.graph)
    kept = [node for node in model.graph if not _repeats(node)]
    for number, node in enumerate(kept):
        node.attributes[_MARK] = ir.AttrInt64(_MARK, number)  # no two are alike
    ir_passes.CommonSubexpressionEliminationPass()(model)
    for node in kept:
        del node.attributes[_MARK]
    nodes = before - len(model.graph)
    said = [f"{nodes} repeated computation{'s' if nodes != 1 else ''}"] if nodes > 0 else []
    said += [f"{weights} equal weight{'s' if weights != 1 else ''}"] if weights else []
    return f"shared {' and '.join(said)}" if said else ""


def _repeats(node: ir.Node) -> bool:
    """True when a node surely answers the same each time, and can be compared with others."""
    known = is_op(node, node.op_type) and not is_op(node, *_RANDOM)
    return known and all(each.type in _COMPARABLE and not each.is_ref() for each in node.attributes.values())


def _share_weights(graph: ir.Graph) -> int:
    """Let readers of equal weights read the first of them."""
    shared = 0
    for alike in list(_alike(graph)):
        first: dict[bytes, ir.Value] = {}
        for value in alike:
            kept = first.setdefault(_digest(value), value)
            if kept is not value:
                value.replace_all_uses_with(kept)
                graph.initializers.pop(str(value.name))
                shared += 1
    return shared


def _alike(graph: ir.Graph) -> Iterator[list[ir.Value]]:
    """Weights of one shape and element type, where there are several, that no caller can see."""
    groups: dict[tuple[object, ...], list[ir.Value]] = defaultdict(list)
    for value in graph.initializers.values():
        tensor = value.const_value
        if tensor is None or value.is_graph_input() or value.is_graph_output() or tensor.dtype == ir.DataType.STRING:
            continue
        groups[tensor.dtype, tuple(tensor.shape.numpy())].append(value)
    return (group for group in groups.values() if len(group) > 1)


def _digest(value: ir.Value) -> bytes:
    assert value.const_value is not None, "a weight has a value"
    return hashlib.blake2b(value.const_value.tobytes()).digest()
