"""Layers with constant weights that are linear in their first input, and their weights after a scale and a shift.

>>> weight = ir.Value(name="w", const_value=ir.tensor(np.ones((3, 2), np.float32)))
>>> layer = scalable(ir.node("MatMul", [ir.Value(name="x"), weight]))
>>> layer.takes, layer.gives, given(layer, np.float64(2.0), np.float64(0.0))[1].sum()
(3, 2, np.float32(12.0))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from chipwise.optimize.rewrite import floats, integer, is_op, number, pads_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Scalable:
    """A Conv, ConvTranspose, Gemm, MatMul (by a constant matrix) or BatchNormalization in inference.

    Attributes:
        node: the operator; its weights are its second input.
        takes: channels of its first input; gives: channels of its output.
        groups: of a convolution.
        rank: dimensions of both; None where any will do.
        place: the channels' axis, counted from the last one (0); None for a second axis of any rank.
        padded: zeros stand around the input, or output places are not all made of as many input places.
    """

    node: ir.Node
    takes: int
    gives: int
    groups: int
    rank: int | None
    place: int | None
    padded: bool


def scalable(node: ir.Node | None) -> Scalable | None:
    """A node as a layer; None for any other, and where a weight is no constant or not float32 or float64."""
    known = node is not None and is_op(node, "Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization")
    shape = _weight_shape(node) if known and node is not None else None
    if node is None or shape is None:
        return None
    if is_op(node, "Conv", "ConvTranspose"):
        return _convolution(node, shape)
    if is_op(node, "BatchNormalization"):
        fine = len(shape) == 1 and len(node.inputs) == 5 and _is_inference(node)
        return Scalable(node, shape[0], shape[0], 1, None, None, False) if fine else None
    return _product(node, shape) if len(shape) == 2 else None


def given(layer: Scalable, scale: NDArray[np.float64], shift: NDArray[np.float64]) -> dict[int, NDArray[Any]]:
    """New constants, by input, after which the output is `scale` times what it was, plus `shift`.

    Args:
        layer: as it is.
        scale: a number, or one for each output channel.
        shift: likewise.
    """
    weight, bias = _constants(layer)
    arrays = {}
    if (scale != 1).any():
        arrays[1] = weight * _along(layer, scale, weight, outputs=True).astype(weight.dtype)
    if bias is not None or shift.any():
        moved = (0.0 if bias is None else bias * scale) + shift
        arrays[2] = np.asarray(np.broadcast_to(moved, np.broadcast_shapes(moved.shape, (layer.gives,))), weight.dtype)
    return arrays


def taken(layer: Scalable, scale: NDArray[np.float64], shift: NDArray[np.float64]) -> dict[int, NDArray[Any]]:
    """New constants, by input, after which the layer may read x instead of `x * scale + shift`."""
    weight, bias = _constants(layer)
    if is_op(layer.node, "BatchNormalization"):
        factor, offset = norm_of(layer.node)
        mean = floats(layer.node.inputs[3])
        moved = offset + factor * shift + (0 if mean is None else mean) * factor * scale
        return {1: (weight * scale).astype(weight.dtype), 2: moved.astype(weight.dtype)}
    arrays = {}
    if (scale != 1).any():
        arrays[1] = weight * _along(layer, scale, weight, outputs=False).astype(weight.dtype)
    if shift.any():
        axis = 0 if is_op(layer.node, "MatMul") or (_is_gemm(layer) and not integer(layer.node, "transB", 0)) else 1
        axes = (axis,) if weight.ndim == 2 else tuple(range(1, weight.ndim))
        added = (weight * _along(layer, shift, weight, outputs=False)).sum(axis=axes)
        arrays[2] = np.asarray(added if bias is None else bias + added, weight.dtype)
    return arrays


def norm_of(node: ir.Node) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scale and shift per channel of a BatchNormalization in inference."""
    gamma, beta, mean, variance = (np.float64(array) for array in map(floats, node.inputs[1:5]) if array is not None)
    scale = gamma / np.sqrt(variance + number(node, "epsilon", 1e-5))
    return scale, beta - mean * scale


def _weight_shape(node: ir.Node) -> tuple[int, ...] | None:
    """Shape of the second input, where it and all after it are constants of one of the float types; reads no values."""
    given = [value for value in node.inputs[1:] if value is not None]
    if len(node.inputs) < 2 or node.inputs[0] is None or node.inputs[1] is None:
        return None
    tensors = [None if value.is_graph_input() else ir.convenience.get_const_tensor(value) for value in given]
    types = {None if tensor is None else tensor.dtype for tensor in tensors}
    if types not in ({ir.DataType.FLOAT}, {ir.DataType.DOUBLE}) or tensors[0] is None:
        return None
    return tuple(tensors[0].shape.numpy())


def _convolution(node: ir.Node, shape: tuple[int, ...]) -> Scalable | None:
    groups, dims = integer(node, "group", 1), len(shape) - 2
    if dims < 1 or groups < 1 or 0 in shape or shape[0] % groups:
        return None
    pads = pads_of(node, dims)
    if is_op(node, "ConvTranspose"):
        return Scalable(node, shape[0], shape[1] * groups, groups, dims + 2, dims, True)
    return Scalable(node, shape[1] * groups, shape[0], groups, dims + 2, dims, pads is None or any(pads))


def _product(node: ir.Node, shape: tuple[int, ...]) -> Scalable | None:
    if is_op(node, "MatMul"):
        return Scalable(node, shape[0], shape[1], 1, None, 0, False)
    plain = number(node, "alpha", 1.0) == 1 == number(node, "beta", 1.0) and not integer(node, "transA", 0)
    takes, gives = shape[::-1] if integer(node, "transB", 0) else shape
    return Scalable(node, takes, gives, 1, 2, 0, False) if plain else None


def _is_inference(node: ir.Node) -> bool:
    """Not in training, one scale per channel, and nothing but its first output."""
    training = integer(node, "training_mode", 0) or "is_test" in node.attributes  # opset 14; before 7
    return not training and integer(node, "spatial", 1) == 1 and len(node.outputs) == 1


def _is_gemm(layer: Scalable) -> bool:
    return is_op(layer.node, "Gemm")


def _constants(layer: Scalable) -> tuple[NDArray[Any], NDArray[Any] | None]:
    weight = floats(layer.node.inputs[1])
    assert weight is not None, "a layer has constant weights"
    return weight, floats(layer.node.inputs[2]) if len(layer.node.inputs) > 2 else None


def _along(layer: Scalable, vector: NDArray[Any], weight: NDArray[Any], *, outputs: bool) -> NDArray[Any]:
    """Numbers per input or output channel in a shape that broadcasts with the weights."""
    if not vector.ndim:
        return vector
    around = (1,) * (weight.ndim - 2)
    if is_op(layer.node, "BatchNormalization"):
        return vector
    if is_op(layer.node, "Conv", "ConvTranspose"):
        per_weight = outputs == is_op(layer.node, "Conv")  # the axis that the groups are not taken out of
        if per_weight:
            return vector.reshape(-1, 1, *around)
        rows = np.repeat(vector.reshape(layer.groups, -1), len(weight) // layer.groups, axis=0)
        return rows.reshape(len(weight), -1, *around)
    turned = _is_gemm(layer) and integer(layer.node, "transB", 0)
    return vector.reshape((-1, 1) if outputs == bool(turned) else (1, -1))
