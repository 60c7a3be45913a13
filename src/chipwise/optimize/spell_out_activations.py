"""Activations without a good kernel become a formula of ones that have one.

    Mish, x * tanh(softplus(x))  =>  x * n / (n + 2), n = e (e + 2), e = exp(min(x, 20))
    Softplus                     =>  relu(x) + log(1 + exp(-|x|))
    Swish                        =>  x * sigmoid(x)

ONNX Runtime computes log and tanh of a Softplus or Mish one value at a time: networks full of Mish (YOLOv4) spend most
of their time there, and this is 3 to 5 times faster. OpenVINO has kernels, and is up to a tenth slower with formulas:
so this is kept only where it was measured. The formulas are as exact as the operators: tanh(log(1 + e)) is
((1 + e)^2 - 1) / ((1 + e)^2 + 1), which is 1 in float32 from x = 9 on, and neither overflows. float32 only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from chipwise.optimize.products import product, replace
from chipwise.optimize.rewrite import add_weights, is_op, number

if TYPE_CHECKING:
    from collections.abc import Callable

LABEL = "close"
_MIN_OPSET = 8  # before, Min does not broadcast
_LARGE = 20.0


def apply(model: ir.Model) -> str:
    """Spell out in place; Mish, as the last of its formula, before the Softplus in it."""
    if model.opset_imports.get("", 0) < _MIN_OPSET:
        return ""
    done = 0
    for node in reversed(list(model.graph)):
        rule = _RULES.get(node.op_type)
        if rule is not None and is_op(node, node.op_type) and node.graph is not None:
            done += node.outputs[0].dtype == ir.DataType.FLOAT and rule(model.graph, node)
    return f"spelled out {done} activation{'s' if done != 1 else ''} without a fast kernel" if done else ""


def _constant(graph: ir.Graph, value: float) -> ir.Value:
    return add_weights(graph, np.array(value, np.float32), "number")


def _mish(graph: ir.Graph, node: ir.Node) -> bool:
    x = node.inputs[0]
    return x is not None and replace(graph, [node], _spelled_mish(graph, x))


def _mish_formula(graph: ir.Graph, node: ir.Node) -> bool:
    found = product(node.outputs[0])
    if not found.is_times(1, 2):
        return False
    for x, gate in (found.over, found.over[::-1]):
        tanh = gate.producer()
        soft = tanh.inputs[0].producer() if tanh is not None and is_op(tanh, "Tanh") and tanh.inputs[0] else None
        if tanh is not None and soft is not None and is_op(soft, "Softplus") and soft.inputs[0] is x:
            return replace(graph, [*found.nodes, tanh, soft], _spelled_mish(graph, x))
    return False


def _spelled_mish(graph: ir.Graph, x: ir.Value) -> list[ir.Node]:
    two = _constant(graph, 2)
    bounded = ir.node("Min", [x, _constant(graph, _LARGE)])
    power = ir.node("Exp", bounded.outputs)
    more = ir.node("Add", [power.outputs[0], two])
    over = ir.node("Mul", [power.outputs[0], more.outputs[0]])
    under = ir.node("Add", [over.outputs[0], two])
    share = ir.node("Div", [over.outputs[0], under.outputs[0]])
    return [bounded, power, more, over, under, share, ir.node("Mul", [x, share.outputs[0]])]


def _softplus(graph: ir.Graph, node: ir.Node) -> bool:
    size = ir.node("Abs", node.inputs)
    minus = ir.node("Neg", size.outputs)
    power = ir.node("Exp", minus.outputs)
    more = ir.node("Add", [power.outputs[0], _constant(graph, 1)])
    rest = ir.node("Log", more.outputs)
    line = ir.node("Relu", node.inputs)
    both = ir.node("Add", [line.outputs[0], rest.outputs[0]])
    return replace(graph, [node], [size, minus, power, more, rest, line, both])


def _swish(graph: ir.Graph, node: ir.Node) -> bool:
    if number(node, "alpha", 1.0) != 1:
        return False
    gate = ir.node("Sigmoid", node.inputs)
    return replace(graph, [node], [gate, ir.node("Mul", [node.inputs[0], gate.outputs[0]])])


_RULES: dict[str, Callable[[ir.Graph, ir.Node], bool]] = {
    "Mish": _mish,
    "Mul": _mish_formula,
    "Softplus": _softplus,
    "Swish": _swish,
}
