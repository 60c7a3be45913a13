"""Rewrite operators that ONNX has dropped or changed into the standard ones of operator set 7 or later.

Two kinds: operator sets 1 to 6 (one-sided broadcasting along `axis`, shapes and types as attributes), and the
experimental operators of ONNX 1.0 to 1.4, which only ONNX Runtime still knows. What each meant is in ONNX's
docs/Changelog.md, and for the experimental ones in docs/Operators.md of release 1.4.

>>> import onnx
>>> from onnx import helper, TensorProto
>>> ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
>>> graph = helper.make_graph([helper.make_node("Affine", ["x"], ["y"], alpha=2.0, beta=0.5)], "g", ends[:1], ends[1:])
>>> model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 7)])
>>> modernise(model, "a.onnx"); [node.op_type for node in model.graph.node]
['Mul', 'Add']
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from chipwise.core.errors import NetworkError, first_line
from chipwise.networks import onnx_shapes
from chipwise.networks.onnx_check import all_nodes, inner_graphs

_OLDEST = 7  # the first operator set with NumPy's broadcasting, and the oldest that runtimes promise to run
_ALIGNED = frozenset({"Add", "And", "Div", "Equal", "Greater", "Less", "Mul", "Or", "PRelu", "Pow", "Sub", "Xor"})
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
_FAR = 2**31 - 1  # "to the end" of a slice
# Attributes that said what the node's form says now, or chose training: all of this is inference.
_DROPPED = {
    "BatchNormalization": ("is_test",),
    "Dropout": ("is_test",),
    "GRU": ("output_sequence",),
    "Gemm": ("broadcast",),
    "LSTM": ("output_sequence",),
    "RNN": ("output_sequence",),
}


@dataclass(slots=True)
class _Site:
    """Where nodes are rewritten: the graph, its names, what its numbers are, and the operator set."""

    graph: GraphProto
    names: set[str]
    float_type: int
    version: int
    title: str
    constants: dict[str, TensorProto]

    def constant(self, near: str, values: Any) -> str:
        """Add a constant and return its name."""
        name = f"{near}/constant"
        while name in self.names:
            name += "_"
        self.names.add(name)
        self.graph.initializer.append(numpy_helper.from_array(values, name))
        return name

    def number(self, near: str, values: Any) -> str:
        """Add a constant of the graph's own float type."""
        return self.constant(near, np.asarray(values, helper.tensor_dtype_to_np_dtype(self.float_type)))

    def value(self, near: str) -> str:
        """A fresh name for a value in between."""
        name = f"{near}/before"
        while name in self.names:
            name += "_"
        self.names.add(name)
        return name

    def known(self, name: str) -> TensorProto | None:
        """A constant's tensor; None where the value is computed."""
        return self.constants.get(name)

    def refusal(self, node: NodeProto, reason: str) -> NetworkError:
        return NetworkError(
            f"{self.title}: {node.op_type} {node.name or node.output[0]!r} of operator set {self.version} {reason}",
            hint="export the network again with operator set 7 or later",
        )


def modernise(model: ModelProto, title: str) -> None:
    """Rewrite a model in place so that it needs nothing older than operator set 7; its function is unchanged.

    Args:
        model: with typed attributes, and with an operator set.
        title: of the file, for messages.

    Raises:
        NetworkError: naming the node that cannot be rewritten.
    """
    entry = next((entry for entry in model.opset_import if entry.domain in ("", "ai.onnx")), None)
    if entry is None or not (
        entry.version < _OLDEST or any(_removed(node, entry.version) for node in all_nodes(model.graph.node))
    ):
        return
    old, float_type = entry.version, _float_type(model.graph)
    names = {value for node in all_nodes(model.graph.node) for value in (*node.input, *node.output)}
    names |= {tensor.name for tensor in model.graph.initializer}
    entry.version = max(old, _OLDEST)
    try:
        _rewrite(_site(model.graph, names, float_type, old, title), model)
    except (
        ValueError,
        TypeError,
        OverflowError,
        IndexError,
    ) as error:  # an attribute of another type than its name says
        raise NetworkError(f"{title}: operator set {old} cannot be read: {first_line(error)}") from error


def _site(graph: GraphProto, names: set[str], float_type: int, version: int, title: str) -> _Site:
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.output:
            constants.update((node.output[0], each.t) for each in node.attribute if each.HasField("t"))
    return _Site(graph, names, float_type, version, title, constants)


def _rewrite(site: _Site, model: ModelProto) -> None:
    made: list[NodeProto] = []
    waiting: list[tuple[int, NodeProto, int]] = []
    for node in site.graph.node:
        for inner in inner_graphs((node,)):
            _rewrite(_site(inner, site.names, site.float_type, site.version, site.title), model)
        axis = _axis(node, site) if site.version < _OLDEST and node.op_type in _ALIGNED and not node.domain else None
        if axis is not None:  # a stand-in of the same shape, until all shapes are known
            waiting.append((len(made), _copy(node), axis))
            made.append(helper.make_node("Identity", node.input[:1], node.output[:1], name=node.name))
        else:
            made += _modern(node, site)
    _put(site.graph, made)
    if not waiting:
        return
    types = onnx_shapes.infer(model, name=site.title)
    for place, node, axis in reversed(waiting):
        kind = types.get(node.input[0])
        if site.graph is not model.graph or kind is None or not kind.tensor_type.HasField("shape"):
            raise site.refusal(node, f"broadcasts along axis {axis} of a value whose rank is not known")
        made[place : place + 1] = _aligned(node, axis, len(kind.tensor_type.shape.dim), site)
    _put(site.graph, made)


def _put(graph: GraphProto, nodes: list[NodeProto]) -> None:
    kept = [_copy(node) for node in nodes]  # deleting would empty those that lie in the graph
    del graph.node[:]
    graph.node.extend(kept)


def _copy(node: NodeProto) -> NodeProto:
    copied = NodeProto()
    copied.CopyFrom(node)
    return copied


def _axis(node: NodeProto, site: _Site) -> int | None:
    """Along which axis the second operand is laid; None where NumPy's broadcasting does the same."""
    if node.op_type == "PRelu":
        slope = site.known(node.input[1]) if len(node.input) > 1 else None
        return 1 if slope is not None and len(slope.dims) == 1 and slope.dims[0] > 1 else None
    given = _attributes(node)
    return int(given["axis"]) if given.get("broadcast") and "axis" in given else None


def _aligned(node: NodeProto, axis: int, rank: int, site: _Site) -> list[NodeProto]:
    """Give the second operand the trailing axes that NumPy's broadcasting asks for."""
    _drop(node, "axis", "broadcast", "consumed_inputs")
    axis = axis + rank if axis < 0 else axis
    held = site.known(node.input[1])
    operand = None if held is None else len(held.dims)
    if operand is None:
        kinds = [value for value in site.graph.input if value.name == node.input[1]]
        operand = len(kinds[0].type.tensor_type.shape.dim) if kinds else None
    if operand is None:
        raise site.refusal(node, f"broadcasts {node.input[1]!r}, whose rank is not known, along axis {axis}")
    trailing = rank - axis - operand
    if not 0 <= trailing <= rank:
        raise site.refusal(node, f"lays {operand} axes from axis {axis} of {rank}")
    if not trailing:
        return [node]
    if held is not None:
        values = numpy_helper.to_array(held)
        node.input[1] = site.constant(node.output[0], values.reshape(*values.shape, *[1] * trailing))
        return [node]
    wide = site.value(node.output[0])
    axes = list(range(operand, operand + trailing))
    widen = helper.make_node("Unsqueeze", [node.input[1]], [wide], axes=axes, name=f"{node.name}/axes")
    node.input[1] = wide
    return [widen, node]


def _modern(node: NodeProto, site: _Site) -> list[NodeProto]:
    if node.domain not in ("", "ai.onnx"):
        return [node]
    if _removed(node, site.version):
        return _REMOVED[node.op_type](node, site)
    if site.version < _OLDEST:
        _drop(node, "consumed_inputs", *_DROPPED.get(node.op_type, ()))
        if node.op_type in _ALIGNED:
            _drop(node, "broadcast", "axis")
        if node.op_type in _CHANGED:
            _CHANGED[node.op_type](node, site)
    return [node]


def _reshape(node: NodeProto, site: _Site) -> None:
    shape = _attributes(node).get("shape")
    if shape is not None and len(node.input) == 1:
        node.input.append(site.constant(node.output[0], np.asarray(shape, np.int64)))
    _drop(node, "shape")


def _cast(node: NodeProto, site: _Site) -> None:
    to = _attributes(node).get("to")
    if isinstance(to, bytes):
        name = to.decode(errors="replace").upper()
        if name not in TensorProto.DataType.keys():  # noqa: SIM118 (an enum, not a dictionary)
            raise site.refusal(node, f"casts to {name[:40]!r}")
        _drop(node, "to")
        node.attribute.append(helper.make_attribute("to", TensorProto.DataType.Value(name)))


def _concat(node: NodeProto, _: _Site) -> None:
    if "axis" not in _attributes(node):
        node.attribute.append(helper.make_attribute("axis", 1))


def _pad(node: NodeProto, _: _Site) -> None:
    for attribute in node.attribute:
        if attribute.name == "paddings":
            attribute.name = "pads"


def _normalization(node: NodeProto, _: _Site) -> None:
    del node.output[1:]  # statistics of the batch, for training


def _upsample(node: NodeProto, _: _Site) -> None:
    given = _attributes(node)
    if "scales" in given:
        return
    scales = [1.0, 1.0, float(given.get("height_scale", 1.0)), float(given.get("width_scale", 1.0))]
    mode = "linear" if given.get("mode") == b"bilinear" else given.get("mode", b"nearest")
    del node.attribute[:]
    node.attribute.extend([helper.make_attribute("scales", scales), helper.make_attribute("mode", mode)])


def _split(node: NodeProto, site: _Site) -> None:
    if len(node.input) < 2:
        return
    sizes = site.known(node.input[1])
    if sizes is None:
        raise site.refusal(node, f"splits into the computed sizes {node.input[1]!r}")
    del node.input[1:]
    node.attribute.append(helper.make_attribute("split", [int(size) for size in numpy_helper.to_array(sizes).ravel()]))


def _tile(node: NodeProto, site: _Site) -> None:
    if len(node.input) > 2:
        raise site.refusal(node, "repeats along one axis, which is not supported")


def _affine(node: NodeProto, site: _Site) -> list[NodeProto]:
    """Compute y = alpha * x + beta."""
    given = _attributes(node)
    return _chain(node, site, ("Mul", given.get("alpha", 1.0)), ("Add", given.get("beta", 0.0)))


def _image_scaler(node: NodeProto, site: _Site) -> list[NodeProto]:
    """Compute y = scale * x + bias of the channel, for [N, C, H, W]."""
    given = _attributes(node)
    bias = np.asarray(given.get("bias", [0.0]), np.float64).reshape(-1, 1, 1)
    return _chain(node, site, ("Mul", given.get("scale", 1.0)), ("Add", bias))


def _scaled_tanh(node: NodeProto, site: _Site) -> list[NodeProto]:
    """Compute y = alpha * tanh(beta * x)."""
    given = _attributes(node)
    return _chain(node, site, ("Mul", given.get("beta", 1.0)), ("Tanh", None), ("Mul", given.get("alpha", 1.0)))


def _softplus(node: NodeProto, site: _Site) -> list[NodeProto]:
    """Compute y = alpha * ln(1 + exp(beta * x))."""
    given = _attributes(node)
    return _chain(node, site, ("Mul", given.get("beta", 1.0)), ("Softplus", None), ("Mul", given.get("alpha", 1.0)))


def _scale(node: NodeProto, site: _Site) -> list[NodeProto]:
    return _chain(node, site, ("Mul", _attributes(node).get("scale", 1.0)))


def _crop(node: NodeProto, site: _Site) -> list[NodeProto]:
    """Take `border` = left, top, right, bottom off [N, C, H, W], or `scale` = height, width from the upper left on."""
    given = _attributes(node)
    border, size = [list(given.get(key, [])) for key in ("border", "scale")]
    if len(border) != 4 or len(size) not in (0, 2) or min((*border, *size)) < 0:
        raise site.refusal(node, f"has the border {border} and the scale {size}")
    left, top, right, bottom = border
    ends = [-bottom or _FAR, -right or _FAR] if not size else [top + size[0], left + size[1]]
    start, axes = [top, left], [2, 3]
    if site.version < 10:
        ports = (node.input[:1], node.output[:1])
        return [helper.make_node("Slice", *ports, name=node.name, starts=start, ends=ends, axes=axes)]
    inputs = [site.constant(node.output[0], np.asarray(numbers, np.int64)) for numbers in (start, ends, axes)]
    return [helper.make_node("Slice", [node.input[0], *inputs], node.output[:1], name=node.name)]


def _thresholded_relu(node: NodeProto, site: _Site) -> list[NodeProto]:
    """Compute y = x where x > alpha, else 0."""
    above, factor = site.value(node.output[0]), site.value(node.output[0])
    alpha = site.number(node.output[0], _attributes(node).get("alpha", 1.0))
    return [
        helper.make_node("Greater", [node.input[0], alpha], [above], name=f"{node.name}/above"),
        helper.make_node("Cast", [above], [factor], name=f"{node.name}/factor", to=site.float_type),
        helper.make_node("Mul", [node.input[0], factor], node.output[:1], name=node.name),
    ]


def _chain(node: NodeProto, site: _Site, *steps: tuple[str, Any]) -> list[NodeProto]:
    """One node after the other, each with a constant or none; the last has the old node's name and result."""
    made, value = [], node.input[0]
    for place, (operator, constant) in enumerate(steps):
        last = place == len(steps) - 1
        result = node.output[0] if last else site.value(node.output[0])
        inputs = [value] if constant is None else [value, site.number(node.output[0], constant)]
        made.append(helper.make_node(operator, inputs, [result], name=node.name if last else f"{node.name}/{operator}"))
        value = result
    return made


_CHANGED: dict[str, Callable[[NodeProto, _Site], None]] = {
    "BatchNormalization": _normalization,
    "Cast": _cast,
    "Concat": _concat,
    "Pad": _pad,
    "Reshape": _reshape,
    "Split": _split,
    "Tile": _tile,
    "Upsample": _upsample,
}
_REMOVED: dict[str, Callable[[NodeProto, _Site], list[NodeProto]]] = {
    "Affine": _affine,
    "Crop": _crop,
    "ImageScaler": _image_scaler,
    "ParametricSoftplus": _softplus,
    "Scale": _scale,
    "ScaledTanh": _scaled_tanh,
    "ThresholdedRelu": _thresholded_relu,
}


def _removed(node: NodeProto, version: int) -> bool:
    """ThresholdedRelu was experimental too, and became standard with operator set 10."""
    if node.domain not in ("", "ai.onnx") or node.op_type not in _REMOVED or not node.input or not node.output[0]:
        return False
    return node.op_type != "ThresholdedRelu" or version < 10


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _drop(node: NodeProto, *names: str) -> None:
    kept = [attribute for attribute in node.attribute if attribute.name not in names]
    if len(kept) != len(node.attribute):
        held = [type(attribute).FromString(attribute.SerializeToString()) for attribute in kept]
        del node.attribute[:]
        node.attribute.extend(held)


def _float_type(graph: GraphProto) -> int:
    """What the network computes in: networks of that age never mixed precisions."""
    given = (value.type.tensor_type.elem_type for value in graph.input)
    return next((kind for kind in given if kind in _FLOATS), TensorProto.FLOAT)
