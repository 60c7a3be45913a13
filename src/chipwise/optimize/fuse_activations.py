"""Activations and normalizations that exporters spell out become the one operator that runtimes have a kernel for.

    x * clip(x + 3, 0, 6) / 6, x * hardsigmoid(x)     =>  HardSwish              (operator set 14)
    x / 2 * (1 + erf(x / sqrt 2)), and its tanh form  =>  Gelu                   (20)
    (x - mean) / sqrt(var + e) * scale + bias         =>  LayerNormalization     (17)
    x / sqrt(mean(x^2) + e) * scale                   =>  RMSNormalization       (23)
    exp(x - max x) / sum exp(x - max x)               =>  Softmax                (13)
    min(max(x, a), b)                                 =>  Clip                   (12)

Only these never lost where they were measured, in ONNX Runtime and OpenVINO. Swish and Softplus are left as they are
spelled: as one operator they take ONNX Runtime longer, up to 3 times. Numbers are compared to seven digits. Factors may
stand in any order; what anything else reads is left alone. float32 only: others have no kernels everywhere.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from chipwise.optimize.layouts import reduced_axes
from chipwise.optimize.products import Product, near, plus, product, replace, scalar
from chipwise.optimize.rewrite import add_weights, constant, integer, is_op, number, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable

    Nodes = tuple[ir.Node, ...]

LABEL = "close"


def apply(model: ir.Model) -> str:
    """Fuse in place, outermost formulas first."""
    version = model.opset_imports.get("", 0)
    fused: dict[str, int] = {}
    for node in reversed(list(model.graph)):
        if node.graph is None or node.domain not in ("", "ai.onnx") or node.outputs[0].dtype != ir.DataType.FLOAT:
            continue
        for rule, minimum, name in _RULES.get(node.op_type, ()):
            if version >= minimum and rule(model.graph, node):
                fused[name] = fused.get(name, 0) + 1
                break
    names = ", ".join(f"{times} {name}" for name, times in sorted(fused.items()))
    return f"joined formulas into {names}" if fused else ""


def _hard_swish(graph: ir.Graph, node: ir.Node) -> bool:
    found = product(node.outputs[0])
    for x, gate in _pairs(found):
        source = gate.producer()
        if source is not None and is_op(source, "HardSigmoid"):
            slope, shift = number(source, "alpha", 0.2), number(source, "beta", 0.5)
            good = near(found.number, 1) and near(slope, 1 / 6) and near(shift, 0.5) and source.inputs[0] is x
            inner: Nodes = (source,)
        else:
            clipped = hard_gate(gate)
            good = near(found.number, 1 / 6) and clipped is not None and clipped[0] is x
            inner = clipped[1] if clipped is not None else ()
        if good and replace(graph, (*found.nodes, *inner), [ir.node("HardSwish", [x])]):
            return True
    return False


def hard_gate(value: ir.Value) -> tuple[ir.Value, Nodes] | None:
    """The x of clip(x + 3, 0, 6), and its nodes."""
    clip = value.producer()
    if clip is None or not is_op(clip, "Clip") or len(clip.inputs) != 3 or clip.inputs[0] is None:
        return None
    low, high = (scalar(each) for each in clip.inputs[1:])
    shifted = plus(clip.inputs[0], 3)
    if low != 0 or not near(high, 6) or shifted is None:
        return None
    return shifted[0], (clip, shifted[1])


def _pairs(found: Product) -> list[tuple[ir.Value, ir.Value]]:
    """Both ways to read a product of two values."""
    if len(found.over) != 2 or found.under:
        return []
    left, right = found.over
    return [(left, right), (right, left)]


def _gelu(graph: ir.Graph, node: ir.Node) -> bool:
    found = product(node.outputs[0])
    for x, gate in _pairs(found):
        shifted = plus(gate, 1) if near(found.number, 0.5) else None
        curve = shifted[0].producer() if shifted is not None else None
        if shifted is None or curve is None or not is_op(curve, "Erf", "Tanh") or curve.inputs[0] is None:
            continue
        inner = product(curve.inputs[0])
        tanh = is_op(curve, "Tanh")
        if tanh:
            more = _cubic(inner, x)
        else:
            more = inner.nodes if inner.is_times(math.sqrt(0.5), 1) and inner.over[0] is x else None
        if more is None:
            continue
        made = ir.node("Gelu", [x], attributes={"approximate": "tanh"} if tanh else {})
        if replace(graph, (*found.nodes, shifted[1], curve, *more), [made]):
            return True
    return False


def _cubic(found: Product, x: ir.Value) -> Nodes | None:
    """The nodes of sqrt(2 / pi) * (x + 0.044715 x^3), or of sqrt(2 / pi) * x * (1 + 0.044715 x^2)."""
    if not near(found.number, math.sqrt(2 / math.pi)) or found.under:
        return None
    if len(found.over) == 1:
        node = found.over[0].producer()
        if node is None or not is_op(node, "Add") or x not in node.inputs:
            return None
        grown = node.inputs[1] if node.inputs[0] is x else node.inputs[0]
        power = 3
    elif len(found.over) == 2 and x in found.over:
        shifted = plus(found.over[1] if found.over[0] is x else found.over[0], 1)
        if shifted is None:
            return None
        grown, node = shifted
        power = 2
    else:
        return None
    term = product(grown) if grown is not None else None
    if term is None or not near(term.number, 0.044715) or term.under:
        return None
    powers = _powers(term, x)
    return (*found.nodes, node, *term.nodes, *powers[1]) if powers is not None and powers[0] == power else None


def _powers(term: Product, x: ir.Value) -> tuple[int, Nodes] | None:
    """How often x stands in a product of x and powers of x."""
    total, nodes = 0, list[ir.Node]()
    for value in term.over:
        node = value.producer()
        if value is x:
            total += 1
        elif node is not None and is_op(node, "Pow") and node.inputs[0] is x and scalar(node.inputs[1]) in (2, 3):
            total += int(scalar(node.inputs[1]) or 0)
            nodes.append(node)
        elif node is not None and is_op(node, "Mul") and node.inputs[0] is x and node.inputs[1] is x:
            total += 2
            nodes.append(node)
        else:
            return None
    return total, tuple(nodes)


def _softmax(graph: ir.Graph, node: ir.Node) -> bool:
    found = product(node.outputs[0])
    if not found.is_times(1, 1, 1):
        return False
    exp, total = found.over[0].producer(), found.under[0].producer()
    if exp is None or not is_op(exp, "Exp") or total is None or exp.inputs[0] is None:
        return False
    if not _over_last(total, "ReduceSum") or total.inputs[0] is not found.over[0]:
        return False
    x, nodes = exp.inputs[0], [*found.nodes, exp, total]
    less = x.producer()
    if less is not None and is_op(less, "Sub") and less.inputs[0] is not None and less.inputs[1] is not None:
        largest = less.inputs[1].producer()
        if largest is not None and _over_last(largest, "ReduceMax") and largest.inputs[0] is less.inputs[0]:
            x = less.inputs[0]
            nodes += [less, largest]
    return replace(graph, nodes, [ir.node("Softmax", [x], attributes={"axis": -1})])


def _over_last(node: ir.Node, name: str) -> bool:
    """True for a reduction over the last axis that keeps it."""
    shape = shape_of(node.inputs[0])
    if not is_op(node, name) or shape is None or not shape:
        return False
    return bool(integer(node, "keepdims", 1)) and reduced_axes(node, len(shape)) == (len(shape) - 1,)


def _layer_norm_with_bias(graph: ir.Graph, node: ir.Node) -> bool:
    for scaled, bias in (tuple(node.inputs), tuple(node.inputs)[::-1]):
        if scaled is not None and bias is not None and scaled.producer() is not None:
            found = _normalized(product(scaled), bias)
            if found is not None and _layer_norm(graph, (node, *found[3]), found[:3], bias):
                return True
    return False


def _layer_norm_without_bias(graph: ir.Graph, node: ir.Node) -> bool:
    found = _normalized(product(node.outputs[0]))
    return found is not None and _layer_norm(graph, found[3], found[:3])


def _layer_norm(
    graph: ir.Graph, nodes: Nodes, found: tuple[ir.Value, ir.Value, float], bias: ir.Value | None = None
) -> bool:
    """Replace what is normalized and scaled, where the mean was taken off first."""
    deviation, scale, epsilon = found
    less = deviation.producer()
    mean = less.inputs[1].producer() if less is not None and is_op(less, "Sub") and less.inputs[1] is not None else None
    if less is None or mean is None or not _over_last(mean, "ReduceMean") or mean.inputs[0] is not less.inputs[0]:
        return False
    inputs = [less.inputs[0], *(_row(graph, value) for value in (scale, bias) if value is not None)]
    made = ir.node("LayerNormalization", inputs, attributes={"axis": -1, "epsilon": epsilon})
    return replace(graph, (*nodes, less, mean), [made])


def _rms_norm(graph: ir.Graph, node: ir.Node) -> bool:
    found = _normalized(product(node.outputs[0]))
    if found is None:
        return False
    x, scale, epsilon, nodes = found
    made = ir.node("RMSNormalization", [x, _row(graph, scale)], attributes={"axis": -1, "epsilon": epsilon})
    return replace(graph, nodes, [made])


def _normalized(found: Product, bias: ir.Value | None = None) -> tuple[ir.Value, ir.Value, float, Nodes] | None:
    """From x / sqrt(mean(x^2) + e) * scale: x, scale, e and the nodes."""
    if not found.is_times(1, 2, 1) or not found.nodes:
        return None
    x, scale = found.over if constant(found.over[1]) is not None else found.over[::-1]
    root = found.under[0].producer()
    if root is None or not is_op(root, "Sqrt") or root.inputs[0] is None or not _is_row(x, scale, bias):
        return None
    inner = root.inputs[0].producer()
    if inner is None or not is_op(inner, "Add"):
        return None
    for square, shift in (tuple(inner.inputs), tuple(inner.inputs)[::-1]):
        mean, epsilon = square.producer() if square is not None else None, scalar(shift)
        if mean is None or epsilon is None or not _over_last(mean, "ReduceMean") or mean.inputs[0] is None:
            continue
        powers = _powers(Product(1.0, (mean.inputs[0],)), x)
        if powers is not None and powers[0] == 2:
            return x, scale, epsilon, (*found.nodes, root, inner, mean, *powers[1])
    return None


def _is_row(x: ir.Value, *values: ir.Value | None) -> bool:
    """True when constants have one value for each along the last axis of x."""
    shape = shape_of(x)
    if not shape or shape[-1] is None:
        return False
    arrays = [constant(value) for value in values if value is not None]
    return all(a is not None and a.size == shape[-1] == a.shape[-1] and a.ndim <= len(shape) for a in arrays)


def _row(graph: ir.Graph, value: ir.Value) -> ir.Value:
    array = constant(value)
    assert array is not None, "checked by _is_row"
    return value if array.ndim == 1 else add_weights(graph, array.reshape(-1), "row")


def _clip(graph: ir.Graph, node: ir.Node) -> bool:
    """min(max(x, a), b) or max(min(x, b), a), of numbers a <= b."""
    outer = _bound(node)
    inner = outer[0].producer() if outer is not None else None
    bounds = _bound(inner) if inner is not None else None
    if outer is None or inner is None or bounds is None or is_op(inner, "Min") == is_op(node, "Min"):
        return False
    low, high = (bounds[1], outer[1]) if is_op(node, "Min") else (outer[1], bounds[1])
    if not low <= high:
        return False
    limits = [add_weights(graph, np.array(each, np.float32), "limit") for each in (low, high)]
    return replace(graph, (node, inner), [ir.node("Clip", [bounds[0], *limits])])


def _bound(node: ir.Node) -> tuple[ir.Value, float] | None:
    """What a Min, Max or Relu bounds, and by which number."""
    if is_op(node, "Relu") and node.inputs[0] is not None:
        return node.inputs[0], 0.0
    if is_op(node, "Min", "Max") and len(node.inputs) == 2:
        for x, bound in (tuple(node.inputs), tuple(node.inputs)[::-1]):
            limit = scalar(bound)
            if x is not None and limit is not None and scalar(x) is None:
                return x, limit
    return None


_Rule = tuple["Callable[[ir.Graph, ir.Node], bool]", int, str]
_PRODUCTS: tuple[_Rule, ...] = (
    (_hard_swish, 14, "HardSwish"),
    (_gelu, 20, "Gelu"),
    (_softmax, 13, "Softmax"),
    (_layer_norm_without_bias, 17, "LayerNormalization"),
    (_rms_norm, 23, "RMSNormalization"),
)
_RULES: dict[str, tuple[_Rule, ...]] = {
    "Mul": _PRODUCTS,
    "Div": _PRODUCTS,
    "Add": ((_layer_norm_with_bias, 17, "LayerNormalization"),),
    "Min": ((_clip, 12, "Clip"),),
    "Max": ((_clip, 12, "Clip"),),
}
