"""A graph without its weights in few bytes, for the compressed file: an ONNX model cut to what it means.

Left out is what can be said again: inferred shapes, the names of nodes and documentation, and attributes that equal the
operator's default. Values between nodes are named by how long ago they were made. Names of inputs, outputs and weights
stay.

>>> text = '<ir_version: 8, opset_import: ["": 17]> g (float[N, 3] x) => (float[N, 3] y) { h = Relu(x) y = Neg(h) }'
>>> model = onnx.parser.parse_model(text)
>>> short, weights = pack(model)
>>> len(short) < len(model.SerializeToString()), weights
(True, [])
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count

import numpy as np
import onnx
from google.protobuf.message import DecodeError, EncodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

from chipwise.codec.small_tensor import RAW
from chipwise.core.errors import NetworkError

_FEW = 64  # values of an integer tensor that stays in the graph: shapes, axes
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
# What sliding windows do where nothing is said (ONNX's operator specification).
_SLIDING = ("Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool", "ConvInteger", "QLinearConv")
_EVEN = {"strides": 1, "dilations": 1, "pads": 0}
Weights = list[tuple[str, NDArray[np.generic]]]


def pack(model: ModelProto) -> tuple[bytes, Weights]:
    """Cut a model to its topology.

    Args:
        model: as `onnx_file.proto` gives it, weights inside; left as it is.

    Returns:
        The short model, serialized, and the weights that were taken out, in the order in which nodes use them.

    Raises:
        NetworkError: a name begins with "!".
    """
    short = ModelProto()
    short.CopyFrom(model)
    if any(name.startswith("!") for name in _names(short.graph)):
        raise NetworkError(
            "a name in the graph begins with '!', which a compressed file keeps for itself",
            hint="export the network again with other names",
        )
    weights = _take_weights(short.graph)
    versions = {entry.domain: entry.version for entry in short.opset_import}
    simple = not short.functions and not any(_has_graph(node) for node in short.graph.node)
    if simple:
        _shorten_names(short.graph)
    for node in short.graph.node:
        _strip_node(node, versions, simple=simple)
    graph = short.graph
    for value in (*graph.input, *graph.output):
        value.ClearField("doc_string")
        del value.metadata_props[:]
    for name in ("name", "doc_string"):
        graph.ClearField(name)
    for name in ("producer_name", "producer_version", "doc_string", "domain", "model_version"):
        short.ClearField(name)
    for entries in (graph.value_info, graph.metadata_props, short.metadata_props):
        del entries[:]
    return short.SerializeToString(deterministic=True), weights


def unpack(short: bytes, weights: Iterable[tuple[str, NDArray[np.generic]]], title: str = "the file") -> bytes:
    """Put a model together again, as `onnx_file.from_bytes` reads it.

    Args:
        short: what `pack` gave.
        weights: likewise; taken one by one, so that nobody needs to hold all of them.
        title: of the file, for messages.

    Raises:
        NetworkError: the short model is damaged, or too large with its weights. What `weights` raises.
    """
    model = ModelProto()
    try:
        model.ParseFromString(short)
    except (DecodeError, ValueError) as error:
        raise NetworkError(f"the graph in {title} is damaged") from error
    model.graph.name = "graph"
    for name, values in weights:
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    try:
        _restore_names(model.graph)
    except (ValueError, TypeError) as error:  # a distance without end; a name that is no text, which protobuf lets in
        raise NetworkError(f"the graph in {title} is damaged") from error
    try:
        return bytes(model.SerializeToString(deterministic=True))
    except (EncodeError, ValueError) as error:
        raise NetworkError(f"the network in {title} is larger than one ONNX file can be") from error


def _has_graph(node: NodeProto) -> bool:
    return any(each.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for each in node.attribute)


def _take_weights(graph: GraphProto) -> Weights:
    """Move out of the graph what a compressed file can hold, in the order of use; what is small and whole stays."""
    order = {name: place for place, name in enumerate(dict.fromkeys(_used(graph)))}
    taken: list[TensorProto] = []
    left: list[TensorProto] = []
    for tensor in graph.initializer:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).name if tensor.data_type else ""
        large = tensor.data_type in _FLOATS or int(np.prod(tensor.dims, dtype=np.int64)) > _FEW
        (taken if large and dtype in RAW else left).append(tensor)
    taken.sort(key=lambda tensor: order.get(tensor.name, len(order)))
    weights = [(tensor.name, numpy_helper.to_array(tensor)) for tensor in taken]
    inputs = [value for value in graph.input if value.name not in {name for name, _ in weights}]
    del graph.input[:]
    graph.input.extend(inputs)
    del graph.initializer[:]
    graph.initializer.extend(left)
    return weights


def _names(graph: GraphProto) -> Iterator[str]:
    """Of all values, but those inside of nodes, which are left as they are."""
    for node in graph.node:
        yield from (*node.input, *node.output)
    for each in (*graph.input, *graph.output, *graph.initializer):
        yield each.name
    for sparse in graph.sparse_initializer:
        yield sparse.values.name


def _used(graph: GraphProto) -> Iterator[str]:
    for node in graph.node:
        yield from node.input


def _shorten_names(graph: GraphProto) -> None:
    """Name a value by where it was made: as a result "!", as an argument "!3" for the third result before."""
    kept = {value.name for value in graph.output} | {""}
    made: dict[str, int] = {}
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name in made:
                node.input[place] = f"!{len(made) - made[name]}"
        for place, name in enumerate(node.output):
            if name:
                made[name] = len(made)
            if name not in kept:
                node.output[place] = "!"


def _restore_names(graph: GraphProto) -> None:
    """Give values names of their own again: v0, v1, ... where these are free.

    Raises:
        ValueError, TypeError: an argument was made nowhere, or a name is no text.
    """
    taken = set(_names(graph))
    free = (name for name in map("v{}".format, count()) if name not in taken)
    made: list[str] = []
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name.startswith("!"):
                back = int(name[1:]) if name[1:].isdecimal() else 0
                if not 1 <= back <= len(made):
                    raise ValueError("an argument of a node is made nowhere")
                node.input[place] = made[-back]
        for place, name in enumerate(node.output):
            if name == "!":
                node.output[place] = next(free)
            if name:
                made.append(node.output[place])


def _strip_node(node: NodeProto, versions: dict[str, int], *, simple: bool) -> None:
    node.ClearField("doc_string")
    del node.metadata_props[:]
    if not node.domain:
        node.ClearField("domain")
    if simple:
        node.ClearField("name")
    try:
        schema = onnx.defs.get_schema(node.op_type, versions.get(node.domain, versions.get("ai.onnx", 1)), node.domain)
    except onnx.defs.SchemaError:
        return
    said = [each for each in node.attribute if not _is_default(each, schema)]
    del node.attribute[:]
    for each in sorted(said, key=lambda one: one.name):
        each.ClearField("doc_string")
        node.attribute.append(each)


def _is_default(attribute: AttributeProto, schema: onnx.defs.OpSchema) -> bool:
    even = _EVEN.get(attribute.name) if schema.name in _SLIDING and schema.domain == "" else None
    if even is not None and attribute.ints and set(attribute.ints) == {even}:
        return True
    known = schema.attributes.get(attribute.name)
    if known is None or attribute.ref_attr_name:
        return False
    default = known.default_value
    if not default.name:
        return False
    return bool(onnx.helper.get_attribute_value(attribute) == onnx.helper.get_attribute_value(default))
