"""How a node computes when its values are kept in another order of axes: what `move_transposes` may move through.

A value `v` in the other order is `v'` with v = Transpose(v', perm): axis a of v is axis perm[a] of v'.

>>> relu = ir.node("Softmax", [ir.Value(name="x", shape=ir.Shape([1, 3, 5, 2]))], attributes={"axis": 2})
>>> relu.outputs[0].shape = ir.Shape([1, 3, 5, 2])
>>> moved(relu, (0, 2, 3, 1)).attributes
{'axis': 3}
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from chipwise.optimize.rewrite import add_weights, constant, integer, integers, is_op, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

Perm = tuple[int, ...]

# One value of the first input makes one value of the output, whatever stands beside it.
_SINGLE = (
    "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Cast", "Ceil", "Celu", "Clip", "Cos",
    "Cosh", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN",
    "LeakyRelu", "Log", "Mish", "Neg", "Not", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign",
    "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh", "ThresholdedRelu",
)  # fmt: skip
# The same of several inputs that are broadcast.
_TOGETHER = (
    "Add", "And", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater",
    "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "PRelu", "Pow", "Sub",
    "Sum", "Where", "Xor",
)  # fmt: skip
REDUCTIONS = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
    "ReduceProd", "ReduceSum", "ReduceSumSquare",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Moved:
    """What changes in a node whose values are kept in the other order.

    Attributes:
        data: numbers of the inputs that are to be given in the other order.
        constants: new constants, by number of the input.
        attributes: new attributes.
    """

    data: tuple[int, ...]
    constants: dict[int, NDArray[Any]] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)


def inverse(perm: Perm) -> Perm:
    """The permutation that undoes one."""
    return tuple(int(axis) for axis in np.argsort(perm))


def moves_nothing(value: ir.Value, perm: Perm) -> bool:
    """True when a permutation of a value's axes moves only axes of size 1, so that its values stay in their order."""
    shape = shape_of(value)
    if shape is None or len(shape) != len(perm):
        return False
    kept = [axis for axis in perm if shape[axis] != 1]
    return kept == sorted(kept)


def moved(node: ir.Node, perm: Perm) -> Moved | None:
    """How a node works in the other order; None when it cannot, or would be slower in it."""
    rule = _RULES.get(node.op_type) if is_op(node, node.op_type) else None
    known = all(value.shape is not None and len(value.shape) == len(perm) for value in node.outputs)
    return rule(node, perm) if rule is not None and known else None


def turn(graph: ir.Graph, node: ir.Node, change: Moved) -> None:
    """Make a node work in the other order; its data inputs are the caller's to change."""
    for index, array in change.constants.items():
        if index >= len(node.inputs):
            node.resize_inputs(index + 1)
        node.replace_input_with(index, add_weights(graph, array, "turned"))
    for name, value in change.attributes.items():
        node.attributes.add(ir.convenience.convert_attribute(name, value))


def _data(node: ir.Node, indices: Iterable[int], perm: Perm) -> Moved | None:
    """Inputs that follow the order: constants are turned now; what has one value only stays."""
    data, constants = [], {}
    for index in indices:
        value = node.inputs[index]
        shape = shape_of(value)
        array = constant(value)
        if value is None or (array is not None and array.size == 1 and array.ndim <= len(perm)):
            continue
        if array is not None and array.ndim <= len(perm):
            full = array.reshape((1,) * (len(perm) - array.ndim) + array.shape)
            constants[index] = full.transpose(inverse(perm))
        elif array is None and shape is not None and len(shape) == len(perm):
            data.append(index)
        elif shape is None or len(shape) > len(perm) or any(size != 1 for size in shape):
            return None
    return Moved(tuple(data), constants)


def _single(node: ir.Node, perm: Perm) -> Moved | None:
    return _data(node, (0,), perm)


def _together(node: ir.Node, perm: Perm) -> Moved | None:
    if "axis" in node.attributes or "broadcast" in node.attributes:  # before operator set 7
        return None
    return _data(node, range(len(node.inputs)), perm)


def _concat(node: ir.Node, perm: Perm) -> Moved | None:
    change = _data(node, range(len(node.inputs)), perm)
    axis = integer(node, "axis", 1) % len(perm)
    return None if change is None else Moved(change.data, change.constants, {"axis": perm[axis]})


def _split(node: ir.Node, perm: Perm) -> Moved | None:
    return Moved((0,), attributes={"axis": perm[integer(node, "axis", 0) % len(perm)]})


def _pad(node: ir.Node, perm: Perm) -> Moved | None:
    if "pads" in node.attributes:
        return Moved((0,), attributes={"pads": _turned_pads(integers(node, "pads", ()), perm)})
    if len(node.inputs) > 3 and node.inputs[3] is not None:
        axes = constant(node.inputs[3])
        return None if axes is None else Moved((0,), {3: _turned_axes(axes, perm)})
    pads = constant(node.inputs[1])
    if pads is None or pads.size != 2 * len(perm):
        return None
    return Moved((0,), {1: np.array(_turned_pads(pads.tolist(), perm), pads.dtype)})


def _turned_pads(pads: Iterable[int], perm: Perm) -> list[int]:
    both = np.array(list(pads)).reshape(2, -1)
    return [int(pad) for pad in both[:, list(inverse(perm))].ravel()]


def _turned_axes(axes: NDArray[Any], perm: Perm) -> NDArray[Any]:
    return np.array([perm[int(axis) % len(perm)] for axis in axes.ravel()], axes.dtype)


def _slice(node: ir.Node, perm: Perm) -> Moved | None:
    if "starts" in node.attributes:
        starts = integers(node, "starts", ())
        axes = integers(node, "axes", tuple(range(len(starts))))
        return Moved((0,), attributes={"axes": [perm[axis % len(perm)] for axis in axes]})
    if len(node.inputs) > 3 and node.inputs[3] is not None:
        given = constant(node.inputs[3])
        return None if given is None else Moved((0,), {3: _turned_axes(given, perm)})
    begin = constant(node.inputs[1])
    return None if begin is None else Moved((0,), {3: _turned_axes(np.arange(begin.size), perm)})


def reduced_axes(node: ir.Node, rank: int) -> tuple[int, ...] | None:
    """Axes that a reduction sums over, from 0; None where they are not constant."""
    if len(node.inputs) > 1 and node.inputs[1] is not None:
        array = constant(node.inputs[1])
        axes = None if array is None else tuple(int(axis) for axis in array.ravel())
    else:
        axes = integers(node, "axes", ())
    if axes == ():
        axes = () if integer(node, "noop_with_empty_axes", 0) else tuple(range(rank))
    return None if axes is None else tuple(axis % rank for axis in axes)


def turned_reduction(node: ir.Node, axes: tuple[int, ...]) -> Moved:
    """A reduction over other axes."""
    if len(node.inputs) > 1 and node.inputs[1] is not None:
        return Moved((0,), {1: np.array(axes, np.int64)})
    return Moved((0,), attributes={"axes": list(axes)} if axes and "axes" in node.attributes else {})


def _reduce(node: ir.Node, perm: Perm) -> Moved | None:
    axes = reduced_axes(node, len(perm))
    if axes is None or not integer(node, "keepdims", 1) or not _stays_fast(axes, perm):
        return None
    return turned_reduction(node, tuple(perm[axis] for axis in axes))


def _softmax(node: ir.Node, perm: Perm) -> Moved | None:
    version = node.graph.opset_imports.get("", 0) if node.graph is not None else 13
    axis = integer(node, "axis", -1) % len(perm)
    if version < 13 or not _stays_fast((axis,), perm):  # before, it was over all axes from this one on
        return None
    return Moved((0,), attributes={"axis": perm[axis]})


def _stays_fast(axes: tuple[int, ...], perm: Perm) -> bool:
    """False where a sum over neighbouring values becomes one over values far apart."""
    last = len(perm) - 1
    return last not in axes or any(perm[axis] == last for axis in axes)


def _quantize(node: ir.Node, perm: Perm) -> Moved | None:
    scale = shape_of(node.inputs[1])
    if scale is None or len(scale) > 1 or "block_size" in node.attributes:
        return None
    change = _data(node, (0,), perm)
    axis = perm[integer(node, "axis", 1) % len(perm)]
    if change is None or scale in ((), (1,)):  # one scale for all
        return change
    return Moved(change.data, change.constants, {"axis": axis})


_RULES: dict[str, Callable[[ir.Node, Perm], Moved | None]] = {
    **dict.fromkeys(_SINGLE, _single),
    **dict.fromkeys(_TOGETHER, _together),
    **dict.fromkeys(REDUCTIONS, _reduce),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _softmax),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), _quantize),
    "Concat": _concat,
    "Split": _split,
    "Pad": _pad,
    "Slice": _slice,
}
