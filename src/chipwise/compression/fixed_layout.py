"""Where a network is rounded when it becomes fixed point: which values, which of them share a radix point, what stays.

Every value that an integer operation gives is rounded, but for these: between a layer or a sum and the Relu or Clip
that alone reads it nothing is rounded; what only moves or selects numbers (Reshape, MaxPool, ...) keeps the radix point
of what it reads; what Concat joins has one radix point; and scores, which nothing reads, stay in the accumulator of the
layer that makes them where `keep_sums` says so: eight bits would make ties of them.

An operator without integer arithmetic may stand behind the last layer, as Softmax does: it stays float, and so does all
that reads it.

>>> text = '<ir_version: 8, opset_import: ["": 18]> g (float[N, 2] x) => (float[N, 2] y) '
>>> graph = ir.from_onnx_text(text + "<float[2, 2] w = {1, 2, 3, 4}> { h = MatMul(x, w) r = Relu(h) y = MatMul(r, w) }")
>>> layout = lay_out(graph)
>>> layout.rounded, layout.ends
(('x', 'r'), ('y',))
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from chipwise.core.errors import NetworkError
from chipwise.optimize.rewrite import constant, integer, is_op, number, only_reader, shape_of, weight_axes

if TYPE_CHECKING:
    from collections.abc import Iterable

LAYERS = ("Conv", "Gemm", "MatMul")
MOVES = (
    "MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Identity", "Dropout", "Pad",
)  # fmt: skip
SUMS = ("Add", "Sub", "Mul", "AveragePool", "GlobalAveragePool", "ReduceMean")
LIMITS = ("Relu", "Clip")
TABLES = ("Tanh", "Sigmoid", "HardSigmoid", "HardSwish", "LeakyRelu")
_PAIRS = ("Add", "Sub", "Mul")
# What were attributes, in the order of the inputs that they are since operator set 10, 11, 13 or 18.
_MOVED = {
    "Clip": ("min", "max"), "Squeeze": ("axes",), "Unsqueeze": ("axes",), "ReduceMean": ("axes",),
    "Slice": ("starts", "ends", "axes"), "Pad": ("pads", "value"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """The weights of a layer.

    Attributes:
        node: of the layer; name: of the initializer; axis: of its outputs.
        reads: the value that is multiplied with them; bias: the initializer, None for none.
    """

    node: ir.Node
    name: str
    axis: int
    reads: str
    bias: str | None


@dataclass(slots=True)
class Layout:
    """How a graph becomes fixed point.

    Attributes:
        graph: float32, in a form that can be written; a copy.
        rounded: values that are rounded, in the order they are computed; the input is first.
        leader: for each of these, the value whose radix point it takes: its own name, or another's.
        constants: initializers of sums, rounded as values are.
        layers: with weights.
        ends: the last values that are integers: what is float reads them, or nothing does.
        floating: operators that stay float, in order.
    """

    graph: ir.Model
    rounded: tuple[str, ...] = ()
    leader: dict[str, str] = field(default_factory=dict)
    constants: tuple[str, ...] = ()
    layers: tuple[LayerWeights, ...] = ()
    ends: tuple[str, ...] = ()
    floating: tuple[str, ...] = ()

    def source_of(self, name: str) -> str:
        """The value whose radix point one takes, after however many steps."""
        while self.leader[name] != name:
            name = self.leader[name]
        return name

    def sources(self) -> dict[str, tuple[str, ...]]:
        """By each value with a radix point of its own: all values that share it and are computed, not moved."""
        found: dict[str, tuple[str, ...]] = {}
        for name in self.rounded:
            node = self.value(name).producer()
            if not is_op(node, *MOVES, "Concat"):
                source = self.source_of(name)
                found[source] = (*found.get(source, ()), name)
        return found

    def value(self, name: str) -> ir.Value:
        """A value of the graph by its name."""
        return next(each for each in _values(self.graph.graph) if each.name == name)


def lay_out(graph: ir.Model, *, keep_sums: bool = True) -> Layout:
    """Decide where a graph is rounded.

    Args:
        graph: float32 with one input, simplified; is not changed.
        keep_sums: whether scores stay in the accumulator of the layer that makes them.

    Raises:
        NetworkError: a layer with weights stands behind an operator that has no integer arithmetic here, which is
            named; or the graph has several inputs.
    """
    copy = graph.clone()
    if len(copy.graph.inputs) != 1:
        raise NetworkError(f"the network has {len(copy.graph.inputs)} inputs; fixed point takes one")
    _as_today(copy.graph)
    _join_biases(copy.graph)
    layout, walk = Layout(copy), _Walk()
    start = _name(copy.graph.inputs[0])
    walk.fixed[start] = None
    layout.leader[start] = start
    for node in copy.graph:
        _place(layout, node, walk)
    kept = _kept_in_sums(layout, walk) if keep_sums else set()
    rounded = [name for name in walk.fixed if name in layout.leader and name not in kept]
    layout.rounded = tuple(rounded)
    layout.leader = {name: layout.leader[name] for name in rounded}
    layout.constants = tuple(dict.fromkeys(walk.constants))
    layout.layers, layout.floating = tuple(walk.layers), tuple(walk.floating)
    layout.ends = _ends(layout, walk)
    return layout


@dataclass(slots=True)
class _Walk:
    """What is known of the nodes so far: values that are integers, in order, and what becomes of the others."""

    fixed: dict[str, None] = field(default_factory=dict)
    constants: list[str] = field(default_factory=list)
    layers: list[LayerWeights] = field(default_factory=list)
    floating: list[str] = field(default_factory=list)
    culprit: str = ""


def _place(layout: Layout, node: ir.Node, walk: _Walk) -> None:
    """Decide what becomes of a node."""
    data = [each for each in node.inputs if each is not None and constant(each) is None]
    if not data:
        return
    output = _name(node.outputs[0])
    if not (_has_integers(node) and all(each.name in walk.fixed for each in data)):
        walk.culprit = walk.culprit or node.op_type
        if is_op(node, *LAYERS):
            raise NetworkError(
                f"{walk.culprit} has no integer arithmetic here, and {node.op_type} reads what it gives",
                hint=f"integers are known for {', '.join((*LAYERS, *SUMS, *LIMITS, *TABLES, *MOVES, 'Concat'))}",
            )
        walk.floating.append(node.op_type)
        return
    walk.fixed[output] = None
    if is_op(node, *LAYERS):
        walk.layers.append(_weights_of(node))
    if is_op(node, *_PAIRS):
        walk.constants += [_name(each) for each in node.inputs if constant(each) is not None]
    if is_op(node, *MOVES):
        layout.leader[output] = layout.source_of(_name(node.inputs[0]))
    elif is_op(node, "Concat"):
        first, *others = (layout.source_of(_name(each)) for each in node.inputs if each is not None)
        for other in others:
            layout.leader[other] = first
        layout.leader[output] = first
    elif not _limited_next(node):
        layout.leader[output] = output


def _has_integers(node: ir.Node) -> bool:
    """Whether a node, as it is, has integer arithmetic here."""
    others = node.inputs[1:]
    if is_op(node, *LAYERS):
        plain = not is_op(node, "Gemm") or (
            number(node, "alpha", 1.0) == number(node, "beta", 1.0) == 1.0 and not integer(node, "transA", 0)
        )
        return plain and all(each is None or (constant(each) is not None and each.is_initializer()) for each in others)
    if is_op(node, *MOVES):
        several = any(each.uses() or each.is_graph_output() for each in node.outputs[1:])
        return not several and all(each is None or constant(each) is not None for each in others) and _pads_zero(node)
    if is_op(node, *_PAIRS):
        return all(constant(each) is None or (each is not None and each.is_initializer()) for each in node.inputs)
    if is_op(node, "Concat"):
        return all(constant(each) is None for each in node.inputs)
    return is_op(node, *SUMS, *LIMITS, *TABLES) and all(each is None or constant(each) is not None for each in others)


def _pads_zero(node: ir.Node) -> bool:
    if not is_op(node, "Pad"):
        return True
    fill = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    mode = node.attributes["mode"].as_string() if "mode" in node.attributes else "constant"
    return mode == "constant" and (fill is None or not np.any(fill))


def _limited_next(node: ir.Node) -> bool:
    """Whether a Relu or Clip alone reads what a layer or sum gives: then its wide sum goes there as it is."""
    output = node.outputs[0]
    if not is_op(node, *LAYERS, *SUMS) or not only_reader(output):
        return False
    (reader,) = output.consumers()
    return is_op(reader, *LIMITS) and _has_integers(reader)


def _weights_of(node: ir.Node) -> LayerWeights:
    weight, bias = node.inputs[1], node.inputs[2] if len(node.inputs) > 2 else None
    assert weight is not None
    shape = shape_of(weight) or ()
    return LayerWeights(
        node,
        _name(weight),
        weight_axes(node, len(shape))[0],
        _name(node.inputs[0]),
        bias.name if bias is not None and bias.name else None,
    )


def _kept_in_sums(layout: Layout, walk: _Walk) -> set[str]:
    """Sums of layers that no integer operation reads."""
    made = {_name(layer.node.outputs[0]) for layer in walk.layers}
    return {
        name
        for name in made & layout.leader.keys()
        if not any(_name(use.node.outputs[0]) in walk.fixed for use in layout.value(name).uses())
    }


def _ends(layout: Layout, walk: _Walk) -> tuple[str, ...]:
    found = []
    for name in walk.fixed:
        value = layout.value(name)
        floats = any(_name(use.node.outputs[0]) not in walk.fixed for use in value.uses())
        if value.is_graph_output() or floats:
            found.append(name)
    return tuple(found)


def _as_today(graph: ir.Graph) -> None:
    """Make inputs of the attributes that operators had in older operator sets."""
    for node in list(graph):
        wanted = _MOVED.get(node.op_type, ())
        given = {name: node.attributes.pop(name) for name in wanted if name in node.attributes}
        if not given or not is_op(node, *_MOVED):
            node.attributes.update(given)
            continue
        fresh = [None if name not in given else _as_input(graph, given[name], node.op_type) for name in wanted]
        while fresh and fresh[-1] is None:
            fresh.pop()
        node.resize_inputs(1 + len(fresh))
        for place, value in enumerate(fresh, 1):
            node.replace_input_with(place, value)


def _as_input(graph: ir.Graph, attribute: ir.Attr, kind: str) -> ir.Value:
    array = np.asarray(attribute.value, np.float32 if kind == "Clip" or attribute.name == "value" else np.int64)
    name = free_name(graph, f"{kind.lower()}_{attribute.name}")
    value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
    graph.register_initializer(value)
    return value


def _join_biases(graph: ir.Graph) -> None:
    """Make one Gemm of a MatMul of rows and the sum with a vector: its bias then has the accumulator's radix point."""
    for node in list(graph):
        if not is_op(node, "MatMul") or not only_reader(node.outputs[0]):
            continue
        (reader,), weight = node.outputs[0].consumers(), constant(node.inputs[1])
        rank = len(shape_of(node.inputs[0]) or ())
        if not is_op(reader, "Add") or weight is None or weight.ndim != 2 or rank != 2:
            continue
        bias = next((each for each in reader.inputs if each is not node.outputs[0]), None)
        array = constant(bias)
        if array is None or array.size not in (1, weight.shape[1]) or array.ndim > 2:
            continue
        gemm = ir.node("Gemm", [node.inputs[0], node.inputs[1], bias], name=node.name)
        output = reader.outputs[0]
        gemm.outputs[0].name, gemm.outputs[0].type, gemm.outputs[0].shape = output.name, output.type, output.shape
        graph.insert_before(reader, gemm)
        output.replace_all_uses_with(gemm.outputs[0], replace_graph_outputs=True)
        graph.remove([reader, node], safe=True)


def free_name(graph: ir.Graph, wanted: str) -> str:
    """A name that no value of the graph has: the one wanted, or with a number."""
    taken = {value.name for value in _values(graph)} | set(graph.initializers)
    name, count = wanted, 1
    while name in taken:
        name, count = f"{wanted}_{count}", count + 1
    return name


def _values(graph: ir.Graph) -> Iterable[ir.Value]:
    yield from graph.inputs
    for node in graph:
        yield from node.outputs


def _name(value: ir.Value | None) -> str:
    assert value is not None
    assert value.name
    return value.name
