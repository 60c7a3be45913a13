"""Layers of a graph as quantizers see them: a convolution or matrix product, and what follows it up to the next one.

A layer is kept in float as a whole: an addition or a pooling that stayed in int8 between float layers would round for
nothing. Nodes are known by name, so every node is given one.

>>> import onnx.parser
>>> text = '<ir_version: 8, opset_import: ["": 17]> g (float[1, 3] x, float[3, 3] w) => (float[1, 3] y) {'
>>> proto = onnx.parser.parse_model(text + " a = MatMul(x, w)  y = Relu(a) }")
>>> name_nodes(proto)
>>> layers(proto)
{'MatMul_0': ('MatMul_0', 'Relu_1')}
"""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING

from chipwise.core.errors import unknown_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    import onnx

LAYER_OPS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def name_nodes(proto: onnx.ModelProto) -> None:
    """Give a name to each node of the main graph that has none, or one that was there before; always the same one."""
    taken = {node.name for node in proto.graph.node}
    seen: set[str] = set()
    for number, node in enumerate(proto.graph.node):
        if not node.name or node.name in seen:
            name = f"{node.op_type}_{number}"
            while name in taken:
                name += "_"
            node.name = name
            taken.add(name)
        seen.add(node.name)


def layers(proto: onnx.ModelProto) -> dict[str, tuple[str, ...]]:
    """Names of the nodes of each layer, by the name of its first one, in the order of the graph.

    A node that reads several layers belongs to the last of them, one that reads none to the first.

    Args:
        proto: whose nodes have names.
    """
    order = {node.name: place for place, node in enumerate(proto.graph.node)}
    owner: dict[str, str] = {}  # of values
    nodes: dict[str, list[str]] = {}
    before: list[str] = []
    for node in proto.graph.node:
        if node.op_type in LAYER_OPS:
            nodes[node.name] = [node.name]
            mine = node.name
        else:
            mine = max((owner[name] for name in node.input if name in owner), key=order.__getitem__, default="")
            if not mine:
                before.append(node.name)
                continue
            nodes[mine].append(node.name)
        owner.update(dict.fromkeys(node.output, mine))
    if nodes:
        nodes[next(iter(nodes))] += before
    return {name: tuple(members) for name, members in nodes.items()}


def matching(proto: onnx.ModelProto, patterns: Iterable[str]) -> tuple[str, ...]:
    """Names of the layers that people call so: by the node, or by what its weights are called before the last dot.

    Args:
        proto: whose nodes have names.
        patterns: names, or patterns of them as in a shell ("head/*").

    Raises:
        UnknownNameError: a pattern fits no layer.
    """
    known = {
        node.name: {node.name, *(name.rpartition(".")[0] for name in node.input[1:] if "." in name)}
        for node in proto.graph.node
        if node.op_type in LAYER_OPS
    }
    found: dict[str, None] = {}
    for pattern in patterns:
        fits = [name for name, called in known.items() if any(fnmatch.fnmatchcase(each, pattern) for each in called)]
        if not fits:
            raise unknown_name("layer", pattern, sorted(set().union(*known.values())))
        found.update(dict.fromkeys(fits))
    return tuple(found)


def nodes_of(proto: onnx.ModelProto, keep: Iterable[str]) -> tuple[str, ...]:
    """Names of all nodes that stay in float when `keep` does: a layer's name stands for all its nodes.

    Raises:
        UnknownNameError: the graph has no such node.
    """
    whole, known = layers(proto), {node.name for node in proto.graph.node}
    found: dict[str, None] = {}
    for name in keep:
        if name not in known:
            raise unknown_name("layer", name, whole)
        found.update(dict.fromkeys(whole.get(name, (name,))))
    return tuple(found)
