"""The integer reference: what a QDQ graph whose scales are powers of two gives, computed with integers only.

It reads the file that is shipped, not what made it, and answers with the last whole numbers. What they are compared
with is a runtime, whose kernels may use float32: as long as every sum stays below 2^24 float32 holds it as it is,
rounding is the same, and the two must agree to the last bit.

Averages are divided once, when they are rounded. Where the number of values is a power of two that is a shift; where
it is not, a runtime that multiplies by a rounded reciprocal may take the other neighbour of a value that lies halfway.

>>> from chipwise.compression.fixed_layout import lay_out
>>> from chipwise.compression.fixed_point import Fixed
>>> from chipwise.compression.qdq import Formats, written
>>> text = '<ir_version: 8, opset_import: ["": 18]> g (float[N, 2] x) => (float[N, 2] y) { y = Relu(x) }'
>>> form = Fixed(8, True, 4)
>>> model = written(lay_out(ir.from_onnx_text(text)), Formats({"x": form, "y": form}, {}), {})
>>> answers = integer_answers(model, np.array([[0.3, -1.0]], np.float32))
>>> {name: (number.whole.tolist(), int(number.radix)) for name, number in answers.numbers.items()}
{'y': ([[5, 0]], 4)}
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from chipwise.compression import integer_operators as whole
from chipwise.compression.fixed_layout import MOVES, TABLES
from chipwise.compression.integer_operators import NO_LIMITS, Mapped, Number
from chipwise.core.errors import NetworkError
from chipwise.optimize.rewrite import constant, is_op

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_OPERATORS: dict[str, Callable[[Sequence[Any], dict[str, Any]], Number]] = {
    "Conv": whole.convolve, "Gemm": whole.multiply_matrices, "MatMul": whole.multiply_matrices, "Add": whole.add,
    "Sub": whole.subtract, "Mul": whole.multiply, "Relu": whole.relu, "Clip": whole.clip, "Concat": whole.concat,
    "AveragePool": whole.average_pool, "GlobalAveragePool": whole.global_average, "ReduceMean": whole.mean,
    "MaxPool": whole.max_pool,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class IntegerAnswers:
    """What a QDQ graph gives in integers.

    Attributes:
        numbers: by the name of each value that is an output or that a float operator reads.
        largest: magnitude that no sum on the way can exceed, whatever the input is.
    """

    numbers: dict[str, Number]
    largest: int


def integer_answers(model: ir.Model, inputs: NDArray[np.float32]) -> IntegerAnswers:
    """Compute the last whole numbers of a QDQ graph.

    Args:
        model: with one input; every scale a power of two.
        inputs: [N, ...], float32; the only floats there are.

    Raises:
        NetworkError: a scale is no power of two, a sum could overflow, an operator without integer arithmetic stands
            before a QuantizeLinear (it is named), or nothing is integers.
    """
    values: dict[str, Any] = {str(model.graph.inputs[0].name): inputs}
    strangers: dict[str, str] = {}  # floats, and the operator that made them so
    used: dict[str, None] = {}
    largest = 0
    for node in model.graph:
        name = str(node.outputs[0].name)
        given = [None if each is None else values.get(str(each.name), constant(each)) for each in node.inputs]
        strange = next((strangers[str(each.name)] for each in node.inputs if each and each.name in strangers), None)
        if strange is None and _known(node, given):
            values[name] = _result(node, given)
            largest = max(largest, getattr(values[name], "largest", 0))
            continue
        strangers[name] = strange or node.op_type
        if is_op(node, "QuantizeLinear"):
            raise NetworkError(f"{strangers[name]} has no integer arithmetic here, and what it gives is quantized")
        used |= {
            str(each.name): None for each in node.inputs if each and isinstance(values.get(str(each.name)), Number)
        }
    used |= {str(each.name): None for each in model.graph.outputs if isinstance(values.get(str(each.name)), Number)}
    if not used:
        raise NetworkError("nothing in this graph is computed with integers")
    numbers: dict[str, Number] = {name: values[name] for name in used}
    late = next((name for name, each in numbers.items() if np.any(each.divisor != 1) or each.limits != NO_LIMITS), None)
    if late is not None:
        raise NetworkError(f"{late} is an average, or what Clip gives, and is not rounded to integers")
    return IntegerAnswers(numbers, largest)


def _known(node: ir.Node, given: Sequence[Any]) -> bool:
    """Whether a node can be computed here: its first operand is a number, or floats that it quantizes."""
    if is_op(node, "QuantizeLinear"):
        return True
    if is_op(node, "DequantizeLinear"):
        return isinstance(given[0], np.ndarray)
    if is_op(node, "Conv", "Gemm", "MatMul", "Add", "Sub", "Mul", "Concat"):
        plain = not any(node.attributes[key].as_float() != 1.0 for key in ("alpha", "beta") if key in node.attributes)
        numbers = all(each is None or isinstance(each, Number) for each in given)
        return numbers and plain and not ("transA" in node.attributes and node.attributes["transA"].as_int())
    return is_op(node, *_OPERATORS, *MOVES, *TABLES) and isinstance(given[0], Number)


def _result(node: ir.Node, given: Sequence[Any]) -> Any:
    attributes = {name: each.value for name, each in node.attributes.items()}
    if is_op(node, "QuantizeLinear"):
        return _quantized(given)
    if is_op(node, "DequantizeLinear"):
        return _dequantized(given, attributes.get("axis", 1))
    if node.op_type in _OPERATORS:
        return _OPERATORS[node.op_type](given, attributes)
    if node.op_type in TABLES:
        return Mapped(whole.level(given[0]), lambda numbers: _function(node.op_type, numbers, attributes))
    return _moved(node.op_type, given, attributes)


def _quantized(given: Sequence[Any]) -> NDArray[Any]:
    """Whole numbers in their element type, zero point added: the only place where anything is rounded or cut off."""
    value, scale, zero = given[0], given[1], given[2] if len(given) > 2 and given[2] is not None else np.uint8(0)
    radix, kind = int(_radix(scale).reshape(())), np.asarray(zero).dtype
    if isinstance(value, Number):
        made = whole.rounded_at(value, radix)
    elif isinstance(value, Mapped):
        made = whole.table(value, radix)
    else:
        made = np.rint(np.clip(np.ldexp(value.astype(np.float64), radix), -(2.0**40), 2.0**40)).astype(np.int64)
    info = np.iinfo(kind)
    return np.clip(made + int(zero), info.min, info.max).astype(kind)


def _dequantized(given: Sequence[Any], axis: int) -> Number:
    stored, scale = given[0], given[1]
    zero = np.asarray(given[2] if len(given) > 2 and given[2] is not None else 0).astype(np.int64)
    info, shape = np.iinfo(stored.dtype), [1] * stored.ndim
    if scale.size > 1:
        shape[axis] = -1
        zero = zero.reshape(shape) if zero.size > 1 else zero
    radix = _radix(scale).reshape(shape if scale.size > 1 else ())
    largest = max(abs(int(info.min) - int(zero.max())), abs(int(info.max) - int(zero.min())))
    if info.bits == 32:  # a bias, which is a constant
        largest = int(np.abs(stored.astype(np.int64)).max(initial=0))
    return Number(stored.astype(np.int64) - zero, radix, largest, wide=info.bits == 16)


def _radix(scale: NDArray[Any]) -> NDArray[np.int64]:
    """The bits behind the point that a scale stands for.

    Raises:
        NetworkError: it is no power of two.
    """
    fraction, exponent = np.frexp(np.asarray(scale))
    if not bool((fraction == 0.5).all()):
        wrong = np.asarray(scale).reshape(-1)[np.flatnonzero((fraction != 0.5).reshape(-1))[0]]
        raise NetworkError(f"the scale {float(wrong):g} is no power of two", hint="chipwise quantize makes such files")
    return np.asarray(1 - exponent, np.int64)


def _function(name: str, numbers: Floats, attributes: dict[str, Any]) -> Floats:
    """A function of one number, for its table."""
    if name == "Tanh":
        return np.tanh(numbers)
    if name == "Sigmoid":
        return 1 / (1 + np.exp(-numbers))
    if name == "LeakyRelu":
        return np.where(numbers < 0, attributes.get("alpha", 0.01) * numbers, numbers)
    alpha, beta = (1 / 6, 0.5) if name == "HardSwish" else (attributes.get("alpha", 0.2), attributes.get("beta", 0.5))
    made = np.clip(alpha * numbers + beta, 0.0, 1.0)
    return numbers * made if name == "HardSwish" else made


def _moved(name: str, given: Sequence[Any], attributes: dict[str, Any]) -> Number:
    """Operators that only move or select numbers."""
    number = whole.level(given[0])
    array, rest = number.whole, [None if each is None else [int(n) for n in np.ravel(each)] for each in given[1:]]
    match name:
        case "Reshape":
            array = array.reshape(_shape(rest[0] or [], array.shape, attributes))
        case "Flatten":
            axis = attributes.get("axis", 1)
            array = array.reshape(int(np.prod(array.shape[:axis])), -1)
        case "Transpose":
            array = array.transpose(attributes.get("perm"))
        case "Squeeze":
            array = np.squeeze(array, tuple(rest[0]) if rest and rest[0] else None)
        case "Unsqueeze":
            array = np.expand_dims(array, tuple(rest[0] or ()))
        case "Slice":
            array = _sliced(array, *rest)
        case "Pad":
            array = _padded(array, rest)
    return replace(number, whole=array)


def _shape(wanted: Sequence[int], old: Sequence[int], attributes: dict[str, Any]) -> list[int]:
    if attributes.get("allowzero"):
        return list(wanted)
    return [old[place] if size == 0 else size for place, size in enumerate(wanted)]


def _sliced(array: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
    axes = axes if axes is not None else list(range(len(starts)))
    cut = [slice(None)] * array.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps or [1] * len(axes), strict=True):
        size = array.shape[axis]
        stop = None if step < 0 and end < -size else end
        cut[axis] = slice(start, stop, step)
    return array[tuple(cut)]


def _padded(array: Any, rest: Sequence[Any]) -> Any:
    pads, axes = rest[0], rest[2] if len(rest) > 2 and rest[2] is not None else list(range(array.ndim))
    around = [(0, 0)] * array.ndim
    for place, axis in enumerate(axes):
        around[axis] = (pads[place], pads[place + len(axes)])
    return np.pad(array, around)
