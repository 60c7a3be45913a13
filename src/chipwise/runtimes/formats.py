"""What a serialized graph says about itself: its inputs and outputs, and the number format that it computes in.

>>> import onnx
>>> value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
>>> node = onnx.helper.make_node("Relu", ["x"], ["y"])
>>> graph = onnx.helper.make_graph([node], "g", [value], [onnx.helper.make_tensor_value_info("y", 1, [1])])
>>> own_format(onnx.helper.make_model(graph).SerializeToString())
'fp32'
"""

from __future__ import annotations

import math
from collections import Counter

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # no stubs in the package

from chipwise.core.errors import NetworkError
from chipwise.core.network import TensorSpec

_INT8_OPS = frozenset(
    {"QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"}
)
_FLOATS = {
    onnx.TensorProto.FLOAT: "fp32",
    onnx.TensorProto.FLOAT16: "fp16",
    onnx.TensorProto.BFLOAT16: "bf16",
    onnx.TensorProto.DOUBLE: "fp64",
}


def parse(model: bytes) -> onnx.ModelProto:
    """Read a serialized ONNX graph.

    Raises:
        NetworkError: the bytes are no ONNX graph, or one without operators.
    """
    try:
        proto = onnx.load_model_from_string(model)
    except DecodeError as error:
        raise NetworkError(f"{len(model)} bytes are no ONNX graph: {error}") from error
    if not proto.graph.node:
        raise NetworkError(f"{len(model)} bytes are no ONNX graph: there is no operator in it")
    return proto


def own_format(model: bytes) -> str:
    """Name the format: "int8" for a quantized graph, else the float type that most weights have, else "fp32".

    Args:
        model: a serialized ONNX graph.

    Raises:
        NetworkError: the bytes are no ONNX graph.
    """
    graph = parse(model).graph
    if any(node.op_type in _INT8_OPS for node in graph.node):
        return "int8"
    weights: Counter[str] = Counter()
    for tensor in graph.initializer:
        if tensor.data_type in _FLOATS:
            weights[_FLOATS[tensor.data_type]] += math.prod(tensor.dims)
    return weights.most_common(1)[0][0] if weights else "fp32"


def declared(model: onnx.ModelProto) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Read the inputs (without weights that old graphs list as inputs) and outputs that a graph declares."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = tuple(_spec(value) for value in model.graph.input if value.name not in weights)
    return inputs, tuple(map(_spec, model.graph.output))


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = tuple(
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or f"free_{value.name}_{axis}"
        for axis, dim in enumerate(tensor.shape.dim)
    )
    return TensorSpec(value.name, shape, onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name)
