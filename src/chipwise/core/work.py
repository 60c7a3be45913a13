"""How much arithmetic an operator does: one pure function over shapes, used for ONNX graphs and torch traces alike.

The convention: a multiply-add is 2 FLOPs, a bias addition 1, and any other function of one element (exp, tanh, max) 1.
Moving data costs none. Operators whose work depends on values (loops, non-maximum suppression) are not known: None.

>>> work("Conv", [(1, 1, 32, 32), (6, 1, 5, 5), (6,)], [(1, 6, 28, 28)], {})
239904
>>> work("Gemm", [(8, 784), (300, 784), (300,)], [(8, 300)], {"transB": 1})
3765600
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Shape = tuple[int, ...]
Shapes = Sequence[Shape | None]
Attributes = Mapping[str, Any]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# One evaluation per output element.
_ELEMENTWISE = _names(
    "Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Ceil "
    "Celu Clip Cos Cosh Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish IsInf "
    "IsNaN LeakyRelu Less LessOrEqual Log Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu Shrink "
    "Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub Swish Tan Tanh ThresholdedRelu Trilu Xor QLinearSigmoid "
    "QLinearLeakyRelu QuickGelu"
)
# Nothing is computed, only moved, described or renamed.
_MOVES = _names(
    "Cast CastLike Compress Concat Constant ConstantOfShape Crop DepthToSpace Dropout Expand EyeLike Flatten "
    "Gather GatherElements GatherND Identity NonZero OneHot Pad QLinearConcat Range Reshape ReverseSequence "
    "Scatter ScatterElements ScatterND Shape Size Slice SpaceToDepth Split SplitToSequence Squeeze Tile "
    "Transpose Unsqueeze Where SequenceAt SequenceConstruct ConcatFromSequence Optional Unique RandomNormal "
    "RandomUniform"
)
# One operation per input element.
_REDUCTIONS = _names(
    "ArgMax ArgMin CumSum GlobalAveragePool GlobalMaxPool QLinearGlobalAveragePool ReduceMax ReduceMean "
    "ReduceMin ReduceProd ReduceSum TopK"
)
# Operations per output element of functions made of several.
_PER_OUTPUT = {
    "BatchNormalization": 2,  # in inference: scale and shift
    "DequantizeLinear": 2,  # less the zero point, times the scale
    "DynamicQuantizeLinear": 4,  # minimum, maximum, scale, round
    "GroupNormalization": 7,
    "Hardmax": 2,
    "InstanceNormalization": 7,  # mean, centre, square, sum, scale, and two for weight and bias
    "LayerNormalization": 7,
    "LogSoftmax": 5,
    "QLinearAdd": 6,
    "QLinearMul": 5,
    "QuantizeLinear": 2,  # over the scale, plus the zero point
    "RMSNormalization": 4,
    "Softmax": 5,  # maximum, difference, exp, sum, quotient
}
_PER_INPUT = {
    "GlobalLpPool": 2,
    "LpNormalization": 3,
    "MeanVarianceNormalization": 5,
    "ReduceL1": 2,
    "ReduceL2": 2,
    "ReduceLogSum": 1,
    "ReduceLogSumExp": 2,
    "ReduceSumSquare": 2,
}
# Gates and elementwise functions per hidden unit and step, beside the matrix products.
_RECURRENT = {"LSTM": (4, 9), "GRU": (3, 8), "RNN": (1, 1)}


def work(operator: str, inputs: Shapes, outputs: Shapes, attributes: Attributes) -> int | None:
    """Count the FLOPs of one operator (ONNX names), 1 multiply-add = 2.

    Args:
        operator: name without its domain ("Conv", "Gemm", "QLinearConv", ...).
        inputs: shapes in the operator's order, weights too; None for an absent or unknown one.
        outputs: shapes of what it gives.
        attributes: of the node, lists as sequences of integers.

    Returns:
        None when the operator is not known, or a shape that it needs is not.
    """
    if operator in _MOVES:
        return 0
    if not outputs or outputs[0] is None or not inputs or inputs[0] is None:
        return None
    given, made = math.prod(inputs[0]), math.prod(outputs[0])
    if operator in _ELEMENTWISE or operator in _PER_OUTPUT:
        return made * _PER_OUTPUT.get(operator, 1)
    if operator in _REDUCTIONS or operator in _PER_INPUT:
        return given * _PER_INPUT.get(operator, 1)
    rule = _RULES.get(operator)
    try:
        return rule(inputs, outputs, attributes) if rule else None
    except (IndexError, TypeError, ValueError):  # a shape that the rule needs is absent, unknown or of another rank
        return None


def _sized(shapes: Shapes, index: int) -> Shape:
    shape = shapes[index]
    if shape is None:
        raise TypeError(f"shape {index} is not known")
    return shape


def _has(shapes: Shapes, index: int) -> bool:
    return len(shapes) > index and shapes[index] is not None


def _convolution(weight: int, bias: int) -> Callable[[Shapes, Shapes, Attributes], int]:
    def count(inputs: Shapes, outputs: Shapes, _: Attributes) -> int:
        made = math.prod(_sized(outputs, 0))
        return made * (2 * math.prod(_sized(inputs, weight)[1:]) + _has(inputs, bias))

    return count


def _transposed(inputs: Shapes, outputs: Shapes, _: Attributes) -> int:
    products = math.prod(_sized(inputs, 0)) * math.prod(_sized(inputs, 1)[1:])
    return 2 * products + (math.prod(_sized(outputs, 0)) if _has(inputs, 2) else 0)


def _product(inputs: Shapes, outputs: Shapes, _: Attributes) -> int:
    return 2 * math.prod(_sized(outputs, 0)) * _sized(inputs, 0)[-1]


def _gemm(inputs: Shapes, outputs: Shapes, attributes: Attributes) -> int:
    inner = _sized(inputs, 0)[0 if attributes.get("transA") else -1]
    return math.prod(_sized(outputs, 0)) * (2 * inner + _has(inputs, 2))


def _pool(inputs: Shapes, outputs: Shapes, attributes: Attributes) -> int:
    del inputs
    return math.prod(_sized(outputs, 0)) * math.prod(attributes["kernel_shape"]) if "kernel_shape" in attributes else 0


def _fold(inputs: Shapes, outputs: Shapes, _: Attributes) -> int:
    return math.prod(_sized(outputs, 0)) * max(len(inputs) - 1, 0)


def _resize(inputs: Shapes, outputs: Shapes, attributes: Attributes) -> int:
    """A multiply-add per tap: 2 taps along each resized axis for linear, 4 for cubic, none for nearest."""
    before, after = _sized(inputs, 0), _sized(outputs, 0)
    axes = sum(a != b for a, b in zip(before, after, strict=True))
    taps = {"linear": 2, "cubic": 4}.get(str(attributes.get("mode", "nearest")), 0)
    return 2 * math.prod(after) * taps**axes if taps and axes else 0


def _recurrent(kind: str) -> Callable[[Shapes, Shapes, Attributes], int]:
    gates, others = _RECURRENT[kind]

    def count(inputs: Shapes, outputs: Shapes, _: Attributes) -> int:
        del outputs
        steps, features = math.prod(_sized(inputs, 0)[:2]), _sized(inputs, 0)[2]
        directions, hidden = _sized(inputs, 1)[0], _sized(inputs, 2)[2]
        bias = gates * hidden if _has(inputs, 3) else 0
        return steps * directions * (2 * gates * hidden * (features + hidden) + bias + others * hidden)

    return count


def _einsum(inputs: Shapes, outputs: Shapes, attributes: Attributes) -> int:
    del outputs
    terms = str(attributes["equation"]).replace(" ", "").partition("->")[0].split(",")
    if "..." in attributes["equation"]:
        raise TypeError("broadcast axes have no letters")
    sizes = {
        letter: size
        for term, index in zip(terms, range(len(inputs)), strict=True)
        for letter, size in zip(term, _sized(inputs, index), strict=True)
    }
    return math.prod(sizes.values()) * max(2 * (len(terms) - 1), 1)


def _local_response(inputs: Shapes, outputs: Shapes, attributes: Attributes) -> int:
    del inputs
    return math.prod(_sized(outputs, 0)) * (2 * int(attributes.get("size", 1)) + 3)


_RULES: dict[str, Callable[[Shapes, Shapes, Attributes], int]] = {
    "Conv": _convolution(1, 2),
    "ConvInteger": _convolution(1, 9),
    "QLinearConv": _convolution(3, 8),
    "FusedConv": _convolution(1, 2),
    "ConvTranspose": _transposed,
    "Gemm": _gemm,
    "MatMul": _product,
    "MatMulInteger": _product,
    "MatMulNBits": _product,
    "QLinearMatMul": _product,
    "AveragePool": _pool,
    "MaxPool": _pool,
    "LpPool": _pool,
    "QLinearAveragePool": _pool,
    "Sum": _fold,
    "Mean": _fold,
    "Max": _fold,
    "Min": _fold,
    "Resize": _resize,
    "Upsample": _resize,
    "Einsum": _einsum,
    "LRN": _local_response,
    **{kind: _recurrent(kind) for kind in _RECURRENT},
}
