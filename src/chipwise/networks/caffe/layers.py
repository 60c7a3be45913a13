"""Draw Caffe's layers with weights, windows and arithmetic as ONNX nodes; `shapes` has those that only move numbers.

What each computes is in BVLC/caffe, src/caffe/layers; where it differs from ONNX, the function's docstring says how.

>>> from chipwise.networks.caffe.prototxt import parse
>>> text = 'layer { name: "p" type: "Pooling" bottom: "x" top: "y" pooling_param { kernel_size: 3 stride: 2 } }'
>>> net = parse('input: "x" input_shape { dim: 1 dim: 2 dim: 6 dim: 6 } ' + text, "one.prototxt")
>>> [blob.shape for blob in pooling(Sketch(net.inputs), net.layers[0])]
[(2, 3, 3)]
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from chipwise.networks.caffe import shapes
from chipwise.networks.caffe.prototxt import CaffeLayer
from chipwise.networks.caffe.sketch import Blob, Sketch

_LARGEST = 2**16  # of a window, its step or its border
_MOST_OPERANDS = 64
_Pair = tuple[int, int]


def convolution(sketch: Sketch, layer: CaffeLayer) -> list[Blob]:
    """Convolution rounds its output down, as ONNX does."""
    return _convolved(sketch, layer, transposed=False)


def deconvolution(sketch: Sketch, layer: CaffeLayer) -> list[Blob]:
    """Weights are [inputs, outputs / group, rows, columns], as ONNX has them."""
    return _convolved(sketch, layer, transposed=True)


def _convolved(sketch: Sketch, layer: CaffeLayer, *, transposed: bool) -> list[Blob]:
    (bottom,) = sketch.bottoms(layer)
    facts = layer.message.convolution_param
    channels, *picture = _picture(layer, bottom)
    maps, group = _count(layer, facts.num_output, "num_output"), _count(layer, facts.group, "group")
    if channels % group or maps % group:
        raise layer.error(f"has {channels} channels in and {maps} out, in {group} groups")
    kernel, stride, pad, dilation = _window(layer, facts, dilated=True)
    sizes = []
    for size, k, s, p, d in zip(picture, kernel, stride, pad, dilation, strict=True):
        reach = d * (k - 1) + 1
        sizes.append(s * (size - 1) + reach - 2 * p if transposed else (size + 2 * p - reach) // s + 1)
    sketch.check(layer, (maps, *sizes))
    shape = (channels, maps // group, *kernel) if transposed else (maps, channels // group, *kernel)
    fan_in = channels // group * (1 if transposed else math.prod(kernel))
    weight = sketch.parameter(layer, "weight", shape, "normal", fan_in)
    bias = [sketch.parameter(layer, "bias", (maps,))] if facts.bias_term else []
    return [
        sketch.node(
            layer, "ConvTranspose" if transposed else "Conv", [bottom.value, weight, *bias], (maps, *sizes),
            kernel_shape=list(kernel), strides=list(stride), pads=[*pad, *pad], dilations=list(dilation), group=group,
        )
    ]  # fmt: skip


def pooling(sketch: Sketch, layer: CaffeLayer) -> list[Blob]:
    """Pooling rounds its output up, drops windows that begin behind the picture, and counts its border in means."""
    (bottom,) = sketch.bottoms(layer)
    facts = layer.message.pooling_param
    channels, height, width = _picture(layer, bottom)
    if facts.pool == 2:
        raise layer.error("pools at random (STOCHASTIC), which is not supported", "use MAX or AVE")
    op = "AveragePool" if facts.pool else "MaxPool"
    if facts.global_pooling:
        return [sketch.node(layer, f"Global{op}", [bottom.value], (channels, 1, 1))]
    kernel, stride, pad, _ = _window(layer, facts)
    sizes, overhang = [], []
    for size, k, s, p in zip((height, width), kernel, stride, pad, strict=True):
        if p >= k:
            raise layer.error(f"has a border of {p} around a window of {k}")
        count = max(-(-(size + 2 * p - k) // s), 0) + 1
        count -= 1 if (p or k < s) and (count - 1) * s >= size + p else 0
        sizes.append(count)
        overhang.append(max((count - 1) * s + k - size - p, 0))
    facts_of_window: dict[str, Any] = {"kernel_shape": list(kernel), "strides": list(stride)}
    value, border = bottom.value, pad
    if op == "AveragePool" and any(pad):
        if tuple(overhang) == pad:
            facts_of_window["count_include_pad"] = 1
        else:  # zeros of the border count, what hangs over it does not
            value = _bordered(sketch, layer, bottom, pad)
            overhang = [max(over - p, 0) for over, p in zip(overhang, pad, strict=True)]
            border = (0, 0)
    pads = [*border, *overhang]
    return [sketch.node(layer, op, [value], (channels, *sizes), pads=pads, **facts_of_window)]


def _bordered(sketch: Sketch, layer: CaffeLayer, bottom: Blob, pad: _Pair) -> Any:
    channels, height, width = bottom.shape
    pads = sketch.constant(layer, "border", [0, 0, *pad, 0, 0, *pad], np.int64)
    return sketch.node(layer, "Pad", [bottom.value, pads], (channels, height + 2 * pad[0], width + 2 * pad[1])).value


def inner_product(sketch: Sketch, layer: CaffeLayer) -> list[Blob]:
    """A fully connected layer flattens what it reads, channels first."""
    (bottom,) = sketch.bottoms(layer)
    facts = layer.message.inner_product_param
    if shapes.axis_of(layer, facts.axis, bottom) != 1:
        raise layer.error(f"works from axis {facts.axis} on", "only axis 1 is supported")
    inputs, outputs = math.prod(bottom.shape), _count(layer, facts.num_output, "num_output")
    flat = bottom if len(bottom.shape) == 1 else sketch.node(layer, "Flatten", [bottom.value], (inputs,), axis=1)
    shape = (inputs, outputs) if facts.transpose else (outputs, inputs)
    weight = sketch.parameter(layer, "weight", shape, "normal", inputs)
    bias = sketch.parameter(layer, "bias", (outputs,)) if facts.bias_term else None
    operands = [flat.value, weight, *([bias] if bias else [])]
    return [sketch.node(layer, "Gemm", operands, (outputs,), transB=0 if facts.transpose else 1)]


def batch_norm(sketch: Sketch, layer: CaffeLayer) -> list[Blob]:
    """Caffe normalizes only; the factors are a Scale layer's, which becomes part of this node where it follows."""
    (bottom,) = sketch.bottoms(layer)
    channels = bottom.shape[0]
    ones, zeros = (sketch.constant(layer, name, np.full(channels, n)) for name, n in (("scale", 1), ("shift", 0)))
    mean = sketch.parameter(layer, "mean", (channels,))
    variance = sketch.parameter(layer, "variance", (channels,), "ones")
    operands = [bottom.value, ones, zeros, mean, variance]
    epsilon = layer.message.batch_norm_param.eps
    made = sketch.node(layer, "BatchNormalization", operands, bottom.shape, epsilon=epsilon)
    return [Blob(made.value, made.shape, norm=sketch.last_node())]


def scale(sketch: Sketch, layer: CaffeLayer) -> list[Blob]:
    """Factors and shifts per channel, or by a second blob that is laid along `axis`."""
    bottom, *other = sketch.bottoms(layer, 1, 2)
    facts = layer.message.scale_param
    axis = shapes.axis_of(layer, facts.axis, bottom)
    if other:
        return _scale_by(sketch, layer, bottom, other[0], axis)
    if axis != 1 or facts.num_axes != 1:
        raise layer.error(f"scales {facts.num_axes} axes from {facts.axis} on", "only channels are supported")
    channels = bottom.shape[0]
    wide = (channels,) if bottom.norm else (channels, *[1] * (len(bottom.shape) - 1))
    weight = sketch.parameter(layer, "weight", wide, "ones")
    bias = sketch.parameter(layer, "bias", wide) if facts.bias_term else None
    if bottom.norm:
        bottom.norm.replace_input_with(1, weight)
        if bias:
            bottom.norm.replace_input_with(2, bias)
        return [Blob(bottom.value, bottom.shape)]
    made = sketch.node(layer, "Mul", [bottom.value, weight], bottom.shape)
    return [sketch.node(layer, "Add", [made.value, bias], bottom.shape) if bias else made]


def _scale_by(sketch: Sketch, layer: CaffeLayer, bottom: Blob, other: Blob, axis: int) -> list[Blob]:
    """The second blob has a batch of its own: only axis 0 keeps them together."""
    trailing = len(bottom.shape) - len(other.shape)
    if axis or trailing < 0 or bottom.shape[: len(other.shape)] != other.shape or layer.message.scale_param.bias_term:
        raise layer.error(f"scales {list(bottom.shape)} by {list(other.shape)} along axis {axis}, without its batch")
    if trailing:
        shape = (*other.shape, *[1] * trailing)
        other = shapes.reshaped(sketch, layer, other, shape)
    return [sketch.node(layer, "Mul", [bottom.value, other.value], bottom.shape)]


def bias(sketch: Sketch, layer: CaffeLayer) -> list[Blob]:
    """A number added to each channel."""
    (bottom,) = sketch.bottoms(layer)
    wide = (bottom.shape[0], *[1] * (len(bottom.shape) - 1))
    return [sketch.node(layer, "Add", [bottom.value, sketch.parameter(layer, "bias", wide)], bottom.shape)]


def eltwise(sketch: Sketch, layer: CaffeLayer) -> list[Blob]:
    """A product, a largest value, or a sum with a coefficient for each blob."""
    bottoms = sketch.bottoms(layer, 2, _MOST_OPERANDS)
    facts = layer.message.eltwise_param
    shape = bottoms[0].shape
    if any(blob.shape != shape for blob in bottoms):
        raise layer.error(f"joins {' and '.join(str(list(blob.shape)) for blob in bottoms)}")
    factors = list(facts.coeff) or [1.0] * len(bottoms)
    if len(factors) != len(bottoms) or (facts.coeff and facts.operation != 1):
        raise layer.error(f"has {len(factors)} coefficients for {len(bottoms)} blobs")
    values = [
        blob.value
        if factor == 1
        else sketch.node(layer, "Mul", [blob.value, sketch.constant(layer, "factor", factor)], shape).value
        for blob, factor in zip(bottoms, factors, strict=True)
    ]
    if facts.operation == 2:
        return [sketch.node(layer, "Max", values, shape)]
    made = Blob(values[0], shape)
    for value in values[1:]:
        made = sketch.node(layer, "Add" if facts.operation == 1 else "Mul", [made.value, value], shape)
    return [made]


def relu(sketch: Sketch, layer: CaffeLayer) -> list[Blob]:
    """Leaky where a slope is given."""
    (bottom,) = sketch.bottoms(layer)
    slope = layer.message.relu_param.negative_slope
    if slope:
        return [sketch.node(layer, "LeakyRelu", [bottom.value], bottom.shape, alpha=slope)]
    return [sketch.node(layer, "Relu", [bottom.value], bottom.shape)]


def prelu(sketch: Sketch, layer: CaffeLayer) -> list[Blob]:
    """One slope for each channel, or one for all."""
    (bottom,) = sketch.bottoms(layer)
    channels = 1 if layer.message.prelu_param.channel_shared else bottom.shape[0]
    slope = sketch.parameter(layer, "slope", (channels, *[1] * (len(bottom.shape) - 1)))
    return [sketch.node(layer, "PRelu", [bottom.value, slope], bottom.shape)]


def elu(sketch: Sketch, layer: CaffeLayer) -> list[Blob]:
    """Exponential linear units."""
    (bottom,) = sketch.bottoms(layer)
    return [sketch.node(layer, "Elu", [bottom.value], bottom.shape, alpha=layer.message.elu_param.alpha)]


def simple(op: str) -> Callable[[Sketch, CaffeLayer], list[Blob]]:
    """A function of one element that has the same meaning and no settings in ONNX."""

    def draw(sketch: Sketch, layer: CaffeLayer) -> list[Blob]:
        (bottom,) = sketch.bottoms(layer)
        return [sketch.node(layer, op, [bottom.value], bottom.shape)]

    return draw


def power(sketch: Sketch, layer: CaffeLayer) -> list[Blob]:
    """(shift + scale * x) ^ power, without the steps that do nothing."""
    (made,) = sketch.bottoms(layer)
    facts = layer.message.power_param
    for op, number, neutral in (("Mul", facts.scale, 1), ("Add", facts.shift, 0), ("Pow", facts.power, 1)):
        if number != neutral:
            made = sketch.node(layer, op, [made.value, sketch.constant(layer, op.lower(), number)], made.shape)
    return [made]


def softmax(sketch: Sketch, layer: CaffeLayer) -> list[Blob]:
    """Shares along one axis."""
    (bottom,) = sketch.bottoms(layer)
    axis = shapes.axis_of(layer, layer.message.softmax_param.axis, bottom)
    return [sketch.node(layer, "Softmax", [bottom.value], bottom.shape, axis=axis)]


def lrn(sketch: Sketch, layer: CaffeLayer) -> list[Blob]:
    """Across channels; alpha is divided by the size in both."""
    (bottom,) = sketch.bottoms(layer)
    facts = layer.message.lrn_param
    if facts.norm_region:
        raise layer.error("normalizes within channels, which is not supported", "use ACROSS_CHANNELS")
    size = _count(layer, facts.local_size, "local_size")
    numbers = {"alpha": facts.alpha, "beta": facts.beta, "bias": facts.k}
    return [sketch.node(layer, "LRN", [bottom.value], bottom.shape, size=size, **numbers)]


def normalize(sketch: Sketch, layer: CaffeLayer) -> list[Blob]:
    """SSD's: each place's channels (or the whole picture) divided by their length, times a trained factor."""
    (bottom,) = sketch.bottoms(layer)
    facts = layer.message.norm_param
    channels, *space = bottom.shape
    ones = [1] * len(space)
    over = list(range(1, len(bottom.shape) + 1)) if facts.across_spatial else [1]
    summed = (1, *(ones if facts.across_spatial else space))
    square = sketch.node(layer, "Mul", [bottom.value, bottom.value], bottom.shape)
    axes = sketch.constant(layer, "axes", over, np.int64)
    total = sketch.node(layer, "ReduceSum", [square.value, axes], summed, keepdims=1)
    safe = sketch.node(layer, "Add", [total.value, sketch.constant(layer, "eps", facts.eps)], summed)
    length = sketch.node(layer, "Sqrt", [safe.value], summed)
    unit = sketch.node(layer, "Div", [bottom.value, length.value], bottom.shape)
    factor = sketch.parameter(layer, "scale", (1 if facts.channel_shared else channels, *ones), "ones")
    return [sketch.node(layer, "Mul", [unit.value, factor], bottom.shape)]


def nothing(sketch: Sketch, layer: CaffeLayer) -> list[Blob]:
    """Layers that inference passes through; Split gives the same to several."""
    (bottom,) = sketch.bottoms(layer)
    return [Blob(bottom.value, bottom.shape)] * len(layer.tops)


def _picture(layer: CaffeLayer, blob: Blob) -> tuple[int, int, int]:
    if len(blob.shape) != 3:
        raise layer.error(f"reads [batch, {', '.join(map(str, blob.shape))}], no picture")
    channels, height, width = blob.shape
    return channels, height, width


def _count(layer: CaffeLayer, number: int, name: str) -> int:
    if not 0 < number <= 2**24:
        raise layer.error(f"has {name} {number}")
    return int(number)


def _window(layer: CaffeLayer, facts: Any, *, dilated: bool = False) -> tuple[_Pair, _Pair, _Pair, _Pair]:
    """Kernel, stride, border and dilation, each given once, per axis, or as _h and _w."""
    kernel, stride = _pair(layer, facts, "kernel", "kernel_size", 0), _pair(layer, facts, "stride", "stride", 1)
    pad = _pair(layer, facts, "pad", "pad", 0)
    dilation = _both(layer, "dilation", list(facts.dilation), 1) if dilated else (1, 1)
    if min(*kernel, *stride, *dilation) < 1 or min(pad) < 0 or max(*kernel, *stride, *dilation, *pad) > _LARGEST:
        raise layer.error(f"has a window of {kernel}, stride {stride}, border {pad}, dilation {dilation}")
    return kernel, stride, pad, dilation


def _pair(layer: CaffeLayer, facts: Any, prefix: str, both: str, default: int) -> _Pair:
    high, wide = f"{prefix}_h", f"{prefix}_w"
    if facts.HasField(high) or facts.HasField(wide):
        return int(getattr(facts, high)), int(getattr(facts, wide))
    return _both(layer, both, list(getattr(facts, both)), default)


def _both(layer: CaffeLayer, name: str, given: list[int], default: int) -> _Pair:
    if len(given) > 2:
        raise layer.error(f"has {name} for {len(given)} axes", "only pictures are supported")
    high, wide = (given * 2)[:2] if given else (default, default)
    return high, wide


LAYERS: dict[str, Callable[[Sketch, CaffeLayer], list[Blob]]] = {
    "AbsVal": simple("Abs"),
    "BNLL": simple("Softplus"),
    "BatchNorm": batch_norm,
    "Bias": bias,
    "Concat": shapes.concat,
    "Convolution": convolution,
    "ConvolutionDepthwise": convolution,
    "Deconvolution": deconvolution,
    "DepthwiseConvolution": convolution,
    "Dropout": nothing,
    "ELU": elu,
    "Eltwise": eltwise,
    "Flatten": shapes.flatten,
    "InnerProduct": inner_product,
    "LRN": lrn,
    "Normalize": normalize,
    "PReLU": prelu,
    "Permute": shapes.permute,
    "Pooling": pooling,
    "Power": power,
    "ReLU": relu,
    "Reshape": shapes.reshape,
    "Scale": scale,
    "Sigmoid": simple("Sigmoid"),
    "Slice": shapes.cut,
    "Softmax": softmax,
    "Split": nothing,
    "TanH": simple("Tanh"),
}
