"""Build a network's rows and its graph side by side, layer by layer; a node is named after its row.

>>> graph = ProbeGraph((1, 3, 32, 32))
>>> probe = graph.probe("one", graph.conv(graph.input, 8, 5, step=2))
>>> probe.layers[0].outputs
((1, 8, 16, 16),)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from chipwise.core.layer import Layer, Shape

_OPSET, _IR_VERSION = 17, 8
_BYTES = 4


@dataclass(frozen=True, slots=True)
class Probe:
    """A network to measure: its rows, its graph, and the shape of its one input."""

    name: str
    layers: tuple[Layer, ...]
    model: bytes
    input_shape: Shape


@dataclass(frozen=True, slots=True)
class Value:
    """What a row gives: its name in the graph, its shape, and the row ("" for the input)."""

    name: str
    shape: Shape
    row: str


class ProbeGraph:
    """Rows and nodes side by side."""

    def __init__(self, shape: Shape) -> None:
        self.input = Value("x", shape, "")
        self.rows: list[Layer] = []
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(0)

    def conv(
        self,
        x: Value,
        channels: int,
        window: int | tuple[int, int] = 3,
        *,
        step: int = 1,
        groups: int = 1,
        activation: str = "Relu",
    ) -> Value:
        """A convolution with bias that keeps the size, but for its step."""
        kernel = (window, window) if isinstance(window, int) else window
        depth = x.shape[1] // groups
        out = (x.shape[0], channels, *(math.ceil(size / step) for size in x.shape[2:]))
        flops = 2 * math.prod(out) * depth * math.prod(kernel)
        weights = self._weights((channels, depth, *kernel), math.sqrt(2 / (depth * math.prod(kernel))))
        pads = [side // 2 for side in kernel] * 2
        options = {"kernel_shape": kernel, "strides": (step, step), "pads": pads, "group": groups}
        more = {"kernel": kernel, "stride": (step, step), "groups": groups}
        return self._row("Conv", [x], out, weights, flops, activation, options, more)

    def upward(self, x: Value, channels: int, window: int = 4) -> Value:
        """A transposed convolution that doubles height and width."""
        kernel, depth = (window, window), x.shape[1]
        out = (x.shape[0], channels, *(2 * size for size in x.shape[2:]))
        flops = 2 * math.prod(x.shape) * channels * math.prod(kernel)
        weights = self._weights((depth, channels, *kernel), math.sqrt(2 / (depth * math.prod(kernel))))
        options = {"kernel_shape": kernel, "strides": (2, 2), "pads": [(window - 2) // 2] * 4}
        return self._row(
            "ConvTranspose", [x], out, weights[:1], flops, "", options, {"kernel": kernel, "stride": (2, 2)}
        )

    def gemm(self, x: Value, features: int, activation: str = "Relu") -> Value:
        """Rows times a matrix, plus a bias."""
        depth = x.shape[-1]
        weights = self._weights((depth, features), math.sqrt(2 / depth))
        out = (*x.shape[:-1], features)
        return self._row("Gemm", [x], out, weights, 2 * math.prod(out) * depth, activation)

    def pool(self, x: Value, window: int, step: int, op: str = "MaxPool") -> Value:
        """A pooling that keeps the size, but for its step; an odd window is padded."""
        kernel, pad = (window, window), window // 2 * (window % 2)
        out = (*x.shape[:2], *((size + 2 * pad - window) // step + 1 for size in x.shape[2:]))
        options = {"kernel_shape": kernel, "strides": (step, step), "pads": [pad] * 4}
        return self._row(op, [x], out, (), 0, "", options, {"kernel": kernel, "stride": (step, step)})

    def scale(self, x: Value, activation: str = "Relu") -> Value:
        """A batch normalization that follows no convolution."""
        channels = x.shape[1]
        ones = [numpy_helper.from_array(np.ones(channels, np.float32), f"w{len(self.weights) + i}") for i in range(4)]
        self.weights += ones
        return self._row(
            "BatchNormalization", [x], x.shape, tuple(one.name for one in ones), 4 * math.prod(x.shape), activation
        )

    def join(self, op: str, values: Sequence[Value], activation: str = "") -> Value:
        """Add ("Add") or append along the channels ("Concat")."""
        first = values[0].shape
        if op == "Concat":
            out = (first[0], sum(value.shape[1] for value in values), *first[2:])
            return self._row(op, values, out, (), 0, activation, {"axis": 1})
        return self._row(op, values, first, (), math.prod(first), activation)

    def each(self, op: str, x: Value, shape: Shape | None = None, **options: Any) -> Value:
        """Any operator with one input."""
        return self._row(op, [x], shape or x.shape, (), math.prod(x.shape), "", options)

    def upscaled(self, x: Value, factor: int) -> Value:
        """Each place of a picture `factor` times in height and width."""
        scales = numpy_helper.from_array(np.array((1, 1, factor, factor), np.float32), f"w{len(self.weights)}")
        self.weights.append(scales)
        out = (*x.shape[:2], *(size * factor for size in x.shape[2:]))
        options = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self._row("Resize", [x], out, ("", scales.name), 0, "", options)

    def norm(self, x: Value) -> Value:
        """A layer normalization over the last axis."""
        width = x.shape[-1]
        ones = [numpy_helper.from_array(np.ones(width, np.float32), f"w{len(self.weights) + i}") for i in range(2)]
        self.weights += ones
        names = tuple(one.name for one in ones)
        return self._row("LayerNormalization", [x], x.shape, names, 7 * math.prod(x.shape), "", {"axis": -1})

    def matmul(self, x: Value, y: Value) -> Value:
        """Products of stacks of matrices."""
        out = (*x.shape[:-1], y.shape[-1])
        return self._row("MatMul", [x, y], out, (), 2 * math.prod(out) * x.shape[-1])

    def view(self, x: Value, shape: Shape) -> Value:
        """The same values in another shape; no row."""
        name = f"v{len(self.nodes)}"
        target = numpy_helper.from_array(np.array(shape, np.int64), f"w{len(self.weights)}")
        self.weights.append(target)
        self.nodes.append(helper.make_node("Reshape", [x.name, target.name], [name], name=name))
        return Value(name, shape, x.row)

    def probe(self, name: str, last: Value) -> Probe:
        """The finished network."""
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            name,
            [value("x", TensorProto.FLOAT, self.input.shape)],
            [value(last.name, TensorProto.FLOAT, last.shape)],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
        return Probe(name, tuple(self.rows), model.SerializeToString(), self.input.shape)

    def _weights(self, shape: Shape, spread: float) -> tuple[str, str]:
        # A few values over and over: drawing a hundred million takes longer than measuring.
        few: NDArray[np.float32] = self._random.normal(0, spread, 4099).astype(np.float32)
        array = np.resize(few, shape)
        channels = shape[0] if len(shape) > 2 else shape[-1]
        names = f"w{len(self.weights)}", f"w{len(self.weights) + 1}"
        self.weights.append(numpy_helper.from_array(array, names[0]))
        self.weights.append(numpy_helper.from_array(np.full(channels, 0.01, np.float32), names[1]))
        return names

    def _row(  # noqa: PLR0917 (one call a layer, all alike)
        self,
        op: str,
        inputs: Sequence[Value],
        out: Shape,
        weights: tuple[str, ...] = (),
        flops: int = 0,
        activation: str = "",
        options: Mapping[str, Any] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> Value:
        row = f"L{len(self.rows):03d}"
        result = f"{row}_a" if activation else f"{row}_y"
        first = f"{row}_y"
        names = [value.name for value in inputs]
        matrix = op == "Gemm" and len(inputs[0].shape) > 2
        if matrix:
            self.nodes.append(helper.make_node("MatMul", [*names, weights[0]], [f"{row}_m"], name=f"{row}_m"))
            self.nodes.append(helper.make_node("Add", [f"{row}_m", weights[1]], [first], name=row))
        else:
            self.nodes.append(helper.make_node(op, [*names, *weights], [first], name=row, **(options or {})))
        if activation:
            bounds = self._bounds() if activation == "Clip" else ()
            self.nodes.append(helper.make_node(activation, [first, *bounds], [result], name=f"{row}_a"))
        held = {tensor.name: math.prod(tensor.dims) for tensor in self.weights if tensor.name in weights}
        parameters = sum(held.values())
        read = parameters + sum(math.prod(value.shape) for value in inputs)
        self.rows.append(
            Layer(
                row,
                op,
                tuple(value.shape for value in inputs),
                (out,),
                parameters=parameters,
                flops=flops,
                read_bytes=_BYTES * read,
                write_bytes=_BYTES * math.prod(out),
                activation=activation,
                after=tuple(value.row for value in inputs if value.row),
                **(more or {}),
            )
        )
        return Value(result, out, row)

    def _bounds(self) -> tuple[str, str]:
        names = f"w{len(self.weights)}", f"w{len(self.weights) + 1}"
        self.weights += [
            numpy_helper.from_array(np.array(v, np.float32), n) for v, n in zip((0, 6), names, strict=True)
        ]
        return names
