"""Compute what a graph's shape arithmetic gives for concrete inputs, where onnx's own inference stops short.

>>> import onnx
>>> from chipwise.networks.onnx_file import from_bytes
>>> head = '<ir_version: 8, opset_import: ["": 17]> g (float[N, 3] x) => (float[N, 3] y)'
>>> model = onnx.parser.parse_model(head + " { s = Shape(x) y = Reshape(x, s) }")
>>> network = from_bytes(model.SerializeToString(), "shape")
>>> [node.op_type for node in with_shapes_folded(network, {"x": (2, 3)}).graph.node]
['Constant', 'Identity']
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import onnx_ir as ir
from onnx import ModelProto
from onnx_ir.passes.common import RemoveInitializersFromInputsPass
from onnxscript import optimizer

from chipwise.core.errors import NetworkError
from chipwise.core.network import Network
from chipwise.networks.onnx_file import proto

# Only these are computed, on at most so many elements: a hostile graph cannot ask for memory here.
_ARITHMETIC = frozenset(
    {"Add", "Cast", "Concat", "Constant", "Div", "Floor", "Gather", "Identity", "Max", "Min", "Mul", "ReduceProd"}
    | {"Shape", "Size", "Slice", "Squeeze", "Sub", "Unsqueeze"}
)
_ELEMENTS = 64
_FOLD_ERRORS = (
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    IndexError,
    AssertionError,
    ArithmeticError,
)


def with_shapes_folded(network: Network, inputs: Mapping[str, tuple[int, ...]]) -> ModelProto:
    """Set concrete input shapes and fold shape arithmetic; what cannot be folded stays as it is.

    Raises:
        NetworkError: when the network has no graph.
    """
    if network.graph is None:
        raise NetworkError(f"{network.name} has no graph yet")
    model = network.graph.clone()
    RemoveInitializersFromInputsPass()(model)  # old files list weights as inputs; folding takes those for unknown
    for value in model.graph.inputs:
        if value.name is not None and value.name in inputs:
            value.shape = ir.Shape(inputs[value.name])
    for node in model.graph:  # shapes inferred for other inputs would contradict these
        for value in node.outputs:
            value.shape = None
    try:
        optimizer.fold_constants(
            model,
            onnx_shape_inference=True,
            input_size_limit=_ELEMENTS,
            output_size_limit=_ELEMENTS,
            should_fold=lambda node: None if node.op_type in _ARITHMETIC else False,
        )
    except _FOLD_ERRORS:
        return proto(network)
    return proto(replace(network, graph=model))
