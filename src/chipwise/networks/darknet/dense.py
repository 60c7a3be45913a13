"""Darknet's [connected] and [local], and the connected parts that recurrent layers are made of.

Source: src/connected_layer.c, src/local_layer.c, src/im2col.c, and src/parser.c load_connected_weights of
pjreddie/darknet: bias, matrix, then scale, mean and variance where there is batch-norm.

>>> from chipwise.networks.darknet.drawing import Drawing
>>> drawing = Drawing(0, 0)
>>> x = drawing.open("x", (4,))
>>> part = declare(drawing, "fc", 4, 2, normalized=False)
>>> apply(drawing, part, x.value, "linear").name
'000_fc'
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from chipwise.networks.darknet.activations import activate, activation_of
from chipwise.networks.darknet.cfg import Section
from chipwise.networks.darknet.convolution import norm_parameters, normalize, window_size
from chipwise.networks.darknet.drawing import Drawing, Flow

_LARGEST_LOCAL = 31
_MOST_GATHERED = 2**20


@dataclass(frozen=True, slots=True)
class Part:
    """The arrays of one matrix product: weight [outputs, inputs], and scale, mean, variance or nothing."""

    name: str
    outputs: int
    bias: ir.Value
    weight: ir.Value
    norm: tuple[ir.Value, ir.Value, ir.Value] | None


def declare(drawing: Drawing, name: str, inputs: int, outputs: int, *, normalized: bool) -> Part:
    """Take a part's arrays from the weights, in the file's order."""
    bias = drawing.parameter(f"{name}.bn.bias" if normalized else f"{name}.bias", (outputs,))
    weight = drawing.parameter(f"{name}.weight", (outputs, inputs), "normal", inputs, "old")
    return Part(name, outputs, bias, weight, norm_parameters(drawing, f"{name}.bn", outputs) if normalized else None)


def apply(drawing: Drawing, part: Part, value: ir.Value, activation: str) -> ir.Value:
    """Multiply [batch, inputs] with a part, and activate it."""
    shape = (part.outputs,)
    operands = [value, part.weight, *([] if part.norm else [part.bias])]
    result = drawing.node("Gemm", part.name, operands, shape, transB=1)
    if part.norm is not None:
        result = normalize(drawing, result, shape, part.bias, part.norm)
    return activate(drawing, result, shape, activation)


def connected(drawing: Drawing, section: Section, before: Flow) -> Flow:
    """Add a fully connected layer.

    Raises:
        NetworkError: when an option cannot be built.
    """
    section.refuse(("dontload", "dontloadscales"))
    outputs = section.integer("output", 1, least=1)
    activation = activation_of(section)
    part = declare(drawing, "connected", before.count, outputs, normalized=section.flag("batch_normalize"))
    return Flow(apply(drawing, part, drawing.flat(before), activation), (outputs, 1, 1), flat=True)


def local(drawing: Drawing, section: Section, before: Flow) -> Flow:
    """Add a convolution whose weights differ from place to place: a matrix product for each place.

    Raises:
        NetworkError: when an option cannot be built.
    """
    section.refuse(("dontload",))
    size = section.integer("size", 1, least=1, most=_LARGEST_LOCAL)
    stride, filters = section.integer("stride", 1, least=1), section.integer("filters", 1, least=1)
    padded = section.flag("pad")
    if padded and size % 2 == 0:
        raise section.error(f"pads a window of {size}: Darknet's sizes contradict each other there", "give an odd size")
    padding = size // 2 if padded else 0
    channels, height, width = before.shape
    rows, columns = (window_size(length, size, stride, padding) for length in (height, width))
    if min(rows, columns) < 1:
        raise section.error(f"has a window of {size} x {size} on {height} x {width}", "give a smaller one")
    places, taps = rows * columns, channels * size * size
    bias = drawing.parameter("local.bias", (filters, rows, columns))
    weight = drawing.parameter("local.weight", (places, filters, taps), "normal", taps)
    if places * size * size > _MOST_GATHERED:
        raise section.error(f"has {places} places with {size * size} pixels each", f"at most {_MOST_GATHERED} in all")
    patches = _patches(drawing, drawing.maps(before), before.shape, (size, stride, padding), (rows, columns))
    sums = drawing.node("MatMul", "local", [weight, patches], (places, filters, 1))
    turned = drawing.node("Transpose", "order", [sums], (filters, places, 1), perm=[0, 2, 1, 3])
    shape = (filters, rows, columns)
    value = drawing.node("Reshape", "maps", [turned, drawing.constant("shape", [0, *shape], np.int64)], shape)
    value = drawing.node("Add", "bias", [value, bias], shape)
    return Flow(activate(drawing, value, shape, activation_of(section)), shape)


def _patches(
    drawing: Drawing,
    value: ir.Value,
    shape: tuple[int, int, int],
    window: tuple[int, int, int],
    places: tuple[int, int],
) -> ir.Value:
    """What each place sees, [batch, places, channels * size * size, 1], as im2col_cpu orders it."""
    channels, height, width = shape
    size, stride, padding = window
    height, width = height + 2 * padding, width + 2 * padding
    if padding:
        pads = drawing.constant("pads", [0, 0, padding, padding] * 2, np.int64)
        value = drawing.node("Pad", "pad", [value, pads], (channels, height, width))
    pixels = drawing.constant("pixels", [0, channels, height * width], np.int64)
    value = drawing.node("Reshape", "pixels", [value, pixels], (channels, height * width))
    top, left = (np.arange(count) * stride for count in places)
    taps = np.arange(size)
    row = (top[:, None, None, None] + taps[:, None]) * width
    seen = (row + left[:, None, None] + taps).reshape(math.prod(places), size * size)
    value = drawing.node(
        "Gather", "patches", [value, drawing.constant("seen", seen, np.int64)], (channels, *seen.shape), axis=2
    )
    value = drawing.node("Transpose", "places", [value], (len(seen), channels, size * size), perm=[0, 2, 1, 3])
    columns = (len(seen), channels * size * size, 1)
    return drawing.node("Reshape", "columns", [value, drawing.constant("columns", [0, *columns], np.int64)], columns)
