"""What flows inside a graph: name its inner values, make one an output, and read the kernels that it came from.

>>> import onnx
>>> from chipwise.networks.onnx_file import from_bytes
>>> text = '<ir_version: 8, opset_import: ["": 17]> g (float[N, 3] x) => (float[N, 3] y) { h = Relu(x) y = Neg(h) }'
>>> network = from_bytes(onnx.parser.parse_model(text).SerializeToString(), "two")
>>> [(inner.name, inner.op) for inner in inner_values(network)]
[('h', 'Relu'), ('y', 'Neg')]
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, TypeProto, ValueInfoProto, numpy_helper

from chipwise.core.errors import unknown_name
from chipwise.core.layer import Shape
from chipwise.core.network import Network
from chipwise.networks import onnx_shapes
from chipwise.networks.onnx_file import proto

_KINDS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.UINT8, TensorProto.INT8})
_SILENT = frozenset({"Constant", "Identity", "Dropout", "Shape"})
_KERNELS = {"Conv": 1, "QLinearConv": 3, "ConvInteger": 1}


@dataclass(frozen=True, slots=True)
class InnerValue:
    """One operator's result.

    Attributes:
        name: of the module that it belongs to where that has no other operator, else of the node or of the result.
        op: operator; value: what the graph calls its result; shape: for one item, () where it is not known.
    """

    name: str
    op: str
    value: str
    shape: Shape


def inner_values(network: Network) -> tuple[InnerValue, ...]:
    """Results of a graph's operators in order: those that depend on its inputs and hold numbers for an item.

    Raises:
        NetworkError: when the network has no graph.
    """
    model = proto(network)
    types = onnx_shapes.infer(model, {spec.name: spec.concrete(1) for spec in network.inputs}, network.name)
    reached = {value.name for value in model.graph.input} - {tensor.name for tensor in model.graph.initializer}
    shown: list[NodeProto] = []
    for node in model.graph.node:
        if reached & set(node.input):
            reached.update(value for value in node.output if value)
            if node.op_type not in _SILENT and _kind(types.get(node.output[0])) in _KINDS:
                shown.append(node)
    modules = Counter(_module(node) for node in shown)
    titles = [_module(node) if modules[_module(node)] == 1 else node.name or node.output[0] for node in shown]
    return tuple(
        InnerValue(title, node.op_type, node.output[0], _shape(types.get(node.output[0])))
        for title, node in zip(titles, shown, strict=True)
    )


def find_inner(values: tuple[InnerValue, ...], name: str) -> InnerValue:
    """An inner value by its name, by what the graph calls it, or by the group that it is the last of ("layer1.0").

    Upper and lower case differ only where two names differ in nothing else.

    Raises:
        UnknownNameError: when there is none.
    """
    group = re.compile(rf"(?:^|/){re.escape(name)}[./]", re.IGNORECASE)
    alike = [value for value in values if name.lower() in (value.name.lower(), value.value.lower())]
    inside = [value for value in values if name and group.search(value.name)]
    for value in alike:
        if name in (value.name, value.value):
            return value
    if len(alike) == 1:
        return alike[0]
    if inside and not alike:
        return inside[-1]
    raise unknown_name("layer", name, [value.name for value in values])


def exposing(network: Network, values: tuple[InnerValue, ...]) -> bytes:
    """Serialize a network's graph with these inner values as further outputs."""
    model = proto(network)
    given = {output.name for output in model.graph.output}
    model.graph.output.extend(ValueInfoProto(name=inner.value) for inner in values if inner.value not in given)
    data: bytes = model.SerializeToString()
    return data


def kernels_of(network: Network, inner: InnerValue) -> NDArray[Any] | None:
    """The kernels [O, I, ...] of a convolution, as stored; None for other operators, or where they are computed."""
    model = proto(network)
    node = next(node for node in model.graph.node if inner.value in node.output)
    place = _KERNELS.get(node.op_type)
    if place is None or len(node.input) <= place:
        return None
    held = _constant(model, node.input[place])
    return None if held is None else np.asarray(numpy_helper.to_array(held))


def _constant(model: ModelProto, name: str) -> TensorProto | None:
    """A stored tensor, also behind a Constant, a DequantizeLinear or a Cast."""
    held: list[TensorProto] = [tensor for tensor in model.graph.initializer if tensor.name == name]
    maker = next((node for node in model.graph.node if name in node.output), None)
    if maker is not None and maker.op_type == "Constant":
        held = [each.t for each in maker.attribute if each.name == "value"]
    if maker is not None and maker.op_type in ("Cast", "DequantizeLinear"):
        return _constant(model, maker.input[0])
    return held[0] if held else None


def _module(node: NodeProto) -> str:
    """The part of a node's name before its operator: "layer1.0.conv1/Conv"."""
    name: str = node.name or node.output[0]
    return name.removesuffix(f"/{node.op_type}")


def _kind(kind: TypeProto | None) -> int:
    return kind.tensor_type.elem_type if kind is not None else 0


def _shape(kind: TypeProto | None) -> Shape:
    if kind is None or not kind.tensor_type.HasField("shape"):
        return ()
    return tuple(int(dim.dim_value) for dim in kind.tensor_type.shape.dim)
