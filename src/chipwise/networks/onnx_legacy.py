"""Write what old exporters left out: element types of attributes, the operator set.

Weights that are inputs, too, as up to IR version 3 all had to be, stay so: runtimes fold less then, and what the file
costs as it is has to be known.

>>> import onnx
>>> model = onnx.ModelProto(ir_version=1); mend(model, "old.onnx"); model.opset_import[0].version
7
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto

from chipwise.networks.onnx_check import all_nodes, inner_graphs
from chipwise.networks.onnx_old_operators import modernise

_FIELDS = (
    ("f", AttributeProto.FLOAT),
    ("i", AttributeProto.INT),
    ("s", AttributeProto.STRING),
    ("t", AttributeProto.TENSOR),
    ("g", AttributeProto.GRAPH),
)
_LISTS = (
    ("floats", AttributeProto.FLOATS),
    ("ints", AttributeProto.INTS),
    ("strings", AttributeProto.STRINGS),
    ("tensors", AttributeProto.TENSORS),
    ("graphs", AttributeProto.GRAPHS),
)


def mend(model: ModelProto, title: str) -> None:
    """Bring a model of any age to IR version 4 and operator set 7 or later, in place; its function is unchanged.

    Args:
        model: its structure is checked.
        title: of the file, for messages.

    Raises:
        NetworkError: naming an old operator that cannot be rewritten.
    """
    if not model.opset_import:  # before IR version 3 there was only one operator set
        model.opset_import.add(version=1)
    _type_attributes(model.graph.node)
    _free_dimensions(model.graph)
    _own_outputs(model.graph)
    model.ir_version = max(model.ir_version, 4)
    modernise(model, title)


def _free_dimensions(graph: GraphProto) -> None:
    """Some exporters write a free dimension as -1, at which onnx's shape inference may abort the process."""
    for value in chain(graph.input, graph.output, graph.value_info):
        for dim in value.type.tensor_type.shape.dim if value.type.HasField("tensor_type") else ():
            if dim.dim_value < 0:
                dim.Clear()
    for inner in inner_graphs(graph.node):
        _free_dimensions(inner)


def _own_outputs(graph: GraphProto) -> None:
    """A branch may give a value of the graph around it, which neither onnx_ir nor ONNX Runtime takes as it is."""
    for inner in inner_graphs(graph.node):
        made = set(chain.from_iterable(node.output for node in inner.node))
        made.update(value.name for value in chain(inner.input, inner.initializer))
        for value in inner.output:
            if value.name not in made:
                name = f"{value.name}/given"
                inner.node.add(op_type="Identity", input=[value.name], output=[name])
                value.name = name
        _own_outputs(inner)


def _type_attributes(nodes: Iterable[NodeProto]) -> None:
    for attribute in chain.from_iterable(node.attribute for node in all_nodes(nodes)):
        if attribute.type == AttributeProto.UNDEFINED and not attribute.ref_attr_name:
            given = [kind for field, kind in _FIELDS if attribute.HasField(field)]
            given += [kind for field, kind in _LISTS if len(getattr(attribute, field))]
            attribute.type = given[0] if given else AttributeProto.INTS
