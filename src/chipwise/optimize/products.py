"""A product as people write it, in any order: a number, what is multiplied, and what it is divided by.

For passes that look for formulas: x * 0.5 * (1 + erf(x / 1.414)) has many spellings and one meaning.

>>> x = ir.Value(name="x")
>>> half = ir.Value(name="half", const_value=ir.tensor(np.float32(0.5)))
>>> found = product(ir.node("Mul", [half, x]).outputs[0])
>>> found.number, [value.name for value in found.over], found.under
(0.5, ['x'], ())
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from chipwise.optimize.rewrite import constant, is_op, only_reader, swap

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_DEEPEST = 8  # longer ones are no formula that anybody knows
_TOLERANCE = 1e-5  # relative: constants are written with seven digits


@dataclass(frozen=True, slots=True)
class Product:
    """number * (all of `over`) / (all of `under`), as `nodes` compute it."""

    number: float
    over: tuple[ir.Value, ...]
    under: tuple[ir.Value, ...] = ()
    nodes: tuple[ir.Node, ...] = ()

    def is_times(self, number: float, over: int, under: int = 0) -> bool:
        """True for this number times so many values, divided by so many."""
        return near(self.number, number) and (len(self.over), len(self.under)) == (over, under)


def near(number: float | None, wanted: float) -> bool:
    """True when a constant was meant to be this number."""
    return number is not None and abs(number - wanted) <= _TOLERANCE * abs(wanted)


def scalar(value: ir.Value | None) -> float | None:
    """A constant of one value, that surely adds no axes."""
    array = constant(value)
    plain = array is not None and array.size == 1 and array.ndim <= 1 and np.issubdtype(array.dtype, np.floating)
    return float(array.ravel()[0]) if plain and array is not None else None


def product(value: ir.Value, depth: int = 0) -> Product:
    """Take a product apart, through nodes whose results nobody else reads; `depth` is how far we have come."""
    node = value.producer()
    number = scalar(value)
    if number is not None:
        return Product(number, ())
    if node is None or not is_op(node, "Mul", "Div", "Reciprocal") or None in node.inputs:
        return Product(1.0, (value,))
    if "axis" in node.attributes or depth > _DEEPEST or (depth and not only_reader(value)):
        return Product(1.0, (value,))
    parts = [product(each, depth + 1) for each in node.inputs if each is not None]
    if is_op(node, "Mul"):
        left, right = parts
    else:
        left, right = (parts[0] if len(parts) > 1 else Product(1.0, ())), _inverse(parts[-1])
    nodes = (node, *left.nodes, *right.nodes)
    return Product(left.number * right.number, left.over + right.over, left.under + right.under, nodes)


def _inverse(part: Product) -> Product:
    number = 1 / part.number if part.number else float("nan")
    return Product(number, part.under, part.over, part.nodes)


def plus(value: ir.Value, number: float) -> tuple[ir.Value, ir.Node] | None:
    """What `value` adds a number to, and the node that does."""
    node = value.producer()
    if node is None or not is_op(node, "Add") or node.attributes:
        return None
    left, right = node.inputs
    for x, shift in ((left, right), (right, left)):
        if x is not None and near(scalar(shift), number):
            return x, node
    return None


def replace(graph: ir.Graph, old: Iterable[ir.Node], new: Sequence[ir.Node]) -> bool:
    """Put nodes in the place of a formula, whose first node is the last one computed.

    Returns:
        False, and nothing changed, where anything else reads a value inside the formula.
    """
    nodes = list(dict.fromkeys(old))
    inside = set(nodes)
    for node in nodes[1:]:
        for value in node.outputs:
            if value.is_graph_output() or any(use.node not in inside for use in value.uses()):
                return False
    if any(node.graph is not graph for node in nodes):
        return False
    swap(graph, nodes[0], nodes, new)
    return True
