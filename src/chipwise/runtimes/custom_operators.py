"""Custom layers for onnx's reference evaluator: the operators of a graph that somebody registered a function for.

>>> import onnx.parser
>>> text = '<ir_version: 8, opset_import: ["": 17, "doc": 1]> g (float[N] x) => (float[N] y) { y = doc.Half (x) }'
>>> graph = onnx.parser.parse_model(text)
>>> missing(graph), operators(graph)
(('doc::Half',), [])
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun

from chipwise.core.custom_layers import DEFINED, call, check_output, function, title
from chipwise.core.network import TensorSpec
from chipwise.runtimes.formats import declared


def custom(model: onnx.ModelProto) -> tuple[tuple[str, str], ...]:
    """Domain and name of each operator that neither ONNX, nor a runtime, nor the model itself defines."""
    own = {(each.domain, each.name) for each in model.functions}
    nodes = chain(_nodes(model.graph.node), *(_nodes(each.node) for each in model.functions))
    found = ((node.domain, node.op_type) for node in nodes if node.domain not in DEFINED)
    return tuple(dict.fromkeys(each for each in found if each not in own))


def needed(model: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the custom layers of a graph that somebody registered."""
    return tuple(title(*each) for each in custom(model) if function(*each) is not None)


def is_custom(node: onnx.NodeProto, layers: Collection[str]) -> bool:
    """True when a node is, or has in a branch or body, one of the custom layers of these names."""
    return any(title(each.domain, each.op_type) in layers for each in _nodes((node,)))


def missing(model: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the operators that nobody registered and that no runtime can be expected to know."""
    return tuple(title(*each) for each in custom(model) if function(*each) is None)


def operators(model: onnx.ModelProto) -> list[type[OpRun]]:
    """Classes for `ReferenceEvaluator(new_ops=...)`, each around a registered function.

    What a function gives is compared with what the graph says of its outputs.
    """
    known = {spec.name: spec for spec in _values(model)}
    return [_operator(domain, name, known) for domain, name in custom(model) if function(domain, name) is not None]


def _operator(domain: str, name: str, known: dict[str, TensorSpec]) -> type[OpRun]:
    layer, called = function(domain, name), title(domain, name)
    assert layer is not None, "only registered ones are asked for"

    def run(self: OpRun, *arrays: NDArray[Any] | None, **attributes: Any) -> tuple[NDArray[Any], ...]:
        made = call(called, layer, arrays, attributes, len(self.output))
        for value, array in zip(self.output, made, strict=True):
            if value in known:
                check_output(called, array, known[value])
        return made

    # The evaluator takes classes that derive from its own, and finds them by their names. One that does not say that it
    # has no schema is given the attributes of ONNX's operator of the same name.
    return type(name, (OpRun,), {"op_domain": domain, "op_schema": None, "_run": run})


def _values(model: onnx.ModelProto) -> Iterator[TensorSpec]:
    """Outputs of the main graph and of what is in it, where their element types and shapes are known."""
    graph = model.graph
    inner = (node for node in _nodes(graph.node) if node.domain not in DEFINED)
    wanted = set(chain.from_iterable(node.output for node in inner))
    told = [
        value
        for value in chain(graph.value_info, graph.output)
        if value.name in wanted and value.type.tensor_type.elem_type and value.type.tensor_type.HasField("shape")
    ]
    only = onnx.ModelProto()
    only.graph.output.extend(told)
    yield from declared(only)[1]


def _nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in chain((attribute.g,) if attribute.HasField("g") else (), attribute.graphs):
                yield from _nodes(graph.node)
