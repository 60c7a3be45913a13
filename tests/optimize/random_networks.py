"""Random small networks in integer-valued float64, so that passes can be compared without rounding.

A network is a list of blocks by name, and a seed for their weights: hypothesis shrinks both. Weights are small
integers, batch-norms have a variance of 1 and no epsilon, so every value is an integer that float64 holds exactly.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnx.parser
import onnx.reference
import onnx_ir as ir
from hypothesis import strategies as st
from onnx import helper, numpy_helper

SIZE = 6  # height and width of the input; blocks keep them, but for "pool"
DTYPE = np.float64


def parse(text: str, opset: int = 18, **weights: np.ndarray) -> ir.Model:
    """A graph from onnx's text, `g (double[N, 2] x) => (double[N, 2] y) { ... }`, checked, with shapes inferred."""
    made = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> {text}')
    made.graph.initializer.extend(numpy_helper.from_array(np.asarray(each), name) for name, each in weights.items())
    onnx.checker.check_model(made)
    return ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(made))


class Builder:
    """A graph in the making: `value` is what the next block reads, with its channels."""

    def __init__(self, seed: int, channels: int = 3) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, np.ndarray] = {}
        self.value, self.channels, self.side, self.input_channels = "x", channels, SIZE, channels

    def integers(self, *shape: int, low: int = -2, high: int = 2) -> str:
        """A weight of small integers."""
        return self.keep(self.rng.integers(low, high + 1, shape))

    def keep(self, array: np.ndarray, dtype: type = DTYPE) -> str:
        """A weight."""
        name = f"w{len(self.weights)}"
        self.weights[name] = np.asarray(array, dtype)
        return name

    def node(self, op: str, *inputs: str, **attributes: object) -> str:
        """Add a node; its result becomes `value`."""
        self.value = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [self.value], name=f"n{len(self.nodes)}", **attributes))
        return self.value

    def conv(self, outputs: int, kernel: int, *, groups: int = 1, bias: bool = True, like: str = "") -> str:
        """A convolution that keeps height and width; of weights `like` others where their name is given."""
        weight = like or self.integers(outputs, self.channels // groups, kernel, kernel)
        more = [self.integers(outputs)] if bias else []
        self.channels = outputs
        return self.node("Conv", self.value, weight, *more, group=groups, pads=[kernel // 2] * 4)

    def norm(self) -> str:
        """A batch normalization of integers."""
        names = [self.integers(self.channels) for _ in range(3)]
        return self.node("BatchNormalization", self.value, *names, self.keep(np.ones(self.channels)), epsilon=0.0)

    def model(self, rank: int = 4) -> ir.Model:
        """The graph so far, checked; the batch is free; `rank` is that of its output."""
        double = onnx.TensorProto.DOUBLE
        graph = helper.make_graph(
            self.nodes,
            "random",
            [helper.make_tensor_value_info("x", double, ["N", self.input_channels, SIZE, SIZE])],
            [helper.make_tensor_value_info(self.value, double, list("NCHW"[:rank]))],
            [numpy_helper.from_array(array, name) for name, array in self.weights.items()],
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
        onnx.checker.check_model(made)
        return ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(made))

    def sample(self) -> np.ndarray:
        """Two items of integers."""
        return self.rng.integers(-3, 4, (2, self.input_channels, SIZE, SIZE)).astype(DTYPE)


def _residual(b: Builder) -> None:
    before, channels = b.value, b.channels
    b.conv(b.channels + 2, 3)
    b.node("Relu", b.value)
    b.conv(channels, 1)
    b.node("Add", b.value, before)


def _concat(b: Builder) -> None:
    before, channels = b.value, b.channels
    left = b.conv(2, 1)
    b.value, b.channels = before, channels
    right = b.conv(3, 3)
    b.channels = 5
    b.node("Concat", left, right, axis=1)


def _branches(b: Builder) -> None:
    before, channels = b.value, b.channels
    sides = []
    for kernel in (3, 1, 0):
        b.value, b.channels = before, channels
        if kernel:
            b.conv(channels, kernel, bias=False)
        sides.append(b.norm())
    b.node("Add", b.node("Add", sides[0], sides[1]), sides[2])
    b.node("Relu", b.value)


def _twice(b: Builder) -> None:
    before, channels = b.value, b.channels
    weight, bias = b.integers(channels, channels, 1, 1), b.integers(channels)
    left = b.node("Conv", before, weight, bias)
    b.node("Add", left, b.node("Conv", before, weight, bias))


def _siblings(b: Builder) -> None:
    before, channels = b.value, b.channels
    made = []
    for outputs in (2, 3):
        b.value, b.channels = before, channels
        b.conv(outputs, 1)
        made.append(b.node("Relu", b.value))
    b.channels = 5
    b.node("Concat", *made, axis=1)


def _dead(b: Builder) -> None:
    """Channels that are zero, and channels that nobody reads."""
    inner = 6
    first = b.rng.integers(-2, 3, (inner, b.channels, 3, 3))
    second = b.rng.integers(-2, 3, (b.channels, inner, 1, 1))
    bias = b.rng.integers(-2, 3, inner)
    first[:2], bias[:2] = 0, (0, 2)
    second[:, 4:] = 0
    b.node("Conv", b.value, b.keep(first), b.keep(bias), pads=[1] * 4)
    b.node("Relu", b.value)
    b.node("Conv", b.value, b.keep(second))


def _around(b: Builder) -> None:
    """A layer that works with channels last, between two transposes."""
    b.node("Transpose", b.value, perm=[0, 2, 3, 1])
    b.node("Relu", b.value)
    b.node("Add", b.value, b.integers(b.channels))
    b.node("Transpose", b.value, perm=[0, 3, 1, 2])


def _scaled(b: Builder) -> None:
    b.node("Mul", b.value, b.integers(b.channels, 1, 1))
    b.node("Add", b.value, b.integers(1, b.channels, 1, 1))


def _ringed(b: Builder) -> None:
    """A large kernel whose border is zero."""
    weight = b.rng.integers(-2, 3, (b.channels, b.channels, 5, 5))
    weight[:, :, [0, -1]] = 0
    weight[:, :, :, [0, -1]] = 0
    b.node("Conv", b.value, b.keep(weight), pads=[2] * 4)


def _normed(b: Builder) -> None:
    """Batch normalization where only what reads it, or each input of a concatenation, can take it."""
    b.node("Abs", b.value)
    b.norm()
    b.node("MaxPool", b.value, kernel_shape=[1, 1])
    b.conv(3, 1)
    before, channels = b.value, b.channels
    left = b.conv(2, 3)
    b.value, b.channels = before, channels
    right = b.conv(2, 1, bias=False)
    b.channels = 4
    b.node("Concat", left, right, axis=1)
    b.norm()


def _standardized(b: Builder) -> None:
    """Mean and spread of an input, ahead of a padded convolution."""
    b.node("Abs", b.value)
    spread = b.keep(b.rng.choice([-0.5, 1.0, 2.0, 4.0], (1, b.channels, 1, 1)))
    b.node("Mul", b.node("Sub", b.node("Mul", b.value, b.keep(np.array(0.5))), b.integers(b.channels, 1, 1)), spread)
    b.conv(3, 3)
    b.node("Relu", b.value)
    b.node("Mul", b.value, b.keep(b.rng.choice([0.0, 1.0, 2.0], (b.channels, 1, 1))))


def _pruned(b: Builder) -> None:
    """Filters of zeros in every convolution so far, with and without their bias, and inputs that are not read."""
    for node in b.nodes:
        if node.op_type == "Conv":
            zero = b.rng.random(len(b.weights[node.input[1]])) < 0.6
            b.weights[node.input[1]][zero] = 0
            b.weights[node.input[1]][:, b.rng.random(b.weights[node.input[1]].shape[1]) < 0.2] = 0
            if len(node.input) > 2:
                b.weights[node.input[2]][zero & (b.rng.random(len(zero)) < 0.7)] = 0


def _excited(b: Builder) -> None:
    """Squeeze and excitation."""
    value, channels = b.value, b.channels
    b.node("GlobalMaxPool", value)
    b.conv(max(channels // 2, 1), 1)
    b.node("Relu", b.value)
    b.conv(channels, 1)
    b.node("Mul", value, b.node("Clip", b.value, b.keep(np.array(0)), b.keep(np.array(3))))


def _shuffled(b: Builder) -> None:
    """Grouped convolutions with a channel shuffle between them."""
    b.conv(8, 1)
    b.conv(8, 3, groups=2)
    shape = [0, 2, 4, b.side, b.side]
    b.node("Reshape", b.value, b.keep(np.array(shape), np.int64))
    b.node("Transpose", b.value, perm=[0, 2, 1, 3, 4])
    b.node("Reshape", b.value, b.keep(np.array([0, 8, b.side, b.side]), np.int64))
    b.conv(8, 1, groups=4)


def _halves(b: Builder) -> None:
    """One half of the channels goes through a layer, the other past it."""
    b.conv(6, 3)
    b.nodes.append(
        helper.make_node("Split", [b.value, b.keep(np.array([3, 3]), np.int64)], ["l" + b.value, "r" + b.value], axis=1)
    )
    left, right = "l" + b.value, "r" + b.value
    b.value, b.channels = right, 3
    b.conv(3, 3)
    b.channels = 6
    b.node("Concat", left, b.value, axis=1)


def _adapter(b: Builder) -> None:
    """A dense layer and a low-rank one beside it."""
    before, channels = b.value, b.channels
    dense = b.conv(channels, 1)
    b.value = before
    b.conv(1, 1, bias=False)
    low = b.conv(channels, 1, bias=False)
    b.node("Add", dense, low)


def _crossed(b: Builder) -> None:
    """Kernels of three shapes, an average and nothing at all, added up."""
    before, channels = b.value, b.channels
    sums = [before, b.node("AveragePool", before, kernel_shape=[2, 2], pads=[0, 0, 1, 1], count_include_pad=1)]
    for high, wide in ((1, 3), (3, 1), (3, 3)):
        weight, pads = b.integers(channels, channels, high, wide), [high // 2, wide // 2] * 2
        sums.append(b.node("Conv", before, weight, b.integers(channels), pads=pads))
    b.node("Sum", *sums)


def _blurred(b: Builder) -> None:
    """A depthwise kernel that is a product of a vertical and a horizontal one."""
    weight = b.rng.choice([-2, -1, 1, 2], (b.channels, 1, 5, 1)) * b.rng.choice([-1, 1], (1, 1, 1, 5))
    b.node("Conv", b.value, b.keep(weight), group=b.channels, pads=[2] * 4)


def _pool(b: Builder) -> None:
    if b.side % 2 == 0:
        b.node("MaxPool", b.value, kernel_shape=[2, 2], strides=[2, 2])
        b.side //= 2


BLOCKS: dict[str, Callable[[Builder], object]] = {
    "conv": lambda b: b.conv(4, 3),
    "thin": lambda b: b.conv(2, 1, bias=False),
    "wide": lambda b: b.conv(6, 1),
    "depthwise": lambda b: b.conv(b.channels, 3, groups=b.channels),
    "norm": lambda b: b.norm(),
    "relu": lambda b: b.node("Relu", b.value),
    "abs": lambda b: b.node("Abs", b.value),
    "noop": lambda b: b.node("Dropout", b.node("Identity", b.value)),
    "pool": _pool,
    "residual": _residual,
    "concat": _concat,
    "branches": _branches,
    "twice": _twice,
    "siblings": _siblings,
    "dead": _dead,
    "around": _around,
    "scaled": _scaled,
    "ringed": _ringed,
    "adapter": _adapter,
    "crossed": _crossed,
    "blurred": _blurred,
    "normed": _normed,
    "standardized": _standardized,
    "pruned": _pruned,
    "excited": _excited,
    "shuffled": _shuffled,
    "halves": _halves,
}

# What a network ends with: an image, or classes behind a flattened one or its sums.
TAILS: dict[str, Callable[[Builder], object]] = {
    "image": lambda b: b.node("Neg", b.value),
    "classes": lambda b: b.node(
        "Gemm", b.node("Flatten", b.value), b.integers(2, b.channels * b.side**2), b.integers(2), transB=1
    ),
    "sums": lambda b: b.node(
        "MatMul",
        b.node("ReduceSum", b.value, b.keep(np.array([2, 3]), np.int64), keepdims=0),
        b.integers(b.channels, 3),
    ),
}


def network(blocks: list[str], tail: str, seed: int) -> tuple[ir.Model, np.ndarray]:
    """A network of named blocks, and an input for it."""
    builder = Builder(seed)
    for block in blocks:
        BLOCKS[block](builder)
    TAILS[tail](builder)
    return builder.model(4 if tail == "image" else 2), builder.sample()


def networks() -> st.SearchStrategy[tuple[ir.Model, np.ndarray]]:
    """Random networks of up to five blocks."""
    blocks = st.lists(st.sampled_from(sorted(BLOCKS)), min_size=1, max_size=5)
    return st.builds(network, blocks, st.sampled_from(sorted(TAILS)), st.integers(0, 2**20))


def outputs(model: ir.Model, x: np.ndarray) -> list[np.ndarray]:
    """What the reference evaluator answers."""
    proto = ir.serde.serialize_model(model)
    onnx.checker.check_model(proto)
    return onnx.reference.ReferenceEvaluator(proto).run(None, {model.graph.inputs[0].name: x})


def ops(model: ir.Model) -> list[str]:
    """Names of the operators, in order."""
    return [node.op_type for node in model.graph]


def integers(*shape: int, seed: int = 0) -> np.ndarray:
    """Small integers: two calls with one shape and seed give the same."""
    return np.random.default_rng(seed).integers(-2, 3, shape).astype(DTYPE)


def after(
    apply: Callable[[ir.Model], str],
    body: str,
    shape: tuple[int | str, ...],
    opset: int = 18,
    **weights: np.ndarray,
) -> list[str]:
    """The operators after a pass over `x` of a shape; what the graph computes must not change, and it must say so.

    A free dimension is 6 for H and W, 2 for any other.
    """
    taken = ", ".join(map(str, shape))
    given_back = ", ".join("ABCDE"[: len(shape)])
    model = parse(f"g (double[{taken}] x) => (double[{given_back}] y) {{ {body} }}", opset, **weights)
    sizes = [6 if n in ("H", "W") else 2 if isinstance(n, str) else n for n in shape]
    x = np.random.default_rng(1).integers(-3, 4, sizes).astype(DTYPE)
    before, operators = outputs(model, x)[0], ops(model)
    said = apply(model)
    np.testing.assert_array_equal(outputs(model, x)[0], before)
    assert bool(said) == (ops(model) != operators)
    return ops(model)
