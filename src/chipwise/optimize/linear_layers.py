"""Linear layers as arrays: what a convolution, matrix product, scale or average pooling computes.

Passes that join layers read them here, join them in `linear_joins`, and write them back.

>>> import onnx.parser
>>> text = '<ir_version: 8, opset_import: ["": 17]> g (float[N, 2] x) => (float[N, 1] y) <float[2, 1] w = {3, 4}>'
>>> graph = ir.serde.deserialize_model(onnx.parser.parse_model(text + " { y = MatMul(x, w) }")).graph
>>> read_layer(graph[0]).weights.tolist()
[[3.0, 4.0]]
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from chipwise.optimize.rewrite import add_weights, floats, integer, integers, is_op, number, shape_of, text

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_SCALES = ("Mul", "Div", "Add", "Sub", "BatchNormalization")


@dataclass(frozen=True, slots=True)
class Form:
    """The shape of a linear layer.

    Attributes:
        op: "Conv", "ConvTranspose", "Gemm", "MatMul", or "Scale": a factor and a summand for each channel.
        outputs: channels; inputs: channels; groups: into how many both are cut.
        kernel, strides, dilations: one for each axis of the image, none for a matrix product.
        pads: before each axis, then behind each.
        biased: whether anything is added.
        positions: how often the kernel is applied for one item; None where that is not known.
        grown: output padding of a transposed convolution.
    """

    op: str
    outputs: int
    inputs: int
    groups: int
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    biased: bool
    positions: int | None = None
    grown: tuple[int, ...] = ()

    @property
    def extent(self) -> tuple[int, ...]:
        """How far the kernel reaches along each axis."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    @property
    def depthwise(self) -> bool:
        """True when each output channel reads the input channel of the same number alone."""
        return self.groups == self.inputs == self.outputs

    @property
    def pointwise(self) -> bool:
        """True when each output position reads the input position of the same place alone."""
        return self.op != "ConvTranspose" and set(self.kernel) | set(self.strides) <= {1} and not any(self.pads)

    @property
    def multiply_adds(self) -> int:
        """For one item, or for one position where their number is not known."""
        extra = self.outputs if self.op == "MatMul" and self.biased else 0  # an Add of its own
        each = self.outputs * self.inputs // self.groups * math.prod(self.kernel) + extra
        return each * (1 if self.positions is None else self.positions)


@dataclass(frozen=True, slots=True)
class Layer:
    """A linear layer.

    Attributes:
        form: its shape.
        weights: [outputs, inputs / groups, *kernel], also where the operator has another order.
        bias: [outputs], or None.
    """

    form: Form
    weights: NDArray[Any]
    bias: NDArray[Any] | None


def read_layer(node: ir.Node) -> Layer | None:
    """A convolution or matrix product of constant float weights; None for anything else."""
    if not is_op(node, *_LAYERS) or len(node.inputs) < 2 or node.inputs[0] is None:
        return None
    weights = floats(node.inputs[1])
    if weights is None or 0 in weights.shape:
        return None
    biased = len(node.inputs) > 2 and node.inputs[2] is not None
    bias = floats(node.inputs[2]) if biased else None
    if biased and bias is None:
        return None
    return _dense(node, weights, bias) if node.op_type in ("Gemm", "MatMul") else _conv(node, weights, bias)


def _dense(node: ir.Node, weights: NDArray[Any], bias: NDArray[Any] | None) -> Layer | None:
    if weights.ndim != 2 or number(node, "alpha", 1) != 1 or number(node, "beta", 1) != 1 or integer(node, "transA", 0):
        return None
    weights = weights if integer(node, "transB", 0) else weights.T
    outputs, inputs = weights.shape
    if bias is not None:
        if bias.size not in (1, outputs) or (bias.ndim == 2 and bias.shape[0] != 1):
            return None
        bias = np.broadcast_to(bias.reshape(-1), (outputs,))
    return Layer(Form(node.op_type, outputs, inputs, 1, (), (), (), (), bias is not None, 1), weights, bias)


def _conv(node: ir.Node, weights: NDArray[Any], bias: NDArray[Any] | None) -> Layer | None:
    turned, dims, groups = node.op_type == "ConvTranspose", weights.ndim - 2, integer(node, "group", 1)
    if dims < 1 or weights.shape[0] % groups or "output_shape" in node.attributes:
        return None
    kernel, ones = weights.shape[2:], (1,) * dims
    strides, dilations = integers(node, "strides", ones), integers(node, "dilations", ones)
    shape = shape_of(node.inputs[0] if turned else node.outputs[0])
    form = Form(
        op=node.op_type,
        outputs=weights.shape[1] * groups if turned else weights.shape[0],
        inputs=weights.shape[0] if turned else weights.shape[1] * groups,
        groups=groups,
        kernel=kernel,
        strides=strides,
        dilations=dilations,
        pads=(),
        biased=bias is not None,
        positions=_positions(shape, dims),
        grown=integers(node, "output_padding", (0,) * dims) if turned else (),
    )
    pads = _pads(node, form)
    if pads is None or min(pads) < 0 or {len(strides), len(dilations)} != {dims} or len(pads) != 2 * dims:
        return None
    if turned:
        split = weights.reshape(groups, -1, *weights.shape[1:])
        weights = split.swapaxes(1, 2).reshape(form.outputs, -1, *kernel)
    return Layer(replace(form, pads=pads), weights, bias)


def _positions(shape: tuple[int | None, ...] | None, dims: int) -> int | None:
    known = [dim for dim in (shape or ())[2:] if dim is not None]
    return math.prod(known) if len(known) == dims else None


def _pads(node: ir.Node, form: Form) -> tuple[int, ...] | None:
    """Padding as numbers, also of a convolution that keeps the size of its image; None where the shape is needed."""
    kind, dims = text(node, "auto_pad", "NOTSET"), len(form.kernel)
    if kind in ("NOTSET", "VALID"):
        return integers(node, "pads", (0,) * 2 * dims) if kind == "NOTSET" else (0,) * 2 * dims
    if node.op_type == "ConvTranspose" or set(form.strides) | set(form.dilations) != {1}:
        return None
    less, more = tuple((k - 1) // 2 for k in form.kernel), tuple(k // 2 for k in form.kernel)
    return less + more if kind == "SAME_UPPER" else more + less


def read_scale(node: ir.Node, channels: int, beside: Form) -> tuple[Layer, ir.Value] | None:
    """A multiplication, addition or batch normalization with constants, in a row with a layer, and what it reads.

    Args:
        node: to read.
        channels: of its input and output.
        beside: a layer in the row, which says along which axis the channels are.
    """
    if not is_op(node, *_SCALES) or (node.op_type != "BatchNormalization" and node.attributes):
        return None
    known = _norm(node, beside) if node.op_type == "BatchNormalization" else _affine(node, channels, beside)
    if known is None or not all(np.isfinite(each).all() for each in known[:2]) or known[0].size != channels:
        return None
    factor, summand, x = known
    dims = len(beside.kernel)
    ones, shape = (1,) * dims, shape_of(node.outputs[0])
    positions = _positions(shape, dims) if dims else 1
    biased = bool(np.any(summand))
    form = Form("Scale", channels, channels, channels, ones, ones, ones, (0,) * 2 * dims, biased, positions)
    return Layer(form, factor.reshape(channels, 1, *ones), summand if biased else None), x


def _affine(node: ir.Node, channels: int, beside: Form) -> tuple[NDArray[Any], NDArray[Any], ir.Value] | None:
    left, right = (floats(value) for value in node.inputs)
    array, x = (right, node.inputs[0]) if right is not None else (left, node.inputs[1])
    if array is None or x is None or (left is not None and (right is not None or node.op_type in ("Div", "Sub"))):
        return None
    vector = _vector(array, channels, beside, x)
    if vector is None:
        return None
    vector = vector.astype(np.float64)
    ones = np.ones(channels)
    if node.op_type in ("Mul", "Div"):
        with np.errstate(divide="ignore", over="ignore"):
            return vector if node.op_type == "Mul" else 1 / vector, 0 * ones, x
    return ones, vector if node.op_type == "Add" else -vector, x


def _vector(array: NDArray[Any], channels: int, beside: Form, x: ir.Value) -> NDArray[Any] | None:
    """A constant as one number for each channel; None where it is more than that, or adds dimensions."""
    dims, shape = len(beside.kernel), shape_of(x)
    rank = dims + 2 if dims else 2 if beside.op == "Gemm" else 1 if shape is None else len(shape)
    if (array.ndim > 1) if shape is None else (array.ndim > rank or len(shape) != rank):
        return None
    wanted = (1, channels, *(1,) * dims) if dims else (*(1,) * (rank - 1), channels)
    if array.size != 1 and (1,) * (rank - array.ndim) + array.shape != wanted:
        return None
    return np.broadcast_to(array.reshape(-1), (channels,))


def _norm(node: ir.Node, beside: Form) -> tuple[NDArray[Any], NDArray[Any], ir.Value] | None:
    arrays, x = [floats(value) for value in node.inputs[1:5]], node.inputs[0]
    extra = [value for value in node.outputs[1:] if value.uses() or value.is_graph_output()]
    if x is None or len(arrays) != 4 or extra or integer(node, "training_mode", 0) or beside.op == "MatMul":
        return None
    known = [array for array in arrays if array is not None]
    if len(known) != 4 or len({array.size for array in known}) != 1:
        return None
    scale, shift, mean, variance = (array.astype(np.float64) for array in known)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = scale / np.sqrt(variance + number(node, "epsilon", 1e-5))
    return factor, shift - mean * factor, x


def read_pool(node: ir.Node, channels: int, dims: int) -> Layer | None:
    """An average over windows as the convolution it is; None where padding is left out of the average."""
    if not is_op(node, "AveragePool") or text(node, "auto_pad", "NOTSET") != "NOTSET" or integer(node, "ceil_mode", 0):
        return None
    ones, kernel = (1,) * dims, integers(node, "kernel_shape", ())
    pads = integers(node, "pads", (0,) * 2 * dims)
    if len(kernel) != dims or (any(pads) and not integer(node, "count_include_pad", 0)) or min(pads) < 0:
        return None
    form = Form(
        *("Conv", channels, channels, channels, kernel, integers(node, "strides", ones)),
        *(integers(node, "dilations", ones), pads, False, _positions(shape_of(node.outputs[0]), dims)),
    )
    return Layer(form, np.full((channels, 1, *kernel), 1 / math.prod(kernel)), None)


def identity(channels: int, beside: Form) -> Layer:
    """The layer that changes nothing, in the place of one that keeps the shape of the image."""
    ones = (1,) * len(beside.kernel)
    none = (0,) * 2 * len(ones)
    form = Form("Scale", channels, channels, channels, ones, ones, ones, none, biased=False, positions=beside.positions)
    return Layer(form, np.ones((channels, 1, *ones)), None)


def write(graph: ir.Graph, layer: Layer, x: ir.Value, like: ir.Node) -> list[ir.Node]:
    """The operators of a layer, not yet in the graph; none where weights leave the range of their type.

    Args:
        graph: to add the weights to.
        layer: to write; not a "Scale".
        x: what it reads.
        like: the layer whose name and type of weights it takes.
    """
    form, old = layer.form, floats(like.inputs[1])
    assert old is not None, "read as a layer"
    with np.errstate(over="ignore"):
        array, summand = (None if a is None else a.astype(old.dtype) for a in (layer.weights, layer.bias))
    assert array is not None, "a layer has weights"
    if not np.isfinite(array).all() or (summand is not None and not np.isfinite(summand).all()):
        return []
    if form.op == "Gemm" and summand is None:
        summand = np.zeros(form.outputs, old.dtype)  # before opset 11 it must have one
    bias = [] if summand is None else [add_weights(graph, summand)]
    if form.op == "MatMul":
        product = ir.node("MatMul", [x, add_weights(graph, array.T)], name=like.name)
        return [product, *(ir.node("Add", [product.outputs[0], each]) for each in bias)]
    if form.op == "Gemm":
        return [ir.node("Gemm", [x, add_weights(graph, array.T), *bias], name=like.name)]
    if form.op == "ConvTranspose":
        split = array.reshape(form.groups, -1, *array.shape[1:]).swapaxes(1, 2)
        array = split.reshape(form.inputs, -1, *form.kernel)
    attributes: dict[str, Any] = {"kernel_shape": form.kernel, "strides": form.strides, "pads": form.pads}
    attributes |= {"dilations": form.dilations, "group": form.groups}
    attributes |= {"output_padding": form.grown} if any(form.grown) else {}
    return [ir.node(form.op, [x, add_weights(graph, array), *bias], attributes, name=like.name)]
