"""Darknet's activation functions (src/activations.h, src/activations.c) as ONNX nodes.

>>> sorted(ACTIVATIONS)[:4]
['elu', 'gelu', 'hard_mish', 'hardtan']
"""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from chipwise.core.errors import NetworkError
from chipwise.core.layer import Shape
from chipwise.networks.darknet.cfg import Section, shown
from chipwise.networks.darknet.drawing import Drawing

_Draw = Callable[[Drawing, ir.Value, Shape], ir.Value]


def activation_of(section: Section, default: str = "logistic") -> str:
    """The activation that a section asks for.

    Raises:
        NetworkError: when there is none of that name, where Darknet would silently take ReLU.
    """
    name = section.text("activation", default)
    if name not in ACTIVATIONS:
        raise NetworkError(
            f"{section.title}: the activation {shown(name)} is not supported",
            hint=f"supported: {', '.join(sorted(ACTIVATIONS))}",
        )
    return name


def activate(drawing: Drawing, value: ir.Value, shape: Shape, name: str) -> ir.Value:
    """Apply an activation to a value [batch, *shape]."""
    return ACTIVATIONS[name](drawing, value, shape)


def _one(op: str, name: str, **attributes: float) -> _Draw:
    def draw(drawing: Drawing, value: ir.Value, shape: Shape) -> ir.Value:
        return drawing.node(op, name, [value], shape, **attributes)

    return draw


def _scaled(drawing: Drawing, value: ir.Value, shape: Shape, factor: float, name: str) -> ir.Value:
    return drawing.node("Mul", name, [value, drawing.constant("factor", factor)], shape)


def _clipped(drawing: Drawing, value: ir.Value, shape: Shape, bounds: tuple[float, float], name: str) -> ir.Value:
    low, high = (drawing.constant(side, bound) for side, bound in zip(("low", "high"), bounds, strict=True))
    return drawing.node("Clip", name, [value, low, high], shape)


def _between(low: float, high: float, name: str) -> _Draw:
    return lambda drawing, value, shape: _clipped(drawing, value, shape, (low, high), name)


def _swish(drawing: Drawing, value: ir.Value, shape: Shape) -> ir.Value:
    gate = drawing.node("Sigmoid", "sigmoid", [value], shape)
    return drawing.node("Mul", "swish", [value, gate], shape)


def _ramp(drawing: Drawing, value: ir.Value, shape: Shape) -> ir.Value:
    """Slopes 1.1 and 0.1: x * (x > 0) + x / 10."""
    bent = drawing.node("LeakyRelu", "leaky", [value], shape, alpha=0.1 / 1.1)
    return _scaled(drawing, bent, shape, 1.1, "ramp")


def _loggy(drawing: Drawing, value: ir.Value, shape: Shape) -> ir.Value:
    """2 / (1 + exp(-x)) - 1 = tanh(x / 2)."""
    return drawing.node("Tanh", "loggy", [_scaled(drawing, value, shape, 0.5, "half")], shape)


def _lines(name: str, bounds: tuple[float, float], *, inner: float, outer: float, offset: float = 0.0) -> _Draw:
    """Three straight lines: slope `inner` between the bounds, `outer` elsewhere."""

    def draw(drawing: Drawing, value: ir.Value, shape: Shape) -> ir.Value:
        middle = _clipped(drawing, value, shape, bounds, "clip")
        steep = _scaled(drawing, middle, shape, inner - outer, "steep")
        flat = _scaled(drawing, value, shape, outer, "flat")
        joined = drawing.node("Add", name, [steep, flat], shape)
        return drawing.node("Add", "offset", [joined, drawing.constant("offset", offset)], shape) if offset else joined

    return draw


def _stair(drawing: Drawing, value: ir.Value, shape: Shape) -> ir.Value:
    """Steps and slopes in turn: floor(x / 2), and x - floor(x) more where floor(x) is odd."""
    whole = drawing.node("Floor", "floor", [value], shape)
    pairs = drawing.node("Floor", "pairs", [_scaled(drawing, value, shape, 0.5, "half")], shape)
    odd = drawing.node("Sub", "odd", [whole, _scaled(drawing, pairs, shape, 2.0, "even")], shape)
    rest = drawing.node("Sub", "rest", [value, whole], shape)
    return drawing.node("Add", "stair", [pairs, drawing.node("Mul", "slope", [rest, odd], shape)], shape)


def _gelu(drawing: Drawing, value: ir.Value, shape: Shape) -> ir.Value:
    """By tanh: x / 2 * (1 + tanh(0.797885 x + 0.035677 x^3)), AlexeyAB's src/activations.h."""
    square = drawing.node("Mul", "square", [value, value], shape)
    slope = drawing.node(
        "Add",
        "slope",
        [_scaled(drawing, square, shape, 0.035677, "cubic"), drawing.constant("linear", 0.797885)],
        shape,
    )
    bent = drawing.node("Tanh", "tanh", [drawing.node("Mul", "inner", [value, slope], shape)], shape)
    gate = drawing.node("Add", "gate", [bent, drawing.constant("one", 1.0)], shape)
    return drawing.node("Mul", "gelu", [_scaled(drawing, value, shape, 0.5, "half"), gate], shape)


def _hard_mish(drawing: Drawing, value: ir.Value, shape: Shape) -> ir.Value:
    """Zero below -2, x * x / 2 + x up to 0, x above (AlexeyAB's src/activations.h)."""
    dip = _clipped(drawing, value, shape, (-2.0, 0.0), "clip")
    half = _scaled(drawing, drawing.node("Mul", "square", [dip, dip], shape), shape, 0.5, "half")
    curve = drawing.node("Add", "curve", [half, dip], shape)
    return drawing.node("Add", "hard_mish", [curve, drawing.node("Relu", "relu", [value], shape)], shape)


ACTIVATIONS: dict[str, _Draw] = {
    "elu": _one("Elu", "elu", alpha=1.0),
    "gelu": _gelu,
    "hard_mish": _hard_mish,
    "hardtan": _between(-1.0, 1.0, "hardtan"),
    "leaky": _one("LeakyRelu", "leaky", alpha=0.1),
    "lhtan": _lines("lhtan", (0.0, 1.0), inner=1.0, outer=0.001),
    "linear": lambda drawing, value, shape: value,  # noqa: ARG005 (every activation has this form)
    "loggy": _loggy,
    "logistic": _one("Sigmoid", "logistic"),
    "mish": _one("Mish", "mish"),
    "plse": _lines("plse", (-4.0, 4.0), inner=0.125, outer=0.01, offset=0.5),
    "ramp": _ramp,
    "relie": _one("LeakyRelu", "relie", alpha=0.01),
    "relu": _one("Relu", "relu"),
    "relu6": _between(0.0, 6.0, "relu6"),
    "selu": _one("Selu", "selu", alpha=1.6732, gamma=1.0507),
    "stair": _stair,
    "swish": _swish,
    "tanh": _one("Tanh", "tanh"),
}
