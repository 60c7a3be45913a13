"""SiLU as exporters spell it before operator set 24: x times the sigmoid of x, read as the one activation that it is.

>>> from onnx import helper
>>> nodes = [helper.make_node("Sigmoid", ["x"], ["s"]), helper.make_node("Mul", ["x", "s"], ["y"], name="m")]
>>> [(node.op_type, list(node.input), node.name) for node in with_swish(nodes, Counter(x=2, s=1))]
[('Swish', ['x'], 'm')]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from onnx import NodeProto, helper


def with_swish(nodes: Iterable[NodeProto], readers: Counter[str]) -> list[NodeProto]:
    """Put one Swish in the place of each such pair.

    Args:
        nodes: of one graph, in order.
        readers: how often each value is read, the graph's outputs too; corrected where a reader goes away.
    """
    listed = list(nodes)
    gates = {node.output[0]: node.input[0] for node in listed if node.op_type == "Sigmoid" and not node.domain}
    pairs = {node.output[0]: _gate(node, gates, readers) for node in listed if node.op_type == "Mul"}
    dropped = {gate for gate in pairs.values() if gate}
    made = []
    for node in listed:
        gate = pairs.get(node.output[0], "") if node.output else ""
        if gate:
            readers[gates[gate]] -= 1
            made.append(helper.make_node("Swish", [gates[gate]], node.output, name=node.name))
        elif not node.output or node.output[0] not in dropped:
            made.append(node)
    return made


def _gate(node: NodeProto, gates: Mapping[str, str], readers: Counter[str]) -> str:
    """The sigmoid's value that a product reads beside the sigmoid's own input; "" where it does not."""
    if node.domain or len(node.input) != 2:
        return ""
    found = (
        gate
        for value, gate in (node.input, (node.input[1], node.input[0]))
        if gates.get(gate) == value and readers[gate] == 1
    )
    return next(found, "")
