"""Fold multiplications and additions of constants into the convolutions and matrix products around them.

Scaled activations, normalised inputs and hand-written subsampling leave chains of `Mul` and `Add` with constants. Each
is a pass over memory and a call that no runtime takes away. One scale per output channel folds into the weights before
it; one scale for everything also folds into the weights after it, through whatever only moves values or averages them.

    Conv -> Mul c         =>  Conv with c W, c b            AveragePool(Mul(x, c))  =>  Mul(AveragePool(x), c)
    Conv -> Add c         =>  Conv with W, b + c            Mul(Add(x, a), c)       =>  Add(Mul(x, c), a c)
    Mul c -> Conv         =>  Conv with c W (c a number)    Mul(Mul(x, a), c)       =>  Mul(x, a c)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as ir_passes

from chipwise.optimize.rewrite import add_weights, bypass, floats, only_reader, swap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

LABEL = "close"
_POOLS = ("AveragePool", "GlobalAveragePool")
# What a scale for everything passes through unchanged, from its first input.
_MOVERS = ("Reshape", "Flatten", "Transpose", "Gather", "Squeeze", "Unsqueeze", *_POOLS)
_MAX_ROUNDS = 1000


@dataclass(frozen=True, slots=True)
class Affine:
    """A `Mul`, `Div`, `Add` or `Sub` of a constant, as x * scale + shift with one of them neutral.

    Attributes:
        node: the node; x: its other input.
        constant: what it multiplies with or adds.
        scales: True for a factor, False for a summand.
    """

    node: ir.Node
    x: ir.Value
    constant: NDArray[Any]
    scales: bool


def apply(model: ir.Model) -> str:
    """Fold in place until nothing folds any more."""
    before = len(model.graph)
    for _ in range(_MAX_ROUNDS):
        if not sum(_fold(model.graph, affine) for affine in _affines(model.graph)):
            break
    ir_passes.IdentityEliminationPass()(model)
    gone = before - len(model.graph)
    return f"folded {gone} constant factors and summands into neighbouring layers" if gone > 0 else ""


def _affines(graph: ir.Graph) -> Iterator[Affine]:
    """Every multiplication or addition of a float constant, read from the graph as it is when it is asked for."""
    for node in list(graph):
        affine = _affine(node) if node.graph is not None else None
        if affine is not None:
            yield affine


def _affine(node: ir.Node) -> Affine | None:
    """A node as x * constant or x + constant; None when it is neither."""
    plain = not node.domain and not node.attributes  # before opset 7 an attribute says how to broadcast
    if not plain or node.op_type not in ("Mul", "Div", "Add", "Sub") or len(node.inputs) != 2:
        return None
    left, right = (floats(value) for value in node.inputs)
    one_sided = node.op_type in ("Div", "Sub")
    constant, x = (right, node.inputs[0]) if right is not None else (left, node.inputs[1])
    if constant is None or x is None or (left is not None and (right is not None or one_sided)):
        return None
    with np.errstate(divide="ignore", over="ignore"):
        turned = 1 / constant if node.op_type == "Div" else -constant if node.op_type == "Sub" else constant
    return Affine(node, x, turned, node.op_type in ("Mul", "Div")) if np.isfinite(turned).all() else None


def _fold(graph: ir.Graph, affine: Affine) -> bool:
    """Try the rules in turn; True when one of them changed the graph."""
    return (
        _into_producers(graph, affine)
        or _merge(graph, affine)
        or _after_pool(graph, affine)
        or _into_consumers(graph, affine)
    )


def _into_producers(graph: ir.Graph, affine: Affine) -> bool:
    """Fold into the weights of the layer before, or of all layers before a concatenation."""
    source = affine.x.producer()
    if source is None or not only_reader(affine.x):
        return False
    layers: list[ir.Node | None] = [source]
    if source.op_type == "Concat" and affine.constant.size == 1 and source.attributes["axis"].as_int() == 1:
        layers = [value.producer() for value in source.inputs if value is not None and only_reader(value)]
        if len(layers) != len(source.inputs):
            return False
    factors = [_per_channel(affine.constant, each) for each in layers]
    if any(factor is None for factor in factors):
        return False
    for layer, factor in zip(layers, factors, strict=True):
        assert layer is not None, "checked above"
        assert factor is not None, "checked above"
        _scale_outputs(graph, layer, factor) if affine.scales else _shift_outputs(graph, layer, factor)
    bypass(graph, affine.node, affine.x)
    return True


def _merge(graph: ir.Graph, affine: Affine) -> bool:
    """Two scales or two shifts in a row become one; a scale goes before a shift."""
    source = affine.x.producer()
    if source is None or not only_reader(affine.x):
        return False
    before = _affine(source)
    if before is None or (before.scales and not affine.scales):
        return False
    with np.errstate(over="ignore"):
        joined = before.constant * affine.constant if affine.scales else before.constant + affine.constant
    if not np.isfinite(joined).all():
        return False
    if before.scales == affine.scales:
        made = [ir.node("Mul" if affine.scales else "Add", [before.x, _weight(graph, affine.node, joined)])]
    else:
        scale = ir.node("Mul", [before.x, _weight(graph, affine.node, affine.constant)])
        made = [scale, ir.node("Add", [scale.outputs[0], _weight(graph, affine.node, joined)])]
    swap(graph, affine.node, [affine.node, source], made)
    return True


def _after_pool(graph: ir.Graph, affine: Affine) -> bool:
    """Move a scale behind the average it feeds: fewer values, and nearer to the next layer."""
    value = affine.node.outputs[0]
    readers = [node for node, _ in value.uses()]
    if not affine.scales or not only_reader(value) or readers[0].op_type not in _POOLS or not _same_rank(affine):
        return False
    rank = len(affine.x.shape) if affine.x.shape is not None else 0
    if any(size != 1 for size in affine.constant.shape[::-1][: max(rank - 2, 0)]):
        return False  # the places that are averaged have different scales
    pool = readers[0]
    averaged = ir.Node("", pool.op_type, [affine.x], list(pool.attributes.values()), version=pool.version)
    scaled = ir.node("Mul", [averaged.outputs[0], _weight(graph, affine.node, affine.constant)])
    swap(graph, pool, [pool, affine.node], [averaged, scaled])
    return True


def _into_consumers(graph: ir.Graph, affine: Affine) -> bool:
    """Fold a scale for everything into the weights of all layers that read it."""
    if not affine.scales or affine.constant.size != 1 or not _same_rank(affine):
        return False
    layers = _readers(affine.node.outputs[0])
    if not layers:
        return False
    for layer in layers:
        _scale_weight(graph, layer, affine.constant.reshape(()))
    bypass(graph, affine.node, affine.x)
    return True


def _same_rank(affine: Affine) -> bool:
    """True when the constant surely adds no dimension to x."""
    return not affine.constant.ndim or (affine.x.shape is not None and affine.constant.ndim <= len(affine.x.shape))


def _readers(value: ir.Value) -> list[ir.Node]:
    """The layers that read a value, through what only moves values; empty when anything else reads it."""
    if value.is_graph_output() or not value.uses():
        return []
    layers: list[ir.Node] = []
    for node, index in value.uses():
        if node.op_type in _MOVERS and not node.domain and index == 0:
            further = _readers(node.outputs[0])
        else:
            further = [node] if index == 0 and _foldable(node) else []
        if not further:
            return []
        layers += further
    return layers


def _foldable(node: ir.Node) -> bool:
    """A convolution or matrix product with constant weights and bias."""
    if node.domain or node.op_type not in ("Conv", "Gemm"):
        return False
    plain = all(node.attributes[name].as_float() == 1 for name in ("alpha", "beta") if name in node.attributes)
    turned = "transA" in node.attributes and node.attributes["transA"].as_int() != 0
    return plain and not turned and all(floats(value) is not None for value in node.inputs[1:] if value is not None)


def _per_channel(constant: NDArray[Any], layer: ir.Node | None) -> NDArray[Any] | None:
    """A constant as a number or one value per output channel of `layer`; None when it is neither."""
    if layer is None or not _foldable(layer):
        return None
    weights = floats(layer.inputs[1])
    assert weights is not None, "a foldable layer has constant weights"
    if constant.size == 1 and constant.ndim <= weights.ndim:  # more dimensions would add some to the output
        return constant.reshape(())
    shape = (1,) * (weights.ndim - constant.ndim) + constant.shape
    channels = weights.shape[_output_axis(layer)]
    wanted = (1, channels, *(1,) * (weights.ndim - 2))
    return constant.reshape(-1) if shape == wanted else None


def _output_axis(layer: ir.Node) -> int:
    turned = "transB" in layer.attributes and layer.attributes["transB"].as_int() != 0
    return 0 if layer.op_type == "Conv" or turned else 1


def _scale_outputs(graph: ir.Graph, layer: ir.Node, factor: NDArray[Any]) -> None:
    weights = floats(layer.inputs[1])
    assert weights is not None, "a foldable layer has constant weights"
    along = [1] * weights.ndim
    along[_output_axis(layer)] = -1
    _scale_weight(graph, layer, factor.reshape(along) if factor.ndim else factor)
    if len(layer.inputs) > 2 and (bias := floats(layer.inputs[2])) is not None:
        layer.replace_input_with(2, _weight(graph, layer, bias * factor))


def _shift_outputs(graph: ir.Graph, layer: ir.Node, summand: NDArray[Any]) -> None:
    weights = floats(layer.inputs[1])
    assert weights is not None, "a foldable layer has constant weights"
    bias = floats(layer.inputs[2]) if len(layer.inputs) > 2 else None
    zeros = np.zeros(weights.shape[_output_axis(layer)], weights.dtype)
    shifted = _weight(graph, layer, (zeros if bias is None else bias) + summand)
    if len(layer.inputs) < 3:
        layer.resize_inputs(3)
    layer.replace_input_with(2, shifted)


def _scale_weight(graph: ir.Graph, layer: ir.Node, factor: NDArray[Any]) -> None:
    weights = floats(layer.inputs[1])
    assert weights is not None, "a foldable layer has constant weights"
    layer.replace_input_with(1, _weight(graph, layer, weights * factor))


def _weight(graph: ir.Graph, near: ir.Node, array: NDArray[Any]) -> ir.Value:
    """A new initializer of the dtype that is computed in; others may still read the old one."""
    dtype = next(c.dtype for c in map(floats, near.inputs) if c is not None)
    return add_weights(graph, np.asarray(array, dtype))
