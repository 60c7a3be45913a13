"""A network that int8 breaks at one place: one channel between two convolutions is a thousand times as large."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CHANNELS, LAYERS = 8, 5


def outlier_network(factor: float = 1000.0, place: int = 2, *, seed: int = 0, named: bool = True) -> bytes:
    """Five 3x3 convolutions with ReLUs and a matrix at the end, on x [N, 3, 8, 8]; the float network is well-behaved.

    Output channel 0 of convolution `place` is `factor` times as large as it was, and so is its input channel 0 of the
    next one smaller: the same function.
    """
    rng = np.random.default_rng(seed)
    weights, nodes, value, inputs = {}, [], "x", 3
    for number in range(LAYERS):
        kernel = rng.normal(size=(CHANNELS, inputs, 3, 3)).astype(np.float32) * np.sqrt(2 / (9 * inputs))
        bias = rng.normal(size=CHANNELS).astype(np.float32) * 0.1
        if number == place:
            kernel[0], bias[0] = np.abs(kernel[0]) * factor, abs(bias[0]) * factor
        if number == place + 1:
            kernel[:, 0] /= factor
        weights |= {f"w{number}": kernel.astype(np.float32), f"b{number}": bias.astype(np.float32)}
        name = f"conv{number}" if named else ""
        nodes.append(
            helper.make_node("Conv", [value, f"w{number}", f"b{number}"], [f"c{number}"], name=name, pads=[1] * 4)
        )
        nodes.append(helper.make_node("Relu", [f"c{number}"], [f"r{number}"], name=f"relu{number}" if named else ""))
        value, inputs = f"r{number}", CHANNELS
    weights["w"] = rng.normal(size=(CHANNELS, 10)).astype(np.float32)
    weights["b"] = rng.normal(size=10).astype(np.float32)
    nodes.append(helper.make_node("GlobalAveragePool", [value], ["pooled"], name="pool" if named else ""))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"], name="flatten" if named else ""))
    nodes.append(helper.make_node("Gemm", ["flat", "w", "b"], ["y"], name="fc" if named else ""))
    graph = helper.make_graph(
        nodes,
        "outlier",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def pictures(count: int, *, seed: int) -> np.ndarray:
    """[count, 3, 8, 8] float32."""
    return np.random.default_rng(seed).normal(size=(count, 3, 8, 8)).astype(np.float32)
