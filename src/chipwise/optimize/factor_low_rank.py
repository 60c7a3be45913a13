"""Approximate layers by two or three thinner ones that keep a share of the energy of their weights.

    Gemm, MatMul [m, n]        =>  [m, r], [r, n]                                  truncated SVD
    Conv k x k (m -> n)        =>  k x k (m -> r), 1 x 1 (r -> n)                  SVD over output channels
                               =>  1 x 1 (m -> r), k x k (r -> n)                  SVD over input channels
                               =>  k x 1 (m -> r), 1 x k (r -> n)                  Jaderberg et al. 2014, scheme 2
                               =>  1 x 1 (m -> r), k x k (r -> s), 1 x 1 (s -> n)  Tucker-2: Kim et al. 2016

Of those, the one with the fewest multiply-adds, and only where it at least halves them. The energy is the sum of
squares of the weights; nothing is known of accuracy here, that is for a guard to judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from chipwise.core.errors import InputError
from chipwise.optimize.low_rank import matrix_of, put_factors, thin_factors
from chipwise.optimize.rewrite import add_weights, floats, integers, pads_of, shape_of, swap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

LABEL = "lossy"
_MIN_WIDTH = 16  # inputs and outputs of a layer that is worth two calls
_SAVED = 0.5


@dataclass(frozen=True, slots=True)
class Step:
    """A convolution of a row.

    Attributes:
        weights: [outputs, inputs, height, width].
        strides: of both axes; pads: begin of both, then end of both; dilations: of both axes.
    """

    weights: NDArray[Any]
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)


def apply(model: ir.Model, energy: float = 0.99) -> str:
    """Factor in place.

    Args:
        model: is changed.
        energy: the share of the sum of squares of each layer's weights to keep, more than 0 and at most 1.

    Raises:
        InputError: when the energy is not such a share.
    """
    if not 0 < energy <= 1:
        raise InputError(f"{energy} is no share of energy to keep", hint="give more than 0 and at most 1, as 0.99")
    done = sum(_factor(model.graph, node, energy) for node in list(model.graph))
    layers = f"{done} layer{'s' if done != 1 else ''}"
    return f"factored {layers}, keeping {energy:.4g} of the energy of the weights" if done else ""


def _factor(graph: ir.Graph, node: ir.Node, energy: float) -> bool:
    matrix, kernel = matrix_of(node), shape_of(node.inputs[1]) if len(node.inputs) > 1 else None
    if matrix is None or kernel is None:
        return False
    inputs = kernel[1] if node.op_type == "Conv" else matrix.shape[0]
    if min(inputs or 0, matrix.shape[1]) < _MIN_WIDTH:
        return False
    if len(kernel) == 4 and matrix.shape[0] != inputs:
        return _factor_kernel(graph, node, energy)
    factors = thin_factors(matrix, int(_SAVED * matrix.size / sum(matrix.shape)), energy)
    if factors is None:
        return False
    put_factors(graph, node, *factors)
    return True


def _factor_kernel(graph: ir.Graph, node: ir.Node, energy: float) -> bool:
    """The cheapest of the ways to factor a convolution of two axes."""
    pads, strides = pads_of(node, 2), integers(node, "strides", (1, 1))
    weights = floats(node.inputs[1])
    if pads is None or weights is None:
        return False
    dilations = integers(node, "dilations", (1, 1))
    whole = Step(weights, strides, pads, dilations)  # type: ignore[arg-type]
    best = min(_ways(whole, energy), key=lambda way: _work(way, strides), default=None)
    if best is None or _work(best, strides) > _SAVED * weights.size:
        return False
    value, made = node.inputs[0], list[ir.Node]()
    for place, step in enumerate(best):
        attributes = {
            "kernel_shape": list(step.weights.shape[2:]),
            "strides": list(step.strides),
            "pads": list(step.pads),
            "dilations": list(step.dilations),
        }
        bias = list(node.inputs[2:]) if place == len(best) - 1 else []
        given = [value, add_weights(graph, step.weights.astype(weights.dtype), "factor"), *bias]
        made.append(ir.node("Conv", given, attributes=attributes))
        value = made[-1].outputs[0]
    swap(graph, node, [node], made)
    return True


def _work(way: tuple[Step, ...], strides: tuple[int, ...]) -> float:
    """Multiply-adds for one place of the output; what is done before a stride is done for more places."""
    places, work = float(np.prod(strides)), 0.0
    for step in way:
        places /= np.prod(step.strides)
        work += places * step.weights.size
    return work


def _ways(whole: Step, energy: float) -> Iterator[tuple[Step, ...]]:
    """Rows of convolutions that come near to one."""
    weights = whole.weights
    outputs, inputs, height, width = weights.shape
    behind = _thin(weights.reshape(outputs, -1), energy)
    if behind is not None:
        left, right = behind
        first = right.reshape(-1, inputs, height, width)
        yield Step(first, whole.strides, whole.pads, whole.dilations), Step(left[:, :, None, None])
    before = _thin(weights.transpose(1, 0, 2, 3).reshape(inputs, -1), energy)
    if before is not None:
        left, right = before
        second = right.reshape(-1, outputs, height, width).transpose(1, 0, 2, 3)
        yield Step(left.T[:, :, None, None]), Step(second, whole.strides, whole.pads, whole.dilations)
    if min(height, width) > 1:
        yield from _separable(whole, energy)
    yield from _tucker(whole, energy)


def _separable(whole: Step, energy: float) -> Iterator[tuple[Step, ...]]:
    outputs, inputs, height, width = whole.weights.shape
    thin = _thin(whole.weights.transpose(1, 2, 0, 3).reshape(inputs * height, outputs * width), energy)
    if thin is None:
        return
    left, right = thin
    top, start, bottom, end = whole.pads
    tall = left.reshape(inputs, height, -1, 1).transpose(2, 0, 1, 3)
    wide = right.reshape(-1, outputs, 1, width).transpose(1, 0, 2, 3)
    yield (
        Step(tall, (whole.strides[0], 1), (top, 0, bottom, 0), (whole.dilations[0], 1)),
        Step(wide, (1, whole.strides[1]), (0, start, 0, end), (1, whole.dilations[1])),
    )


def _tucker(whole: Step, energy: float) -> Iterator[tuple[Step, ...]]:
    """Both sides' subspaces at once; each may lose half of what is to go, so that together they lose no more."""
    outputs, inputs = whole.weights.shape[:2]
    each = (1 + energy) / 2
    behind = _thin(whole.weights.reshape(outputs, -1), each)
    before = _thin(whole.weights.transpose(1, 0, 2, 3).reshape(inputs, -1), each)
    if behind is None or before is None:
        return
    out_basis, in_basis = (np.linalg.qr(left)[0] for left in (behind[0], before[0]))
    core = np.einsum("oihw,or,is->rshw", whole.weights, out_basis, in_basis, optimize=True)
    yield (
        Step(in_basis.T[:, :, None, None]),
        Step(core, whole.strides, whole.pads, whole.dilations),
        Step(out_basis[:, :, None, None]),
    )


def _thin(matrix: NDArray[Any], energy: float) -> tuple[NDArray[Any], NDArray[Any]] | None:
    return thin_factors(matrix, min(matrix.shape) - 1, energy)
