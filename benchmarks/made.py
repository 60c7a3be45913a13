"""Small networks for passes that find nothing to do in the suite: eight blocks, each with the work that a pass removes.

Each is drawn by seed; pictures of 64 channels and 28x28 places, or rows of 128 features.

>>> sorted(MADE)[:3]
['copied-joins', 'darknet19-half', 'denormals']
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from suite import half

_BLOCKS, _CHANNELS, _SIDE, _TOKENS, _FEATURES = 8, 64, 28, 128, 256
Array = NDArray[Any]


@dataclass
class Drawing:
    """A graph as it is drawn, node after node.

    Attributes:
        nodes, weights: what is drawn so far; rng: of the weights.
    """

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: dict[str, Array] = field(default_factory=dict)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def keep(self, array: Array | float) -> str:
        """Keep a weight, in float32 unless it holds integers; its name."""
        array = np.asarray(array)
        name = f"w{len(self.weights)}"
        self.weights[name] = array if array.dtype == np.int64 else array.astype(np.float32)
        return name

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Draw a node with one result; its name."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def normal(self, *shape: int) -> Array:
        """Weights as He et al. draw them."""
        drawn: Array = self.rng.normal(size=shape) * np.sqrt(2 / math.prod(shape[1:]))
        return drawn

    def conv(self, value: str, kernel: Array, *, groups: int = 1, bias: bool = True) -> str:
        """Draw a convolution that keeps height and width."""
        pads = [kernel.shape[2] // 2, kernel.shape[3] // 2] * 2
        more = [self.keep(self.rng.normal(size=len(kernel)) * 0.1)] if bias else []
        return self.node("Conv", value, self.keep(kernel), *more, pads=pads, group=groups)

    def layer(self, value: str, outputs: int = _CHANNELS, inputs: int = _CHANNELS, kernel: int = 3) -> str:
        """Draw a convolution with random weights."""
        return self.conv(value, self.normal(outputs, inputs, kernel, kernel))

    def dense(self, value: str, weights: Array) -> str:
        """Draw a matrix product."""
        return self.node("MatMul", value, self.keep(weights))


Block = Callable[[Drawing, str], str]


def blocks(block: Block, shape: tuple[int, ...], name: str, folder: Path) -> Path:
    """Write eight blocks in a row."""
    drawing, value = Drawing(), "x"
    for _ in range(_BLOCKS):
        value = block(drawing, value)
    graph = helper.make_graph(
        drawing.nodes,
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(value, TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(array, each) for each, array in drawing.weights.items()],
    )
    path = folder / f"{name}.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
    return path


def no_ops(b: Drawing, x: str) -> str:
    """Transposes to and fro, casts to what a value is, identities."""
    x = b.node("Transpose", b.node("Transpose", x, perm=[0, 2, 3, 1]), perm=[0, 3, 1, 2])
    return b.node("Relu", b.layer(b.node("Identity", b.node("Cast", x, to=TensorProto.FLOAT))))


def copied_joins(b: Drawing, x: str) -> str:
    """Joins of joins, as dense blocks are exported."""
    joined = x
    for _ in range(3):
        joined = b.node("Concat", joined, b.layer(x, 16, kernel=1), axis=1)
    return b.node("Relu", b.layer(joined, inputs=_CHANNELS + 48, kernel=1))


def twice(b: Drawing, x: str) -> str:
    """A layer that is computed twice, with weights that are stored twice."""
    kernel, bias = b.normal(_CHANNELS, _CHANNELS, 3, 3), np.zeros(_CHANNELS)
    one, other = (b.node("Conv", x, b.keep(kernel), b.keep(bias), pads=[1, 1, 1, 1]) for _ in range(2))
    return b.node("Mul", b.node("Sigmoid", one), b.node("Tanh", other))


def gelus(b: Drawing, x: str) -> str:
    """A perceptron of a transformer whose layer normalization and GELU are spelled out."""
    centred = b.node("Sub", x, b.node("ReduceMean", x, b.keep(np.array([-1])), keepdims=1))
    square = b.node("ReduceMean", b.node("Pow", centred, b.keep(2.0)), b.keep(np.array([-1])), keepdims=1)
    normed = b.node("Div", centred, b.node("Sqrt", b.node("Add", square, b.keep(1e-5))))
    scaled = b.node("Add", b.node("Mul", normed, b.keep(np.ones(_FEATURES))), b.keep(np.zeros(_FEATURES)))
    wide = b.dense(scaled, b.normal(_FEATURES, 4 * _FEATURES))
    half_of = b.node("Mul", wide, b.keep(0.5))
    gate = b.node("Add", b.node("Erf", b.node("Div", wide, b.keep(math.sqrt(2)))), b.keep(1.0))
    return b.node("Add", x, b.dense(b.node("Mul", half_of, gate), b.normal(4 * _FEATURES, _FEATURES)))


def hard_swishes(b: Drawing, x: str) -> str:
    """A convolution and HardSwish as MobileNet v3 is often exported."""
    value = b.layer(x, kernel=1)
    clipped = b.node("Clip", b.node("Add", value, b.keep(3.0)), b.keep(0.0), b.keep(6.0))
    return b.node("Div", b.node("Mul", value, clipped), b.keep(6.0))


def hard_gates(b: Drawing, x: str) -> str:
    """Gates clip(x + 3, 0, 6) / 6 on other values than their own, behind products that cannot take the 3 in."""
    value = b.node("Mul", x, b.layer(x, kernel=1))
    clipped = b.node("Clip", b.node("Add", value, b.keep(3.0)), b.keep(0.0), b.keep(6.0))
    return b.node("Mul", x, b.node("Div", clipped, b.keep(6.0)))


def channels_last(b: Drawing, x: str) -> str:
    """Convolutions between transposes, with an addition and an activation on the other order, as Keras is exported."""
    last = b.node("Transpose", b.layer(x), perm=[0, 2, 3, 1])
    last = b.node("Add", last, b.node("Transpose", x, perm=[0, 2, 3, 1]))
    return b.node("Transpose", b.node("Relu", last), perm=[0, 3, 1, 2])


def norms_before(b: Drawing, x: str) -> str:
    """A batch-norm before a 1x1 convolution, and nothing between them."""
    scale, shift, mean = (b.keep(b.rng.uniform(0.5, 1.5, _CHANNELS)) for _ in range(3))
    normed = b.node("BatchNormalization", x, scale, shift, mean, b.keep(b.rng.uniform(0.5, 1.5, _CHANNELS)))
    return b.node("Relu", b.layer(normed, kernel=1))


def scaled(b: Drawing, x: str) -> str:
    """A mean and a deviation before a convolution, a scale for each channel after it."""
    value = b.node("Div", b.node("Sub", x, b.keep(0.5)), b.keep(0.25))
    value = b.layer(value, kernel=1)
    return b.node("Relu", b.node("Mul", value, b.keep(b.rng.uniform(0.5, 1.5, (_CHANNELS, 1, 1)))))


def denormals(b: Drawing, x: str) -> str:
    """Half of the channels faded to numbers below 1.2e-38."""
    kernel = b.normal(_CHANNELS, _CHANNELS, 3, 3)
    kernel[::2] *= 1e-39
    return b.node("Relu", b.conv(x, kernel))


def ringed(b: Drawing, x: str) -> str:
    """Kernels 7x7 whose outer two rings of taps are zero."""
    kernel = np.zeros((_CHANNELS, _CHANNELS, 7, 7))
    kernel[:, :, 2:5, 2:5] = b.normal(_CHANNELS, _CHANNELS, 3, 3)
    return b.node("Relu", b.conv(x, kernel))


def pointwise_behind(b: Drawing, x: str) -> str:
    """A 3x3 convolution to four times the channels, and a 1x1 back."""
    wide = b.layer(x, 4 * _CHANNELS)
    return b.node("Relu", b.layer(wide, inputs=4 * _CHANNELS, kernel=1))


def thin(b: Drawing, x: str) -> str:
    """Matrices of an eighth of full rank."""
    rank = _FEATURES // 8
    return b.node("Relu", b.dense(x, b.normal(_FEATURES, rank) @ b.normal(rank, _FEATURES) * math.sqrt(rank / 2)))


def mishes(b: Drawing, x: str) -> str:
    """Convolutions and Mish as YOLOv4 has them."""
    value = b.layer(x, kernel=1)
    return b.node("Mul", value, b.node("Tanh", b.node("Softplus", value)))


def blurs(b: Drawing, x: str) -> str:
    """A depthwise 7x7 binomial, which is a product, and a 1x1 convolution."""
    taps = np.array([1, 6, 15, 20, 15, 6, 1]) / 64
    kernel = np.tile(np.outer(taps, taps), (_CHANNELS, 1, 1, 1))
    return b.node("Relu", b.layer(b.conv(x, kernel, groups=_CHANNELS), kernel=1))


def joined_halves(b: Drawing, x: str) -> str:
    """Two layers that read the same value and are joined, and a convolution of the join."""
    halves = [b.node("Relu", b.layer(x, _CHANNELS // 2, kernel=1)) for _ in range(2)]
    return b.node("Relu", b.layer(b.node("Concat", *halves, axis=1)))


_PICTURE, _ROWS = (1, _CHANNELS, _SIDE, _SIDE), (1, _TOKENS, _FEATURES)
_DRAWN: dict[str, tuple[Block, tuple[int, ...]]] = {
    "no-ops": (no_ops, _PICTURE),
    "copied-joins": (copied_joins, _PICTURE),
    "twice": (twice, _PICTURE),
    "gelus": (gelus, _ROWS),
    "hard-swishes": (hard_swishes, _PICTURE),
    "hard-gates": (hard_gates, _PICTURE),
    "channels-last": (channels_last, _PICTURE),
    "norms-before": (norms_before, _PICTURE),
    "scaled": (scaled, _PICTURE),
    "denormals": (denormals, _PICTURE),
    "ringed": (ringed, _PICTURE),
    "pointwise-behind": (pointwise_behind, _PICTURE),
    "thin": (thin, _ROWS),
    "mishes": (mishes, _PICTURE),
    "blurs": (blurs, _PICTURE),
    "joined-halves": (joined_halves, _PICTURE),
}
_HALF: dict[str, Callable[[Path], Path]] = {
    "darknet19-half": partial(half, "darknet19"),
}
MADE = {name: partial(blocks, block, shape, name) for name, (block, shape) in _DRAWN.items()} | _HALF
