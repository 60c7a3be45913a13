"""Small ONNX graphs for the runtime tests, made by hand so that they need no PyTorch."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

Shape = list[int | str]
FLOAT = onnx.TensorProto.FLOAT


def graph(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, Shape],
    outputs: dict[str, Shape],
    weights: dict[str, np.ndarray] | None = None,
    opset: int = 17,
) -> bytes:
    """Serialize a checked graph of float tensors."""
    made = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in (weights or {}).items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def weight(*shape: int, seed: int = 0) -> np.ndarray:
    """Normal values that keep activations near one."""
    fan_in = max(1, int(np.prod(shape[1:])))
    return (np.random.default_rng(seed).standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32)


def data(*shape: int, seed: int = 1) -> np.ndarray:
    """A normal input."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


N = helper.make_node


def mlp() -> bytes:
    return graph(
        [
            N("Gemm", ["x", "w1", "b1"], ["h"], transB=1),
            N("Relu", ["h"], ["r"]),
            N("Gemm", ["r", "w2"], ["y"], transB=1),
        ],
        {"x": ["batch", 24]},
        {"y": ["batch", 10]},
        {"w1": weight(32, 24), "b1": weight(32), "w2": weight(10, 32)},
    )


def conv_bn_relu() -> bytes:
    rng = np.random.default_rng(3)
    return graph(
        [
            N("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
            N("BatchNormalization", ["c", "scale", "shift", "mean", "variance"], ["n"]),
            N("Relu", ["n"], ["y"]),
        ],
        {"x": ["batch", 3, 16, 16]},
        {"y": ["batch", 8, 8, 8]},
        {
            "w": weight(8, 3, 3, 3),
            "b": weight(8),
            "scale": rng.uniform(0.5, 1.5, 8).astype(np.float32),
            "shift": weight(8),
            "mean": weight(8),
            "variance": rng.uniform(0.5, 1.5, 8).astype(np.float32),
        },
    )


def residual() -> bytes:
    return graph(
        [N("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), N("Add", ["c", "x"], ["s"]), N("Relu", ["s"], ["y"])],
        {"x": ["batch", 4, 9, 9]},
        {"y": ["batch", 4, 9, 9]},
        {"w": weight(4, 4, 3, 3)},
    )


def concat() -> bytes:
    return graph(
        [
            N("Conv", ["x", "w1"], ["a"]),
            N("Conv", ["x", "w3"], ["b"], pads=[1, 1, 1, 1]),
            N("MaxPool", ["x"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
            N("Concat", ["a", "b", "c"], ["y"], axis=1),
        ],
        {"x": ["batch", 3, 8, 8]},
        {"y": ["batch", 11, 8, 8]},
        {"w1": weight(4, 3, 1, 1), "w3": weight(4, 3, 3, 3)},
    )


def softmax() -> bytes:
    return graph([N("Softmax", ["x"], ["y"], axis=1)], {"x": ["batch", 10]}, {"y": ["batch", 10]})


def lenet() -> bytes:
    weights = {"w1": weight(6, 1, 5, 5), "w2": weight(16, 6, 5, 5), "w3": weight(84, 400), "w4": weight(10, 84)}
    return graph(
        [
            N("Conv", ["x", "w1"], ["c1"]),
            N("Tanh", ["c1"], ["t1"]),
            N("AveragePool", ["t1"], ["p1"], kernel_shape=[2, 2], strides=[2, 2]),
            N("Conv", ["p1", "w2"], ["c2"]),
            N("Tanh", ["c2"], ["t2"]),
            N("AveragePool", ["t2"], ["p2"], kernel_shape=[2, 2], strides=[2, 2]),
            N("Flatten", ["p2"], ["f"]),
            N("Gemm", ["f", "w3"], ["g"], transB=1),
            N("Tanh", ["g"], ["t3"]),
            N("Gemm", ["t3", "w4"], ["y"], transB=1),
        ],
        {"x": ["batch", 1, 32, 32]},
        {"y": ["batch", 10]},
        weights,
    )


def two_inputs() -> bytes:
    """Two inputs, two outputs, one of them an input passed through."""
    return graph(
        [N("Sub", ["a", "b"], ["y"]), N("Identity", ["a"], ["z"])],
        {"a": ["batch", 5], "b": ["batch", 5]},
        {"y": ["batch", 5], "z": ["batch", 5]},
    )


NETWORKS = {
    "mlp": (mlp, (24,)),
    "conv_bn_relu": (conv_bn_relu, (3, 16, 16)),
    "residual": (residual, (4, 9, 9)),
    "concat": (concat, (3, 8, 8)),
    "softmax": (softmax, (10,)),
    "lenet": (lenet, (1, 32, 32)),
}
