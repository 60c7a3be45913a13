"""Cut a graph into consecutive parts, so that each may run somewhere else.

    x -> Conv -> a -> Resize -> b -> Conv -> y     until ["a", "b"]
    =>  x -> Conv -> a    a -> Resize -> b    b -> Conv -> y

A part has the values that cross into it as inputs, those that are read behind it as outputs, and the weights that it
reads; constants that are nodes are in each part that reads them.

>>> import onnx.parser
>>> text = '<ir_version: 8, opset_import: ["": 17]> g (float[N] x) => (float[N] y) <float[N] a> {'
>>> model = onnx.parser.parse_model(text + " a = Neg(x)  y = Abs(a) }")
>>> parts = split(ir.serde.deserialize_model(model), ["a"])
>>> [(part.inputs, part.outputs) for part in parts]
[(('x',), ('a',)), (('a',), ('y',))]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import onnx_ir as ir


@dataclass(frozen=True, slots=True)
class GraphPart:
    """A graph of its own that shares its weights with the whole, and the names of what it takes and gives."""

    model: ir.Model
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def split(model: ir.Model, until: Sequence[str]) -> list[GraphPart]:
    """Cut a graph behind the nodes that make the values `until`; it is not changed.

    Args:
        model: its nodes in an order in which they can run, as a file has them.
        until: values of the main graph, in the order of their nodes; one part more than there are of these is made.

    Raises:
        ValueError: no such value or not in that order, a part without results, or a value that crosses has no known
            type and number of dimensions.
    """
    graph = model.graph
    nodes = list(graph)
    place = {node: number for number, node in enumerate(nodes)}
    ends = [*(_place(place, graph, name) + 1 for name in until), len(nodes)]
    starts = [0, *ends[:-1]]
    if any(end <= start for start, end in zip(starts, ends, strict=True)):
        raise ValueError(f"{', '.join(until)} do not follow each other, or nothing follows the last")
    last_read = {value: number for number, node in enumerate(nodes) for value in reads(node)}
    last_read |= dict.fromkeys(graph.outputs, len(nodes))
    made = []
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        stretch = nodes[start:end]
        outputs = [
            value
            for node in stretch
            for value in node.outputs
            if last_read.get(value, -1) >= end and not (_is_constant(value) and not value.is_graph_output())
        ]
        if not outputs:
            raise ValueError(f"nothing reads what part {number + 1} computes")
        inside = set(stretch)
        taken = dict.fromkeys(
            value
            for node in stretch
            for value in reads(node)
            if value.producer() not in inside and not value.is_initializer() and not _is_constant(value)
        )
        made.append(_part(model, list(taken), outputs, number))
    return made


def reads(node: ir.Node) -> Iterator[ir.Value]:
    """Values of the node's own graph that it reads, in its branches and bodies too."""
    inner = (each for graph in _bodies(node) for each in ir.traversal.RecursiveGraphIterator(graph))
    for each in (node, *inner):
        for value in each.inputs:
            if value is not None and value.graph is node.graph:
                yield value


def _bodies(node: ir.Node) -> Iterator[ir.Graph]:
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            yield attribute.as_graph()
        elif attribute.type == ir.AttributeType.GRAPHS:
            yield from attribute.as_graphs()


def _place(place: dict[ir.Node, int], graph: ir.Graph, name: str) -> int:
    for node, number in place.items():
        if any(value.name == name for value in node.outputs):
            return number
    raise ValueError(f"no node of {graph.name} makes {name!r}")


def _is_constant(value: ir.Value) -> bool:
    maker = value.producer()
    return maker is not None and maker.op_type == "Constant" and maker.domain in ("", "ai.onnx")


def _part(model: ir.Model, inputs: list[ir.Value], outputs: list[ir.Value], number: int) -> GraphPart:
    for value in (*inputs, *outputs):
        if not isinstance(value.type, ir.TensorType) or value.shape is None:
            raise ValueError(f"{value.name!r} crosses from one part to another, and its type or shape is not known")
    graph = ir.convenience.extract(model.graph, inputs, outputs)
    graph.name = f"{model.graph.name}_{number + 1}"
    unread = {value for value in graph.inputs if not value.uses() and not value.is_graph_output()}
    for value in unread:
        graph.inputs.remove(value)
    called = {(node.domain, node.op_type) for node in graph.all_nodes()}
    domains = {domain for domain, _ in called}
    functions = [each for each in model.functions.values() if (each.domain, each.name) in called]
    if functions:  # which may call others
        functions = list(model.functions.values())
        domains |= set().union(*(each.opset_imports for each in functions), {each.domain for each in functions})
    keep = {domain: version for domain, version in model.graph.opset_imports.items() if domain in domains | {""}}
    graph.opset_imports.clear()
    graph.opset_imports.update(keep)
    made = ir.Model(graph, ir_version=model.ir_version, functions=functions)
    return GraphPart(
        made,
        tuple(value.name or "" for value in graph.inputs),
        tuple(value.name or "" for value in graph.outputs),
    )
