"""Remove transposes: move them through what works in any order of axes, until they meet their inverse or a weight.

Networks that keep channels last, as TensorFlow and Keras do, come as convolutions with a transpose on either side.

    Conv -> T -> Relu -> T^-1 -> Conv      =>  Conv -> Relu -> Conv
    T -> Add(T) -> T^-1, Concat, Pad, ...  =>  Add, Concat on another axis, Pad with other pads, ...
    T -> Flatten -> Gemm(W)                =>  Flatten -> Gemm(W with its rows in another order)
    T -> T                                 =>  T

Every node that can work in two orders is given one of them such that the fewest transposes are left, and among those
the fewest values are moved: a minimum cut, as one side of an edge between two orders pays for the transpose (one, for
all its readers). So there are never more transposes than before, and no more values to move. A transpose that moves
only axes of size 1 moves no value: it becomes a Reshape. Reductions over the last axis stay there: they are slow
elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as ir_passes

from chipwise.optimize.absorb_transposes import absorb, absorbs
from chipwise.optimize.layouts import Moved, Perm, inverse, moved, moves_nothing, turn
from chipwise.optimize.minimum_cut import SINK, SOURCE, minimum_cut
from chipwise.optimize.rewrite import add_weights, bypass, constant, is_op, permutation, shape_of, swap

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LABEL = "close"  # a sum over axes in another order rounds differently
_MIN_OPSET = 7  # before, broadcasting was an attribute
_MAX_ROUNDS = 100


@dataclass(frozen=True, slots=True)
class Edge:
    """A value between its maker and its readers, each a number of the cut's.

    Attributes:
        maker: who makes it; readers: who read it.
        moves: how many values a transpose of it moves; 0 where that only renames axes.
    """

    maker: int
    readers: frozenset[int]
    moves: int


def apply(model: ir.Model) -> str:
    """Remove transposes in place; their number never grows."""
    graph = model.graph
    before = sum(is_op(node, "Transpose") for node in graph)
    if not before or model.opset_imports.get("", 0) < _MIN_OPSET:
        return ""
    ir_passes.ShapeInferencePass(check_type=False, strict_mode=False)(model)
    changed = False
    for _ in range(_MAX_ROUNDS):
        steps = [_merge(graph)]
        for perm in _permutations(graph):
            steps += [_move(graph, perm), _merge(graph)]  # merged at once, as moving leaves inverse pairs
        if not any([*steps, _absorb(graph)]):
            break
        changed = True
    changed |= _reshape(graph)
    left = sum(is_op(node, "Transpose") for node in graph)
    return f"removed {before - left} of {before} transpose{'s' if before != 1 else ''}" if changed else ""


def _transposes(graph: ir.Graph) -> list[tuple[ir.Node, ir.Value, Perm]]:
    """Every transpose with what it reads and its permutation, in order."""
    found = ((node, node.inputs[0], permutation(node)) for node in graph if is_op(node, "Transpose"))
    return [(node, value, perm) for node, value, perm in found if value is not None and perm is not None]


def _permutations(graph: ir.Graph) -> list[Perm]:
    perms = {perm for _, _, perm in _transposes(graph)}
    return sorted(perms | {inverse(perm) for perm in perms})


def _merge(graph: ir.Graph) -> bool:
    """Transposes of transposes, of weights, of nothing, and twice the same; those that nobody reads."""
    changed, seen = False, dict[tuple[ir.Value, Perm], ir.Value]()
    for node, _, turned in _transposes(graph):
        value, perm = node.inputs[0], turned  # another than was listed, where the transpose before it has gone
        assert value is not None, "listed"
        source = value.producer()
        first = permutation(source) if source is not None and is_op(source, "Transpose") else None
        if source is not None and first is not None and source.inputs[0] is not None:
            value, perm = source.inputs[0], tuple(first[axis] for axis in perm)
            node.replace_input_with(0, value)
            node.attributes.add(ir.AttrInt64s("perm", perm))
            changed = True
        array = constant(value)
        output = node.outputs[0]
        if perm == tuple(range(len(perm))):
            bypass(graph, node, value)
        elif output.is_graph_output():
            continue
        elif array is not None and len(value.uses()) == 1 and not value.is_graph_output():
            bypass(graph, node, add_weights(graph, array.transpose(perm), "turned"))
        elif (value, perm) in seen:
            bypass(graph, node, seen[value, perm])
        else:
            seen[value, perm] = output
            continue
        changed = True
    return _drop_unread(graph) or changed


def _drop_unread(graph: ir.Graph) -> bool:
    unread = [node for node in graph if is_op(node, "Transpose") and _is_unread(node)]
    for node in unread:
        graph.remove(node, safe=True)
    return bool(unread)


def _is_unread(node: ir.Node) -> bool:
    return not node.outputs[0].uses() and not node.outputs[0].is_graph_output()


def _move(graph: ir.Graph, perm: Perm) -> bool:
    """Choose for every node whether it works in the order that `perm` makes the present one of."""
    followers = {node: change for node in graph if (change := moved(node, perm)) is not None}
    numbers = {node: number for number, node in enumerate(followers, 2)}
    edges = list(_edges(graph, perm, followers, numbers))
    if not any(SINK in (edge.maker, *edge.readers) for edge in edges):
        return False
    side = _cheapest(edges, len(numbers) + 2)
    if _cost(edges, side) >= _cost(edges, {SINK}) or _values(edges, side) > _values(edges, {SINK}):
        return False
    for node, change in followers.items():
        if numbers[node] in side:
            _turn(graph, node, change, perm)
    return True


def _edges(graph: ir.Graph, perm: Perm, followers: dict[ir.Node, Moved], numbers: dict[ir.Node, int]) -> Iterable[Edge]:
    """Every value of as many axes as `perm` that could be wanted in both orders."""
    for value in _values_of(graph):
        shape = shape_of(value)
        if shape is None or len(shape) != len(perm):
            continue
        node = value.producer()
        maker = SOURCE if node is None else SINK if _turns(node, perm) else numbers.get(node, SOURCE)
        readers = {SOURCE} if value.is_graph_output() else set[int]()
        for reader, index in value.uses():
            if reader in followers:
                readers.add(numbers[reader] if index in followers[reader].data else SOURCE)
            elif _turns(reader, inverse(perm)) and reader.graph is graph:
                readers.add(SINK)
            elif not absorbs(graph, reader, index, perm):
                readers.add(SOURCE)
        if readers - {maker}:
            moves = 0 if moves_nothing(value, perm) else prod(size or 1 for size in shape)
            yield Edge(maker, frozenset(readers), moves)


def _values_of(graph: ir.Graph) -> Iterable[ir.Value]:
    yield from graph.inputs
    for node in graph:
        yield from node.outputs


def _turns(node: ir.Node, perm: Perm) -> bool:
    return is_op(node, "Transpose") and permutation(node) == perm


def _cheapest(edges: Sequence[Edge], size: int) -> set[int]:
    """The nodes that should work in the other order. Who makes a value pays once, however many read it otherwise."""
    dear = sum(edge.moves for edge in edges) + len(edges) + 1
    never = dear * (len(edges) + 1) * 2
    costs = []
    number = count(size)
    for edge in edges:
        cost = dear + edge.moves if edge.moves else 1
        if edge.maker != SINK:
            meeting = next(number)
            costs += [(edge.maker, meeting, cost), *((meeting, reader, never) for reader in edge.readers)]
        if edge.maker != SOURCE:
            meeting = next(number)
            costs += [(meeting, edge.maker, cost), *((reader, meeting, never) for reader in edge.readers)]
    return minimum_cut(next(number), costs)


def _cut(edges: Iterable[Edge], side: set[int]) -> Iterable[Edge]:
    return (edge for edge in edges if any((reader in side) != (edge.maker in side) for reader in edge.readers))


def _cost(edges: Iterable[Edge], side: set[int]) -> tuple[int, int]:
    """How many transposes there would be, and how many values they would move."""
    moves = [edge.moves for edge in _cut(edges, side) if edge.moves]
    return len(moves), sum(moves)


def _values(edges: Iterable[Edge], side: set[int]) -> int:
    return _cost(edges, side)[1]


def _turn(graph: ir.Graph, node: ir.Node, change: Moved, perm: Perm) -> None:
    """Make one node work in the other order, between two transposes that the next rounds merge."""
    for index in change.data:
        value = node.inputs[index]
        assert value is not None, "data inputs are given"
        turned = _transpose(value, inverse(perm))
        graph.insert_before(node, turned)
        node.replace_input_with(index, turned.outputs[0])
    turn(graph, node, change)
    for output in node.outputs:
        shape = output.shape
        assert shape is not None, "checked by `moved`"
        back = _transpose(output, perm)
        readers = [use for use in output.uses() if use.node is not back]
        graph.insert_after(node, back)
        for reader, index in readers:
            reader.replace_input_with(index, back.outputs[0])
        back.outputs[0].type, back.outputs[0].shape = output.type, shape
        output.shape = ir.Shape([shape[axis] for axis in inverse(perm)])
        if output.is_graph_output():
            _give_name(graph, output, back.outputs[0])


def _give_name(graph: ir.Graph, old: ir.Value, new: ir.Value) -> None:
    """Let another value be the graph's output of this name."""
    name = old.name
    for index, output in enumerate(graph.outputs):
        if output is old:
            graph.outputs[index] = new
    old.name, new.name = f"{name}_turned", name


def _transpose(value: ir.Value, perm: Perm) -> ir.Node:
    node = ir.node("Transpose", [value], attributes={"perm": list(perm)})
    made = node.outputs[0]
    made.type = value.type
    if value.shape is not None:
        made.shape = ir.Shape([value.shape[axis] for axis in perm])
    return node


def _absorb(graph: ir.Graph) -> bool:
    """Let the readers of a transpose do without it, where all of them can."""
    changed = False
    for node, value, perm in _transposes(graph):
        output = node.outputs[0]
        uses = list(output.uses())
        if not uses or output.is_graph_output() or not all(absorbs(graph, *use, perm) for use in uses):
            continue
        for reader, index in uses:
            absorb(graph, reader, index, value, perm)
        changed = True
    return _drop_unread(graph) or changed


def _reshape(graph: ir.Graph) -> bool:
    """Transposes that only rename axes become a Reshape, which moves nothing."""
    changed = False
    for node, value, perm in _transposes(graph):
        shape = shape_of(value)
        if shape is None or 0 in shape or not moves_nothing(value, perm):
            continue
        sizes = [0 if shape[axis] is None and axis == place else shape[axis] for place, axis in enumerate(perm)]
        if sizes.count(None) > 1:
            continue
        target = np.array([-1 if size is None else size for size in sizes], np.int64)
        swap(graph, node, [node], [ir.node("Reshape", [value, add_weights(graph, target, "shape")])])
        changed = True
    return changed
