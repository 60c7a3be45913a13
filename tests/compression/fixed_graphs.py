"""Random networks of the operators that have integer arithmetic, with random radix points."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from chipwise.compression.fixed_layout import Layout
from chipwise.compression.fixed_point import Fixed
from chipwise.compression.qdq import Formats

OPSET = 21  # onnx's evaluator has no DequantizeLinear of 13 to 18


class Builder:
    """Nodes over pictures [N, C, H, W], each with the shape of what it gives."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.arrays: dict[str, NDArray[Any]] = {}
        self.name, self.shape = "x", (4, 8, 8)  # of what is read next, and of x in the end

    def array(self, name: str, array: NDArray[Any]) -> str:
        self.arrays[name] = array
        return name

    def node(self, kind: str, inputs: list[str], shape: tuple[int, ...], **attributes: Any) -> str:
        self.name, self.shape = f"v{len(self.nodes)}", shape
        self.nodes.append(helper.make_node(kind, inputs, [self.name], **attributes))
        return self.name

    def normal(self, name: str, *shape: int) -> str:
        return self.array(name, self.random.normal(0, 0.4, shape).astype(np.float32))

    def conv(self, groups: int, stride: int, dilation: int, kernel: int, bias: bool) -> None:
        channels, height, width = self.shape
        pads = [int(each) for each in self.random.integers(0, 3, 4)]
        place = len(self.nodes)
        given = [self.name, self.normal(f"w{place}", 4, channels // groups, kernel, kernel)]
        given += [self.normal(f"b{place}", 4)] * bias
        span = dilation * (kernel - 1) + 1
        sizes = [(size + pads[axis] + pads[axis + 2] - span) // stride + 1 for axis, size in enumerate((height, width))]
        self.node("Conv", given, (4, *sizes), group=groups, strides=[stride] * 2, dilations=[dilation] * 2, pads=pads)

    def step(self, kind: str) -> None:
        channels, height, width = self.shape
        if kind == "Conv":
            groups, dilation = int(self.random.choice([1, 2, 4])), int(self.random.integers(1, 3))
            stride, bias = int(self.random.integers(1, 3)), bool(self.random.integers(2))
            self.conv(groups if channels % groups == 0 else 1, stride, dilation, int(self.random.integers(1, 4)), bias)
        elif kind == "Relu":
            self.node("Relu", [self.name], self.shape)
        elif kind == "Clip":
            place = len(self.nodes)
            low, high = (
                self.array(f"{end}{place}", np.array(value, np.float32)) for end, value in (("l", -0.3), ("h", 1.7))
            )
            self.node("Clip", [self.name, low, high], self.shape)
        elif kind in ("MaxPool", "AveragePool") and min(height, width) >= 2:
            pads = [int(self.random.integers(2))] * 2 + [0, 0]
            sizes = [(size + pads[axis] - 2) // 2 + 1 for axis, size in enumerate((height, width))]
            more = {"count_include_pad": int(self.random.integers(2))} if kind == "AveragePool" else {}
            self.node(kind, [self.name], (channels, *sizes), kernel_shape=[2, 2], strides=[2, 2], pads=pads, **more)
        elif kind in ("Add", "Concat"):
            first = self.name
            self.conv(1, 1, 1, 1, bias=False)
            if kind == "Add" and self.shape == (channels, height, width):
                self.node("Add", [first, self.name], self.shape)
            elif kind == "Concat" and self.shape[1:] == (height, width):
                self.node("Concat", [first, self.name], (channels + 4, height, width), axis=1)

    def end(self) -> ir.Model:
        """Flatten, turn round, and a matrix product."""
        count = int(np.prod(self.shape))
        self.node("Reshape", [self.name, self.array("shape", np.array([-1, count]))], (count,))
        self.normal("end_w", 5, count)
        self.normal("end_b", 5)
        self.node("Gemm", [self.name, "end_w", "end_b"], (5,), transB=1)
        made = helper.make_graph(
            self.nodes,
            "random",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4, 8, 8])],
            [helper.make_tensor_value_info(self.name, TensorProto.FLOAT, ["N", 5])],
            [numpy_helper.from_array(array, name) for name, array in self.arrays.items()],
        )
        model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
        return ir.serde.deserialize_model(model)


def random_network(seed: int, kinds: list[str]) -> ir.Model:
    """A network of these operators, one after the other, as far as its pictures are large enough."""
    builder = Builder(seed)
    for kind in kinds:
        if min(builder.shape[1:]) >= 6 or kind in ("Relu", "Clip"):
            builder.step(kind)
    return builder.end()


def random_formats(layout: Layout, arrays: dict[str, NDArray[Any]], seed: int, bits: int = 8) -> Formats:
    """Radix points that fit the values more or less: some cut off much, some hardly use their bits."""
    random = np.random.default_rng(seed)
    values = {name: Fixed(bits, bool(random.integers(2)), int(random.integers(2, 7))) for name in layout.rounded}
    values = {name: values[layout.source_of(name)] for name in layout.rounded}
    values |= {name: Fixed(bits, True, int(random.integers(3, 8))) for name in layout.constants}
    weights = {}
    for layer in layout.layers:
        channels = arrays[layer.name].shape[layer.axis] if random.integers(2) else 1
        weights[layer.name] = tuple(Fixed(bits, True, int(random.integers(5, 9))) for _ in range(channels))
    return Formats(values, weights)
