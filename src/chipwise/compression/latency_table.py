"""How long each layer of a graph takes, by its widths: measured at a few of them, and in between by straight lines.

A layer alone, as a graph of one node, is timed at widths that the machine likes; layers that differ in nothing but
their weights are timed once. The sum over layers stands for the network, as in T.-J. Yang and others, "NetAdapt:
platform-aware neural network adaptation for mobile applications", ECCV 2018.

>>> shape = LayerShape("Gemm", b"", (), (), 0, 0)
>>> times = LayerTimes(shape, (8, 16), (16,), ((1.0,), (3.0,)))
>>> times.seconds(8, 16), times.seconds(12, 16), times.seconds(0, 16)
(1.0, 2.0, 0.0)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from chipwise.core.errors import NetworkError
from chipwise.core.events import Progress, silent
from chipwise.optimize.rewrite import constant, integer, is_op, shape_of, weight_axes
from chipwise.training.trainable import LAYERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    Timed = Callable[[bytes, NDArray[np.float32], float], float]

_SHARES = (0.25, 0.5, 0.75)  # of a layer's width, at which it is timed besides the whole and the narrowest
_LONGEST_S = 0.5  # of timing at one pair of widths
_OPSET = 18


@dataclass(frozen=True, slots=True)
class LayerShape:
    """What a layer's time depends on, its widths left out.

    Attributes:
        kind: the operator; attributes: its attributes, serialized.
        places: dimensions of the input, the channels left out.
        kernel: dimensions of the weights, inputs and outputs left out.
        group_inputs, group_outputs: channels of each group where there are several; 0 where there are not.
    """

    kind: str
    attributes: bytes
    places: tuple[int, ...]
    kernel: tuple[int, ...]
    group_inputs: int
    group_outputs: int


@dataclass(frozen=True, slots=True)
class LayerAt:
    """A layer of a graph: its weights' initializer, its shape, and how many channels it reads and makes."""

    weight: str
    shape: LayerShape
    inputs: int
    outputs: int


@dataclass(frozen=True, slots=True)
class LayerTimes:
    """Seconds of one kind of layer by width.

    Attributes:
        shape: of the layer.
        inputs, outputs: widths at which it was timed, rising; of grouped layers the inputs are one, and not looked at.
        measured_s: a row for each of `inputs`, a number for each of `outputs`.
    """

    shape: LayerShape
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    measured_s: tuple[tuple[float, ...], ...]

    def seconds(self, inputs: float, outputs: float) -> float:
        """Between measured widths along straight lines, first by outputs, then by inputs; nothing where a width is 0.

        Args:
            inputs: channels read; beyond the widest that was measured, its time.
            outputs: channels made.
        """
        if inputs <= 0 or outputs <= 0:
            return 0.0
        by_inputs = [float(np.interp(outputs, (0, *self.outputs), (0.0, *row))) for row in self.measured_s]
        if self.shape.group_inputs:
            return by_inputs[0]
        return float(np.interp(inputs, (0, *self.inputs), (0.0, *by_inputs)))


@dataclass(frozen=True, slots=True)
class LatencyTable:
    """The times of all layers of a graph, and of no other.

    Attributes:
        title: what they were measured on, as "onnxruntime fp32 x1"; step: whose multiples the widths are.
        rows: one for each shape.
    """

    title: str
    step: int
    rows: tuple[LayerTimes, ...]

    def seconds(self, layers: Iterable[LayerAt]) -> float:
        """The sum over layers, each at its widths."""
        known = {row.shape: row for row in self.rows}
        return sum(known[layer.shape].seconds(layer.inputs, layer.outputs) for layer in layers)


def layers_of(graph: ir.Model) -> tuple[LayerAt, ...]:
    """The layers with weights of their own, in the graph's order, for one item.

    Args:
        graph: with shapes inferred.

    Raises:
        NetworkError: a size besides the first one's is not known.
    """
    return tuple(_layer(node, weights) for node, weights in layer_nodes(graph))


def layer_nodes(graph: ir.Model) -> list[tuple[ir.Node, NDArray[Any]]]:
    """Nodes with weights of their own, and these, in the graph's order."""
    found = []
    for node in graph.graph:
        weights = constant(node.inputs[1]) if is_op(node, *LAYERS) else None
        if weights is not None and weights.ndim > 1:
            found.append((node, weights))
    return found


def weights_of(node: ir.Node) -> str:
    """The name of the initializer that holds a layer's weights."""
    value = node.inputs[1]
    return "" if value is None else value.name or ""


def _layer(node: ir.Node, weights: NDArray[Any]) -> LayerAt:
    shape = shape_of(node.inputs[0])
    if shape is None or any(size is None for size in shape[1:]):
        said = f"what {node.name or weights_of(node)} reads has sizes that are not known: {shape}"
        raise NetworkError(said, hint="give --input-shape")
    sizes = [size or 0 for size in (shape[0] or 1, *shape[1:])]
    axis = len(sizes) - 1 if node.op_type == "MatMul" else 1
    made, read = weight_axes(node, weights.ndim)
    groups = integer(node, "group", 1)
    attributes = b"".join(
        ir.to_proto(each).SerializeToString(deterministic=True)
        for key, each in sorted(node.attributes.items())
        if key != "group"
    )
    inputs = sizes[axis]
    outputs = weights.shape[made] * (groups if node.op_type == "ConvTranspose" else 1)
    return LayerAt(
        weights_of(node),
        LayerShape(
            node.op_type,
            attributes,
            tuple(sizes[:axis] + sizes[axis + 1 :]),
            tuple(size for each, size in enumerate(weights.shape) if each not in (read, made)),
            inputs // groups if groups > 1 else 0,
            outputs // groups if groups > 1 else 0,
        ),
        inputs,
        outputs,
    )


def widths(width: int, step: int) -> tuple[int, ...]:
    """Where a layer of a width is timed: multiples of the step, the narrowest, and all of it.

    >>> widths(64, 16), widths(100, 16), widths(10, 16)
    ((16, 32, 48, 64), (16, 32, 64, 80, 100), (10,))
    """
    inner = {-(-int(share * width) // step) * step for share in _SHARES} | {step}
    return (*sorted(each for each in inner if 0 < each < width), width)


def measured(
    graph: ir.Model,
    timed: Timed,
    *,
    known: LatencyTable,
    budget_s: float = 30.0,
    progress: Progress = silent,
) -> LatencyTable:
    """Time every kind of layer that a graph has and the table lacks, at a few widths each.

    Args:
        graph: with shapes inferred.
        timed: gives the seconds of one layer: a serialized graph of one node, its input, and how long to time it.
        known: whose step the widths are multiples of, and what is not timed again; the same where nothing is lacking.
        budget_s: about how long all of it takes.
        progress: told how far it is.

    Raises:
        NetworkError: a size is not known. What `timed` raises.
    """
    there = {row.shape for row in known.rows}
    first: dict[LayerShape, ir.Node] = {}
    wide: dict[LayerShape, list[tuple[int, int]]] = {}
    for layer, (node, _) in zip(layers_of(graph), layer_nodes(graph), strict=True):
        if layer.shape not in there:
            first.setdefault(layer.shape, node)
            wide.setdefault(layer.shape, []).append((layer.inputs, layer.outputs))
    grids = {shape: _grid(shape, found, known.step) for shape, found in wide.items()}
    points = sum(len(each[0]) * len(each[1]) for each in grids.values())
    each_s, done, rows = min(_LONGEST_S, budget_s / max(points, 1)), 0, list(known.rows)
    for shape, (reads, makes) in grids.items():
        found: list[tuple[float, ...]] = []
        for inputs in reads:
            made = [one_layer(first[shape], shape, inputs, outputs) for outputs in makes]
            found.append(tuple(timed(model, given, each_s) for model, given in made))
            done += len(makes)
            progress.update("compress", done / points, f"timing layers, {done} of {points}")
        rows.append(LayerTimes(shape, reads, makes, tuple(found)))
    return replace(known, rows=tuple(rows))


def _grid(shape: LayerShape, found: list[tuple[int, int]], step: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Widths at which layers of these inputs and outputs are timed, all of their own among them."""
    reads, makes = ({each for width in set(side) for each in widths(width, step)} for side in zip(*found, strict=True))
    if not shape.group_inputs:
        return tuple(sorted(reads)), tuple(sorted(makes))
    whole = {max(1, each // shape.group_outputs) * shape.group_outputs for each in makes}
    return (1,), tuple(sorted(whole))


def one_layer(node: ir.Node, shape: LayerShape, inputs: int, outputs: int) -> tuple[bytes, NDArray[np.float32]]:
    """A graph of a node like this one with weights drawn by seed, and its input.

    Args:
        node: whose attributes it has.
        shape: of the node.
        inputs: channels read; of a grouped layer they follow from `outputs`.
        outputs: channels made.

    Returns:
        the serialized graph, whose node and output are called "layer", and what it is fed with.
    """
    groups = 1
    if shape.group_inputs:
        groups = max(1, outputs // shape.group_outputs)
        inputs = groups * shape.group_inputs
    random = np.random.default_rng(0)
    sizes = list(shape.places)
    sizes.insert(len(sizes) if node.op_type == "MatMul" else 1, inputs)
    made, read = weight_axes(node, len(shape.kernel) + 2)
    dims = list(shape.kernel)
    for axis, size in sorted(((read, inputs), (made, outputs))):
        dims.insert(axis, size)
    if groups > 1:
        dims[1] //= groups
    weights = random.normal(0, 0.1, dims).astype(np.float32)
    value = ir.Value(name="x", shape=ir.Shape(sizes), type=ir.TensorType(ir.DataType.FLOAT))
    constants = [ir.Value(name="w", const_value=ir.tensor(weights))]
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        constants.append(ir.Value(name="b", const_value=ir.tensor(np.zeros(outputs, np.float32))))
    attributes = [each for key, each in node.attributes.items() if key != "group"]
    if groups > 1:
        attributes.append(ir.AttrInt64("group", groups))
    copy = ir.Node("", node.op_type, [value, *constants], attributes, num_outputs=1, name="layer")
    copy.outputs[0].name, copy.outputs[0].type = "layer", ir.TensorType(ir.DataType.FLOAT)
    copy.outputs[0].shape = ir.Shape([None] * len(sizes))
    graph = ir.Graph(
        [value], copy.outputs, nodes=[copy], initializers=constants, opset_imports={"": _OPSET}, name="layer"
    )
    proto = ir.to_proto(ir.Model(graph, ir_version=8))
    return proto.SerializeToString(), random.normal(0, 1, sizes).astype(np.float32)
