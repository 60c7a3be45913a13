"""Split convolutions whose kernels are products into two smaller ones.

    depthwise Conv 5x5, each kernel u v^T      =>  depthwise Conv 5x1 -> depthwise Conv 1x5
    Conv 3x3, one kernel for each input        =>  depthwise Conv 3x3 -> Conv 1x1
    Conv 3x3, one kernel for each output       =>  Conv 1x1 -> depthwise Conv 3x3
    Conv kxk of vertical, then horizontal taps =>  Conv kx1 -> Conv 1xk through fewer channels

Blurs, derivatives and interpolations are such products, as are layers that were built from factors (Jin et al. 2015,
"Flattened convolutional neural networks"; Rigamonti et al. 2013, "Learning separable filters"). They are split only
where the product is the kernel up to rounding and the two take fewer multiply-adds. Runtimes are better at large
kernels than at many small ones, so that it is to be measured whether this is faster.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from chipwise.optimize.linear_layers import Form, Layer, read_layer, write
from chipwise.optimize.rewrite import shape_of, swap

if TYPE_CHECKING:
    from numpy.typing import NDArray

LABEL = "close"
_ROUNDINGS = 16  # a product may miss the largest weight by so many roundings
_WIDEST = 4096  # rows of a matrix that is factorised


@dataclass(frozen=True, slots=True)
class Split:
    """Two layers for one.

    Attributes:
        first: layer; second: layer.
        between: height and width of the image between them.
        multiply_adds: of both for one item, or for one position where their number is not known.
    """

    first: Layer
    second: Layer
    between: tuple[int, int]
    multiply_adds: int


def apply(model: ir.Model) -> str:
    """Split kernels in place; halves are split further where that saves again."""
    left, count = list(model.graph), 0
    while left:
        node = left.pop()
        layer = read_layer(node)
        if layer is None or layer.form.op != "Conv" or len(layer.form.kernel) != 2 or layer.form.kernel == (1, 1):
            continue
        sizes = _sizes(node, layer.form)
        if sizes is None or not np.isfinite(layer.weights).all():
            continue
        own = _work(layer.form, sizes[1])
        splits = [split for split in _splits(layer, *sizes) if split.multiply_adds < own]
        made = _replace(model.graph, node, min(splits, key=lambda each: each.multiply_adds)) if splits else []
        left += made
        count += bool(made)
    return f"split {count} kernel{'s' if count != 1 else ''} into factors" if count else ""


def _sizes(node: ir.Node, form: Form) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Height and width before and behind a layer, all 1 where they are surely equal but not known."""
    shapes = [shape_of(value) for value in (node.inputs[0], node.outputs[0])]
    known = [dim for shape in shapes if shape is not None and len(shape) == 4 for dim in shape[2:] if dim is not None]
    if len(known) == 4:
        return (known[0], known[1]), (known[2], known[3])
    same = all(form.pads[axis] + form.pads[axis + 2] == form.extent[axis] - 1 for axis in range(2))
    return ((1, 1), (1, 1)) if same and set(form.strides) == {1} else None


def _work(form: Form, size: tuple[int, int]) -> int:
    return replace(form, positions=math.prod(size)).multiply_adds


def _splits(layer: Layer, before: tuple[int, int], behind: tuple[int, int]) -> list[Split]:
    """All the ways in which the layer is two, whatever they cost."""
    found = [_by_input(layer), _by_output(layer), *((_by_axis(layer),) if min(layer.form.kernel) > 1 else ())]
    made = []
    for pair, between in zip(found, (behind, before, (behind[0], before[1])), strict=False):
        if pair is not None:
            work = _work(pair[0].form, between) + _work(pair[1].form, behind)
            made.append(Split(pair[0], pair[1], between, work))
    return made


def _by_input(layer: Layer) -> tuple[Layer, Layer] | None:
    """One kernel for each input channel, then a mixture of channels."""
    form, weights = layer.form, layer.weights
    taps = math.prod(form.kernel)
    tall = weights.reshape(form.groups, -1, weights.shape[1], taps).swapaxes(1, 2)  # group, input, output, taps
    factors = _factors(tall.reshape(form.inputs, -1, taps))
    if factors is None:
        return None
    mixture, kernels = factors
    mixed = mixture.reshape(form.groups, weights.shape[1], -1).swapaxes(1, 2).reshape(form.outputs, -1, 1, 1)
    first = replace(form, outputs=form.inputs, groups=form.inputs, biased=False)
    return Layer(first, kernels.reshape(form.inputs, 1, *form.kernel), None), Layer(_point(form), mixed, layer.bias)


def _by_output(layer: Layer) -> tuple[Layer, Layer] | None:
    """A mixture of channels, then one kernel for each output channel."""
    form = layer.form
    factors = _factors(layer.weights.reshape(form.outputs, -1, math.prod(form.kernel)))
    if factors is None:
        return None
    mixture, kernels = factors
    second = replace(form, inputs=form.outputs, groups=form.outputs)
    mixed = Layer(replace(_point(form), biased=False), mixture.reshape(*mixture.shape, 1, 1), None)
    return mixed, Layer(second, kernels.reshape(form.outputs, 1, *form.kernel), layer.bias)


def _by_axis(layer: Layer) -> tuple[Layer, Layer] | None:
    """Vertical kernels, then horizontal ones, through as few channels as there are products."""
    form, weights = layer.form, layer.weights
    (high, wide), dtype = form.kernel, weights.dtype
    if weights.shape[1] == 1:
        factors = _factors(weights.reshape(form.outputs, high, wide))
        if factors is None:
            return None
        up, across, middle = factors[0].reshape(-1, 1, high, 1), factors[1].reshape(-1, 1, 1, wide), form.outputs
        groups = middle
    elif form.groups == 1:
        most = form.outputs * form.inputs * high * wide // (form.inputs * high + form.outputs * wide)
        matrix = weights.transpose(0, 3, 1, 2).reshape(form.outputs * wide, form.inputs * high)  # (o, w), (i, h)
        parts = _low_rank(matrix, most)
        if parts is None:
            return None
        left, right = parts
        middle, groups = right.shape[0], 1
        up = right.reshape(middle, form.inputs, high, 1).astype(dtype)
        across = left.reshape(form.outputs, wide, 1, middle).transpose(0, 3, 2, 1).astype(dtype)
    else:
        return None
    (stride, step), (gap, space), (top, start, bottom, end) = form.strides, form.dilations, form.pads
    first = replace(form, outputs=middle, kernel=(high, 1), strides=(stride, 1), dilations=(gap, 1), biased=False)
    second = replace(form, inputs=middle, groups=groups, kernel=(1, wide), strides=(1, step), dilations=(1, space))
    vertical = Layer(replace(first, pads=(top, 0, bottom, 0)), up, None)
    return vertical, Layer(replace(second, pads=(0, start, 0, end)), across, layer.bias)


def _point(form: Form) -> Form:
    """The same channels and groups, one position at a time."""
    return replace(form, kernel=(1, 1), strides=(1, 1), dilations=(1, 1), pads=(0, 0, 0, 0))


def _factors(stack: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Columns [n, a] and rows [n, b] whose products are the matrices [n, a, b]; None where they are no products."""
    flat = np.abs(stack).reshape(len(stack), -1)
    row, column = np.unravel_index(flat.argmax(1), stack.shape[1:])
    each = np.arange(len(stack))
    pivot = stack[each, row, column].astype(np.float64)
    columns = stack[each, :, column].astype(np.float64)
    rows = stack[each, row].astype(np.float64) / np.where(pivot == 0, 1, pivot)[:, None]
    columns, rows = columns.astype(stack.dtype), rows.astype(stack.dtype)
    allowed = _ROUNDINGS * float(np.finfo(stack.dtype).eps) * flat.max(1)
    missed = np.abs(columns[:, :, None] * rows[:, None] - stack).reshape(len(stack), -1).max(1)
    return (columns, rows) if (missed <= allowed).all() else None


def _low_rank(matrix: NDArray[Any], most: int) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Two factors of a matrix of lower rank than `most`; None where it has none that are exact up to rounding."""
    if most < 1 or most >= min(matrix.shape) or max(matrix.shape) > _WIDEST:
        return None
    exact = matrix.astype(np.float64)
    allowed = _ROUNDINGS * float(np.finfo(matrix.dtype).eps) * float(np.abs(matrix).max())
    # A sketch of random columns spans a matrix of low rank; where it does not, there is nothing to find.
    sketch = np.linalg.qr(exact @ np.random.default_rng(0).normal(size=(matrix.shape[1], most)))[0]
    seen = sketch.T @ exact
    if np.abs(sketch @ seen - exact).max() > allowed:
        return None
    columns: list[NDArray[np.float64]] = []
    rows: list[NDArray[np.float64]] = []
    left = exact.copy()
    for _ in range(most):  # eliminate by the largest, which keeps what is exact in float64 exact where it can be
        row, column = np.unravel_index(np.abs(left).argmax(), left.shape)
        if abs(left[row, column]) <= allowed / 2:
            break
        columns.append(left[:, column].copy())
        rows.append(left[row] / left[row, column])
        left -= np.outer(columns[-1], rows[-1])
    if not columns or np.abs(left).max() > allowed:
        return None
    return np.stack(columns, 1), np.stack(rows)


def _replace(graph: ir.Graph, node: ir.Node, split: Split) -> list[ir.Node]:
    """Put both layers in the place of one; the new nodes, none where the weights leave the range of their type."""
    x = node.inputs[0]
    assert x is not None, "read as a layer"
    first = write(graph, split.first, x, node)
    second = write(graph, split.second, first[0].outputs[0], node) if first else []
    if not second:
        return []
    first[0].outputs[0].type = x.type
    if x.shape is not None and split.between != (1, 1):
        first[0].outputs[0].shape = ir.Shape([x.shape[0], split.first.form.outputs, *split.between])
    swap(graph, node, [node], [*first, *second])
    return [*first, *second]
