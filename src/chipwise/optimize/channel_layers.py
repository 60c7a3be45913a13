"""Convolutions and matrix products as what they are for their channels: which output reads which input.

Seen as weights [groups, outputs, inputs, places], a convolution, a transposed one and a matrix product are alike.

>>> import onnx_ir as ir
>>> import numpy as np
>>> node = ir.node("Gemm", [ir.Value(), None])
>>> weights = np.arange(6.0).reshape(2, 3)  # [inputs, outputs]
>>> arranged(node, weights, 1).shape
(1, 3, 2, 1)
>>> np.array_equal(as_stored(node, arranged(node, weights, 1), ()), weights)
True
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise.optimize.channel_slices import Slices, Tracing, Weight, spread
from chipwise.optimize.rewrite import floats, integer, is_op, number, pads_of, shape_of, weight_axes

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass(frozen=True, slots=True)
class Layer:
    """A node with weights that makes new channels out of its input's.

    Attributes:
        node: a Conv, ConvTranspose, Gemm or MatMul with constant float weights.
        weights: [groups, outputs, inputs, places], outputs and inputs counted in a group.
        bias: one for each output, all groups in order; None where there is none.
        sources: numbers of all input channels; constant: what is known of their values, NaN where they vary.
        targets: numbers of all output channels.
        reads: [groups, outputs, inputs], True where an output depends on an input.
        carriers: for each input channel, the one that stands for it where its constant cannot go into the bias, since
            the padding around it is zero; itself for all others.
    """

    node: ir.Node
    weights: NDArray[Any]
    bias: NDArray[Any] | None
    sources: NDArray[np.int64]
    constant: NDArray[np.float64]
    targets: NDArray[np.int64]
    reads: NDArray[np.bool_]
    carriers: NDArray[np.int64]


def trace_layer(node: ir.Node, tracing: Tracing) -> Layer | None:
    """Follow a node with weights, and note them; None where it is not understood."""
    stored = floats(node.inputs[1]) if len(node.inputs) > 1 else None
    if stored is None:
        return None
    rank = len(shape_of(node.inputs[0]) or ()) or (0 if is_op(node, "MatMul") else stored.ndim)
    if not _plain(node, stored, rank):
        return None
    groups = integer(node, "group", 1)
    weights = arranged(node, stored, groups)
    outputs, inputs = (groups * size for size in weights.shape[1:3])
    bias = None
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        added = floats(node.inputs[2])
        if added is None or added.size not in (1, outputs) or (added.size > 1 and added.shape[-1] != outputs):
            return None
        bias = np.broadcast_to(added.reshape(-1), outputs)
    axis = rank - 1 if node.op_type == "MatMul" else 1
    source = tracing.along(node.inputs[0], axis, inputs)
    reads, carriers = _reads(weights, source.constant, _has_border(node, stored))
    targets = tracing.numbers.fresh(outputs)
    layer = Layer(node, weights, bias, source.ids, source.constant, targets, reads, carriers)
    made = _constant_outputs(layer)
    tracing.slices[node.outputs[0]] = Slices(spread(targets, rank, axis), spread(made, rank, axis))
    _note_weights(layer, stored, tracing)
    return layer


def arranged(node: ir.Node, stored: NDArray[Any], groups: int) -> NDArray[Any]:
    """Weights as [groups, outputs, inputs, places]; a view where that is possible."""
    if is_op(node, "Conv"):
        return stored.reshape(groups, stored.shape[0] // groups, stored.shape[1], -1)
    if is_op(node, "ConvTranspose"):
        return stored.reshape(groups, stored.shape[0] // groups, stored.shape[1], -1).swapaxes(1, 2)
    turned = stored if integer(node, "transB", 0) else stored.T
    return turned[None, :, :, None]


def as_stored(node: ir.Node, weights: NDArray[Any], places: tuple[int, ...]) -> NDArray[Any]:
    """The inverse of `arranged`; `places` is the kernel's shape."""
    groups, outputs, inputs, _ = weights.shape
    if is_op(node, "Conv"):
        return weights.reshape(groups * outputs, inputs, *places)
    if is_op(node, "ConvTranspose"):
        return weights.swapaxes(1, 2).reshape(groups * inputs, outputs, *places)
    turned = weights[0, :, :, 0]
    return turned if integer(node, "transB", 0) else turned.T


def moved(layer: Layer, gone: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Put what constant inputs that go contribute elsewhere.

    Args:
        layer: keeps its weights.
        gone: one for each input channel.

    Returns:
        weights whose carriers stand for the inputs that go, and what to add to the bias, one for each output.
    """
    known = gone & ~np.isnan(layer.constant) & (layer.constant != 0)
    carried = np.flatnonzero(known & (layer.carriers != np.arange(len(gone))))
    weights = layer.weights
    if carried.size:  # in one group only
        weights = weights.astype(np.float64)
        for channel in carried:
            ratio = layer.constant[channel] / layer.constant[layer.carriers[channel]]
            weights[0, :, layer.carriers[channel]] += weights[0, :, channel] * ratio
        known[carried] = False
    return weights, _sums(weights, np.where(known, layer.constant, 0.0))


def _plain(node: ir.Node, stored: NDArray[Any], rank: int) -> bool:
    """True for shapes and attributes in which the arrangement above is right."""
    if node.op_type in ("Gemm", "MatMul"):
        neutral = number(node, "alpha", 1.0) == 1 and number(node, "beta", 1.0) == 1 and not integer(node, "transA", 0)
        return stored.ndim == 2 and neutral and (rank == 2 if node.op_type == "Gemm" else rank > 1)
    groups = integer(node, "group", 1)
    return stored.ndim == rank > 2 and groups > 0 and stored.shape[0] % groups == 0 and stored.size > 0


def _has_border(node: ir.Node, stored: NDArray[Any]) -> bool:
    """True where not every output sees every weight: then a constant input is no constant summand."""
    if node.op_type in ("Gemm", "MatMul"):
        return False
    pads = pads_of(node, stored.ndim - 2)
    return node.op_type == "ConvTranspose" or pads is None or any(pads)


def _reads(
    weights: NDArray[Any], constant: NDArray[np.float64], border: bool
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which output depends on which input once all constants are folded that can be; and the inputs' carriers."""
    groups, _, inputs, _ = weights.shape
    reads = weights[..., 0] != 0 if weights.shape[3] == 1 else (weights != 0).any(axis=3)
    carriers = np.arange(groups * inputs)
    known = np.isfinite(constant)
    foldable = known & (constant == 0) if border else known
    if foldable.any():
        reads &= ~foldable.reshape(groups, 1, inputs)
    if border and groups == 1:
        _share_carrier(weights, constant, np.flatnonzero(known & ~foldable), reads, carriers)
    return (np.broadcast_to(np.True_, reads.shape) if reads.all() else reads), carriers


def _share_carrier(
    weights: NDArray[Any],
    constant: NDArray[np.float64],
    which: NDArray[np.int64],
    reads: NDArray[np.bool_],
    carriers: NDArray[np.int64],
) -> None:
    """Let one constant channel stand for all of them, border and all: x_i = c_i / c_k x_k everywhere.

    In double precision only where nothing is rounded, so that who asks for every bit gets it.
    """
    if which.size < 2:
        return
    carrier = which[np.argmax(np.abs(constant[which]))]
    ratio = constant[which] / constant[carrier]
    exact = np.frexp(np.abs(ratio))[0] == 0.5
    taken = which[exact | (which == carrier)] if weights.dtype == np.float64 else which
    reads[0, :, carrier] = reads[0][:, taken].any(axis=1)
    reads[0][:, taken[taken != carrier]] = False
    carriers[taken] = carrier


def _sums(weights: NDArray[Any], constant: NDArray[np.float64]) -> NDArray[np.float64]:
    """What constant inputs add to each output where the whole kernel sees them."""
    groups, outputs, inputs, _ = weights.shape
    used = np.flatnonzero(constant)
    if not used.size:
        return np.zeros(groups * outputs)
    if groups == 1:
        return np.asarray(weights[0][:, used].sum(axis=2, dtype=np.float64) @ constant[used])
    sums = weights.sum(axis=3, dtype=np.float64)
    return np.asarray((sums @ constant.reshape(groups, inputs, 1)).reshape(-1))


def _constant_outputs(layer: Layer) -> NDArray[np.float64]:
    """The value of each output that depends on no input; NaN for the others."""
    moving = layer.reads.any(axis=2).reshape(-1)
    if moving.all():
        return np.full(len(moving), np.nan)
    _, sums = moved(layer, np.ones(len(layer.sources), bool))
    return np.where(moving, np.nan, sums + (0.0 if layer.bias is None else layer.bias))


def _note_weights(layer: Layer, stored: NDArray[Any], tracing: Tracing) -> None:
    """The axes of weights and bias that belong to channels, where each place belongs to one."""
    node, groups = layer.node, layer.weights.shape[0]
    written, read = weight_axes(node, stored.ndim)
    if groups == 1 or node.op_type == "Conv":
        tracing.weights.append(Weight(node, 1, written, layer.targets, written=True))
    if groups == 1 or node.op_type == "ConvTranspose":
        tracing.weights.append(Weight(node, 1, read, layer.sources, written=False))
    if layer.bias is not None:
        tracing.weights.append(Weight(node, 2, -1, layer.targets, written=True))
