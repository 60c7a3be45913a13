"""Fold multiplications and additions of constants into the convolutions and matrix products around them.

Scaled activations, normalised inputs and hand-written subsampling leave chains of `Mul` and `Add` with constants. Each
is a pass over memory and a call that no runtime takes away. One number per channel folds into the weights before it, or
into the weights of all that read it, through whatever only moves values, averages them or takes the largest; a positive
factor also through rectifiers. An addition does not fold into a padded convolution: its border stays zero.

    Conv -> Mul c         =>  Conv with c W, c b            AveragePool(Mul(x, c))  =>  Mul(AveragePool(x), c)
    Conv -> Add c         =>  Conv with W, b + c            Mul(Add(x, a), c)       =>  Add(Mul(x, c), a c)
    Mul c -> Conv         =>  Conv with c W                 Mul(Mul(x, a), c)       =>  Mul(x, a c)
    Add c -> Conv         =>  Conv with W, b + c W          Mul c -> Add a -> Conv  =>  Add a / c -> Conv with c W
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from chipwise.optimize.affine import Affine, channels_at, rank_of
from chipwise.optimize.rescale import ahead, behind, commit
from chipwise.optimize.rewrite import add_weights, bypass, floats, is_op, only_reader, swap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

LABEL = "close"
_POOLS = ("AveragePool", "GlobalAveragePool")
_MAX_ROUNDS = 1000


@dataclass(frozen=True, slots=True)
class Step:
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
        if not sum(_fold(model.graph, step) for step in _steps(model.graph)):
            break
    gone = before - len(model.graph)
    return f"folded {gone} constant factors and summands into neighbouring layers" if gone > 0 else ""


def _steps(graph: ir.Graph) -> Iterator[Step]:
    """Every multiplication or addition of a float constant, read from the graph as it is when it is asked for."""
    for node in list(graph):
        step = _step(node) if node.graph is not None else None
        if step is not None:
            yield step


def _step(node: ir.Node) -> Step | None:
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
    return Step(node, x, turned, node.op_type in ("Mul", "Div")) if np.isfinite(turned).all() else None


def _fold(graph: ir.Graph, step: Step) -> bool:
    """Try the rules in turn; True when one of them changed the graph."""
    return (
        _into_producers(graph, step)
        or _into_consumers(graph, step)
        or _around_shift(graph, step)
        or _merge(graph, step)
        or _after_pool(graph, step)
    )


def _into_producers(graph: ir.Graph, step: Step) -> bool:
    """Fold into the layer before, or into all layers before a concatenation."""
    affine = _as_affine(step)
    if affine is None or not commit(graph, behind(step.x, affine)):
        return False
    bypass(graph, step.node, _x(step))
    return True


def _into_consumers(graph: ir.Graph, step: Step) -> bool:
    """Fold into all layers that read it."""
    affine = _as_affine(step)
    if affine is None or not commit(graph, ahead(step.node.outputs[0], affine, graph)):
        return False
    bypass(graph, step.node, step.x)
    return True


def _around_shift(graph: ir.Graph, step: Step) -> bool:
    """Where x * c + a is (x + a / c) * c: fold the scale into the padded layers that read it."""
    value = step.node.outputs[0]
    affine = _as_affine(step)
    if affine is None or not step.scales or not only_reader(value):
        return False
    shift = _step(next(iter(value.uses())).node)
    if shift is None or shift.scales or shift.node.graph is not graph:
        return False
    with np.errstate(all="ignore"):
        before = (shift.constant / step.constant).astype(step.constant.dtype)
    # Only a change of each value for itself may be put in front of a scale per channel.
    if not np.isfinite(before).all() or not _keeps_shape(shift):
        return False
    if not commit(graph, ahead(shift.node.outputs[0], affine, graph)):
        return False
    swap(graph, shift.node, [shift.node, step.node], [ir.node("Add", [step.x, add_weights(graph, before)])])
    return True


def _as_affine(step: Step) -> Affine | None:
    """As a number or one per channel; None where the constant is more than that, or adds dimensions."""
    shape = step.constant.shape
    places = [len(shape) - 1 - axis for axis, size in enumerate(shape) if size != 1]
    if not _keeps_rank(step) or len(places) > 1 or (places and channels_at(step.x, places[0]) != step.constant.size):
        return None
    values = step.constant.reshape(-1) if places else step.constant.reshape(())
    place = places[0] if places else None
    return Affine.of(scale=values, place=place) if step.scales else Affine.of(shift=values, place=place)


def _keeps_shape(step: Step) -> bool:
    """True when the constant surely adds nothing to the shape of x."""
    return _keeps_rank(step) if step.constant.size == 1 else _as_affine(step) is not None


def _keeps_rank(step: Step) -> bool:
    rank = rank_of(step.x)
    return not step.constant.ndim or (rank is not None and step.constant.ndim <= rank)


def _x(step: Step) -> ir.Value:
    """What the node reads now: an addition may have been put behind what it read."""
    value = step.node.inputs[1 if floats(step.node.inputs[0]) is not None else 0]
    assert value is not None, "an operator of two inputs"
    return value


def _merge(graph: ir.Graph, step: Step) -> bool:
    """Two scales or two shifts in a row become one; a scale goes before a shift."""
    source = step.x.producer()
    if source is None or not only_reader(step.x):
        return False
    before = _step(source)
    if before is None or (before.scales and not step.scales):
        return False
    with np.errstate(over="ignore"):
        joined = before.constant * step.constant if step.scales else before.constant + step.constant
    if not np.isfinite(joined).all():
        return False
    if before.scales == step.scales:
        made = [ir.node("Mul" if step.scales else "Add", [before.x, _weight(graph, step.node, joined)])]
    else:
        scale = ir.node("Mul", [before.x, _weight(graph, step.node, step.constant)])
        made = [scale, ir.node("Add", [scale.outputs[0], _weight(graph, step.node, joined)])]
    swap(graph, step.node, [step.node, source], made)
    return True


def _after_pool(graph: ir.Graph, step: Step) -> bool:
    """Move a scale behind the average it feeds: fewer values, and nearer to the next layer."""
    value = step.node.outputs[0]
    if not step.scales or not only_reader(value) or not _keeps_rank(step):
        return False
    pool = next(iter(value.uses())).node
    if not is_op(pool, *_POOLS) or pool.graph is not graph:
        return False
    rank = rank_of(step.x) or 0
    if any(size != 1 for size in step.constant.shape[::-1][: max(rank - 2, 0)]):
        return False  # the places that are averaged have different scales
    averaged = ir.Node("", pool.op_type, [step.x], list(pool.attributes.values()), version=pool.version)
    scaled = ir.node("Mul", [averaged.outputs[0], _weight(graph, step.node, step.constant)])
    swap(graph, pool, [pool, step.node], [averaged, scaled])
    return True


def _weight(graph: ir.Graph, near: ir.Node, array: NDArray[Any]) -> ir.Value:
    """A new initializer of the dtype that is computed in; others may still read the old one."""
    dtype = next(c.dtype for c in map(floats, near.inputs) if c is not None)
    return add_weights(graph, np.asarray(array, dtype))
