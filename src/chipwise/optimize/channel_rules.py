"""What each operator without weights does to channels: hand them on, reorder them, join them, or stop.

Rules by name of the operator: given a node, its outputs' slices (None for an output that is not followed), or None
where it is not understood, and then all that it reads must stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx.reference
import onnx_ir as ir

from chipwise.optimize.channel_shapes import SHAPE_RULES
from chipwise.optimize.channel_slices import Slices, Tracing, Weight, spread
from chipwise.optimize.rewrite import constant, floats, integer, integers, number, shape_of, text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Made = Sequence[Slices | None] | None

_UNARY = (
    "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cast", "Ceil", "Celu", "Clip", "Cos", "Cosh", "Elu",
    "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Log", "Mish", "Neg",
    "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt",
    "Swish", "Tan", "Tanh", "ThresholdedRelu",
)  # fmt: skip
_BINARY = ("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean", "Pow", "PRelu")
_FLOATS = {ir.DataType.FLOAT: np.float32, ir.DataType.DOUBLE: np.float64}


def elementwise(node: ir.Node, tracing: Tracing) -> Made:
    """Each output value comes from the values at its place: partners' channels become one."""
    if tracing.opset < 7 and node.op_type in _BINARY:
        return None  # an attribute said how to broadcast
    fixed = [constant(value) for value in node.inputs]
    moving = [value for value, array in zip(node.inputs, fixed, strict=True) if value is not None and array is None]
    known = [tracing.of(value) for value in moving]
    if not known or any(each is None for each in known):
        return None
    rank = max(each.ids.ndim if each is not None else 0 for each in known)
    rank = max(rank, *(0 if array is None else array.ndim for array in fixed))
    partners = {value: _raised(each, rank) for value, each in zip(moving, known, strict=True) if each is not None}
    full = max((each.ids.shape for each in partners.values()), key=lambda shape: sum(size > 1 for size in shape))
    ids = _joined(partners, full, tracing)
    if ids is None:
        return None
    _note_operands(node, fixed, ids, tracing)
    arrays = [
        None if value is None else partners[value].constant if array is None else _by_slice(array, full)
        for value, array in zip(node.inputs, fixed, strict=True)
    ]
    return [Slices(ids, _computed(node, arrays, full, tracing.opset))]


def _raised(slices: Slices, rank: int) -> Slices:
    """With as many leading axes as broadcasting adds."""
    more = (1,) * (rank - slices.ids.ndim)
    return Slices(slices.ids.reshape(more + slices.ids.shape), slices.constant.reshape(more + slices.constant.shape))


def _joined(partners: dict[ir.Value, Slices], full: tuple[int, ...], tracing: Tracing) -> NDArray[np.int64] | None:
    """The ids of what several tensors of the same channels give; None where they are cut in different ways."""
    ids: NDArray[np.int64] = np.zeros(full, np.int64)
    first = True
    for each in partners.values():
        if each.ids.shape == full:
            if not first:
                tracing.numbers.join(ids, each.ids)
            ids, first = (each.ids if first else ids), False
        elif each.axes:
            return None
    for value, each in partners.items():
        if each.ids.shape != full:
            shape = shape_of(value)
            shape = None if shape is None else (1,) * (len(full) - len(shape)) + shape
            if shape is None or any(size > 1 and shape[axis] != 1 for axis, size in enumerate(full)):
                tracing.numbers.join(ids, 0)  # as many channels, which are not followed
    return ids


def _note_operands(
    node: ir.Node, fixed: Sequence[NDArray[Any] | None], ids: NDArray[np.int64], tracing: Tracing
) -> None:
    """Constants with a value for each channel lose those that go."""
    for index, array in enumerate(fixed):
        for axis, size in enumerate(() if array is None else array.shape):
            along = axis + ids.ndim - (0 if array is None else array.ndim)
            if size > 1 and ids.shape[along] > 1:
                tracing.weights.append(Weight(node, index, axis, np.moveaxis(ids, along, 0), written=True))


def _by_slice(array: NDArray[Any], full: tuple[int, ...]) -> NDArray[np.float64]:
    """A constant as one number for each slice; NaN where it has several in it."""
    if not array.ndim:
        return array.astype(np.float64)  # as limits of Clip must be
    if array.dtype not in _FLOATS.values():
        return np.full(full, np.nan)
    array = array.reshape((1,) * (len(full) - array.ndim) + array.shape)
    inside = tuple(axis for axis, size in enumerate(full) if size == 1)
    low, high = array.min(axis=inside, keepdims=True), array.max(axis=inside, keepdims=True)
    return np.where(low == high, low, np.nan).astype(np.float64)


def _computed(
    node: ir.Node, arrays: Sequence[NDArray[np.float64] | None], full: tuple[int, ...], opset: int
) -> NDArray[np.float64]:
    """What the node makes of slices that are known; 0 times anything is 0."""
    given = [array for array in arrays if array is not None]
    unknown = np.broadcast_to(np.isnan(given[0]), full)
    for array in given[1:]:
        unknown = unknown | np.isnan(array)
    result = np.full(full, np.nan)
    dtype = next((_FLOATS[v.dtype] for v in node.inputs if v is not None and v.dtype in _FLOATS), None)
    if dtype is not None and not unknown.all():
        result = np.where(unknown, np.nan, _evaluated(node, arrays, dtype, opset))
    if node.op_type == "Mul":
        result = np.where(np.broadcast_to((given[0] == 0) | (given[-1] == 0), full), 0.0, result)
    return np.where(np.isfinite(result), result, np.nan)


def _evaluated(
    node: ir.Node, arrays: Sequence[NDArray[np.float64] | None], dtype: type, opset: int
) -> NDArray[np.float64]:
    """Run the node on an array of slices; NaN where the evaluator does not know it."""
    proto = ir.serde.serialize_node(node)
    del proto.input[:]
    proto.domain, proto.output[0] = "", "made"
    proto.input.extend("" if array is None else f"i{index}" for index, array in enumerate(arrays))
    feeds: dict[str, Any] = {f"i{index}": np.asarray(a, dtype) for index, a in enumerate(arrays) if a is not None}
    declared = [onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), None)
                for name in feeds]  # fmt: skip
    graph = onnx.helper.make_graph([proto], "one", declared, [onnx.ValueInfoProto(name="made")])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    with np.errstate(all="ignore"):
        try:
            made = np.asarray(onnx.reference.ReferenceEvaluator(model).run(None, feeds)[0])  # type: ignore[index]
        except (RuntimeError, ValueError, TypeError, NotImplementedError, KeyError):
            return np.full((), np.nan)
    return made.astype(np.float64) if made.dtype in _FLOATS.values() else np.full((), np.nan)


def dropout(node: ir.Node, tracing: Tracing) -> Made:
    """Nothing in inference; a mask that is read, or training, stops it."""
    training = constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else np.zeros(1)
    if training is None or training.any() or any(value.uses() for value in node.outputs[1:]):
        return None
    return [tracing.of(node.inputs[0])]


def normalization(node: ir.Node, tracing: Tracing) -> Made:
    """Batch and instance normalization: each channel for itself."""
    arrays = [floats(value) for value in node.inputs[1:]]
    slices = tracing.of(node.inputs[0])
    odd = (
        integer(node, "training_mode", 0) or not integer(node, "spatial", 1) or any(v.uses() for v in node.outputs[1:])
    )
    if slices is None or odd or slices.ids.ndim < 2 or any(array is None for array in arrays) or len(arrays) < 2:
        return None
    scale, shift, *statistics = (np.asarray(array, np.float64) for array in arrays)
    source = tracing.along(node.inputs[0], 1, scale.size)
    made = np.where((scale == 0) | (not statistics and np.isfinite(source.constant)), shift, np.nan)
    if statistics:
        root = np.sqrt(statistics[1] + number(node, "epsilon", 1e-5))
        made = np.where(scale == 0, shift, (source.constant - statistics[0]) / root * scale + shift)
    for index in range(1, len(node.inputs)):
        tracing.weights.append(Weight(node, index, 0, source.ids, written=index < 3))
    rank = slices.ids.ndim
    return [Slices(spread(source.ids, rank, 1), spread(made, rank, 1))]


def pooling(node: ir.Node, tracing: Tracing) -> Made:
    """Windows over space: a constant stays one where the padding is not counted."""
    slices = tracing.of(node.inputs[0])
    if slices is None or any(value.uses() for value in node.outputs[1:]) or not set(slices.axes) <= {1}:
        return None
    keeps = node.op_type in ("MaxPool", "GlobalMaxPool", "GlobalAveragePool") or (
        node.op_type == "AveragePool"
        and (not integer(node, "count_include_pad", 0) or not (_pads(node) or integer(node, "ceil_mode", 0)))
    )
    return [slices if keeps else Slices(slices.ids, np.where(slices.constant == 0, 0.0, np.nan))]


def _pads(node: ir.Node) -> bool:
    return any(integers(node, "pads", ())) or text(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID")


def reduction(node: ir.Node, tracing: Tracing) -> Made:
    """Over axes that cut nothing apart."""
    slices = tracing.of(node.inputs[0])
    given = constant(node.inputs[1]) if len(node.inputs) > 1 and node.inputs[1] is not None else None
    unknown = len(node.inputs) > 1 and node.inputs[1] is not None and given is None
    if slices is None or unknown:
        return None
    rank = slices.ids.ndim
    named = given.reshape(-1).tolist() if given is not None else integers(node, "axes", ())
    axes = {int(axis) % rank for axis in named} if named else set(range(rank))
    if integer(node, "noop_with_empty_axes", 0) and not named:
        axes = set()
    if axes & set(slices.axes):
        return None
    keeps = node.op_type in ("ReduceMean", "ReduceMax", "ReduceMin")
    made = slices.constant if keeps else np.where(slices.constant == 0, 0.0, np.nan)
    if integer(node, "keepdims", 1):
        return [Slices(slices.ids, made)]
    gone = tuple(sorted(axes))
    return [Slices(slices.ids.squeeze(gone), made.squeeze(gone))]


RULES: dict[str, Callable[[ir.Node, Tracing], Made]] = {
    **dict.fromkeys((*_UNARY, *_BINARY), elementwise),
    "Dropout": dropout,
    **dict.fromkeys(("BatchNormalization", "InstanceNormalization"), normalization),
    **dict.fromkeys(
        ("MaxPool", "AveragePool", "LpPool", "GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool"), pooling
    ),
    **dict.fromkeys(("ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum", "ReduceL1", "ReduceL2"), reduction),
    **SHAPE_RULES,
}
