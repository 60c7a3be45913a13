"""Infer the shapes of a graph's values without touching its weights.

onnx's shape inference serializes the model; only its small tensors (shapes, axes, pads) matter to it, so the large ones
are left at home and stand in as inputs.

>>> import onnx
>>> text = '<ir_version: 8, opset_import: ["": 17]> g (float[N, 3] x) => (float y) { y = Relu(x) }'
>>> model = onnx.parser.parse_model(text)
>>> [dim.dim_value for dim in infer(model, {"x": (2, 3)})["y"].tensor_type.shape.dim]
[2, 3]
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import onnx
from google.protobuf.message import EncodeError  # type: ignore[import-untyped]
from onnx import ModelProto, NodeProto, TypeProto

from chipwise.core.custom_layers import function
from chipwise.core.errors import NetworkError, first_line
from chipwise.networks import custom_shapes

_SMALL = 1024  # elements: shapes, axes and pads are far below, weights far above
_INFERENCE_ERRORS = (
    onnx.shape_inference.InferenceError,
    onnx.checker.ValidationError,
    RuntimeError,
    ValueError,
    TypeError,
)


def infer(
    model: ModelProto, inputs: Mapping[str, tuple[int, ...]] | None = None, name: str = "the network"
) -> dict[str, TypeProto]:
    """Infer the type and shape of every value of the main graph that can be inferred.

    Args:
        model: not changed.
        inputs: concrete shapes for graph inputs, by name; others keep what they declare.
        name: of the network, for messages.

    Raises:
        NetworkError: when the graph contradicts itself.
    """
    slim = _without_weights(model)
    if inputs:
        for value in slim.graph.input:
            if value.name in inputs:
                _set_shape(value.type, inputs[value.name])
        # What was inferred or declared for other inputs must not contradict the concrete ones.
        del slim.graph.value_info[:]
        for value in slim.graph.output:
            if value.type.HasField("tensor_type"):
                value.type.tensor_type.ClearField("shape")
    found = _inferred(slim, name)
    for node in slim.graph.node:
        if function(node.domain, node.op_type) is not None and _declare_outputs(slim, node, found):
            found = _inferred(slim, name)  # what reads it can be inferred now
    values = (*found.graph.input, *found.graph.value_info, *found.graph.output)
    return {value.name: value.type for value in values if value.HasField("type")}


def _inferred(model: ModelProto, name: str) -> ModelProto:
    try:
        return onnx.shape_inference.infer_shapes(model, check_type=False, strict_mode=False, data_prop=True)
    except (*_INFERENCE_ERRORS, EncodeError) as error:
        raise NetworkError(f"{name}: its shapes do not fit together: {first_line(error)}") from error


def _declare_outputs(model: ModelProto, node: NodeProto, found: ModelProto) -> bool:
    """Write down what a custom layer gives where the graph does not say it; False where there is nothing to add."""
    values = (*found.graph.input, *found.graph.value_info, *found.graph.output)
    types = {value.name: value.type for value in values if value.type.tensor_type.HasField("shape")}
    if all(name in types for name in node.output if name):
        return False
    kinds = custom_shapes.outputs(node, types, {tensor.name: tensor for tensor in model.graph.initializer})
    ends = {value.name: value for value in model.graph.output}
    for name, kind in zip(node.output, kinds, strict=bool(kinds)):
        if name in ends:
            ends[name].type.CopyFrom(kind)
        elif name and name not in types:
            model.graph.value_info.add(name=name, type=kind)
    return bool(kinds)


def _without_weights(model: ModelProto) -> ModelProto:
    slim = ModelProto(ir_version=max(model.ir_version, 4))  # since 4, initializers need not be inputs
    slim.opset_import.extend(model.opset_import)
    slim.functions.extend(model.functions)
    graph = slim.graph
    graph.name = model.graph.name or "graph"
    graph.node.extend(model.graph.node)
    graph.output.extend(model.graph.output)
    graph.value_info.extend(model.graph.value_info)
    initialized = {tensor.name for tensor in model.graph.initializer}
    graph.input.extend(value for value in model.graph.input if value.name not in initialized)
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) <= _SMALL:
            graph.initializer.append(tensor)
        else:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    return slim


def _set_shape(kind: TypeProto, shape: tuple[int, ...]) -> None:
    dims = kind.tensor_type.shape.dim
    del dims[:]
    for size in shape:
        dims.add().dim_value = size
