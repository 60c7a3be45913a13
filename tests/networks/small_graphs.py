"""Small ONNX graphs to test with."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper


def convolution(opset: int = 17, ir_version: int = 8) -> ModelProto:
    """[batch, 1, 8, 8] -> Conv 4 3x3 -> Relu -> Flatten -> Gemm -> [batch, 3]."""
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.normal(size=(4, 1, 3, 3)),
        "b": rng.normal(size=4),
        "v": rng.normal(size=(3, 144)),
        "c": rng.normal(size=3),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w", "b"], ["h"], name="conv"),
            helper.make_node("Relu", ["h"], ["r"], name="relu"),
            helper.make_node("Flatten", ["r"], ["f"], name="flatten"),
            helper.make_node("Gemm", ["f", "v", "c"], ["y"], name="dense", transB=1),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(value.astype(np.float32), key) for key, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


def parsed(body: str, opset: int = 17) -> ModelProto:
    """A model from ONNX's text form."""
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> {body}')
