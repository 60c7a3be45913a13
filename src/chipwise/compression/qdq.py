"""Write a fixed-point network as QDQ ONNX: QuantizeLinear and DequantizeLinear with scales that are powers of two.

Eight bits are stored as uint8, which is what runtimes have integer kernels for throughout: a tensor that may be
negative has the zero point 128, so its byte is the whole number plus 128; one that is not has 0, and Relu costs
nothing. Sixteen bits are int16 and uint16, with the zero point 0. Weights are int8 or int16, biases int32 with the
radix of the accumulator, which is that of the input plus that of the weights (B. Jacob and others, "Quantization and
training of neural networks for efficient integer-arithmetic-only inference", CVPR 2018, arXiv 1712.05877).

>>> storage(Fixed(8, True, 4)), storage(Fixed(8, False, 4)), storage(Fixed(16, True, 4))
(('uint8', 128), ('uint8', 0), ('int16', 0))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from chipwise.compression.fixed_layout import LAYERS, LIMITS, MOVES, SUMS, TABLES, Layout, free_name
from chipwise.compression.fixed_point import LOWEST, Fixed
from chipwise.core.errors import NetworkError
from chipwise.optimize.rewrite import constant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_SIXTEEN, _PER_AXIS = 21, 13  # operator sets that have 16 bits, and a scale for each channel
_IR_VERSION = {_SIXTEEN: 10}
# What says the same in every operator set from 10 to 21, beside what has integer arithmetic.
_SAME = (*LAYERS, *LIMITS, *MOVES, *SUMS, *TABLES, "Concat", "Softmax", "LogSoftmax", "Div", "Sqrt", "Exp", "Neg")
_SAME_SINCE_13 = ("ReduceSum",)
_BIAS_LIMIT = 2**30  # leaves as much for the products


@dataclass(frozen=True, slots=True)
class Formats:
    """The format of every tensor.

    Attributes:
        values: by value that is rounded, and by constant of a sum.
        weights: by initializer: one format, or one for each channel of its output axis.
    """

    values: dict[str, Fixed]
    weights: dict[str, tuple[Fixed, ...]]


def storage(form: Fixed) -> tuple[str, int]:
    """The element type that a tensor of values is stored in, and its zero point."""
    if form.bits == 8:
        return "uint8", 128 if form.signed else 0
    return ("int16", 0) if form.signed else ("uint16", 0)


def written(layout: Layout, formats: Formats, weights: Mapping[str, NDArray[np.float32]]) -> ir.Model:
    """Put integers and their scales into a copy of a graph.

    Args:
        layout: of the float graph, which is not changed.
        formats: of every tensor.
        weights: the values of initializers, where they are others than the graph's.

    Raises:
        NetworkError: an operator that stays float is of an operator set that cannot be raised to the one needed.
    """
    arrays = {name: constant(value) for name, value in layout.graph.graph.initializers.items()}
    arrays |= {name: array for name, array in weights.items() if name in arrays}
    copy = layout.graph.clone()
    writer = _Writer(copy.graph, formats)
    _raise_opset(copy, layout, _SIXTEEN if any(each.bits > 8 for each in formats.values.values()) else _PER_AXIS)
    nodes = {str(node.outputs[0].name): node for node in copy.graph}
    for name in layout.rounded:
        writer.round(name)
    for name in layout.constants:
        array = arrays[name]
        assert array is not None
        writer.replace_constant(name, array)
    for layer in layout.layers:
        node, weight = nodes[str(layer.node.outputs[0].name)], arrays[layer.name]
        assert weight is not None
        writer.replace_weights(layer.name, layer.axis, weight)
        bias = None if layer.bias is None else arrays[layer.bias]
        if bias is not None:
            radix = formats.values[layer.reads].radix
            writer.replace_bias(node, str(layer.bias), bias, formats.weights[layer.name], radix)
    for name in [name for name, value in copy.graph.initializers.items() if not value.uses()]:
        del copy.graph.initializers[name]
    copy.graph.sort()
    return copy


def fitting(forms: tuple[Fixed, ...], bias: NDArray[np.float32] | None, radix: int) -> tuple[Fixed, ...]:
    """Weights' formats, coarser where the bias would not fit into half of an int32 accumulator.

    Args:
        forms: one, or one for each channel.
        bias: [channels], or None.
        radix: of what is multiplied with the weights.
    """
    if bias is None:
        return forms
    sizes = np.abs(bias.astype(np.float64)).reshape(-1)
    per = np.full(1, sizes.max(initial=0.0)) if len(forms) == 1 else np.broadcast_to(sizes, len(forms))
    made = []
    for form, size in zip(forms, per, strict=True):
        most = form.radix
        while most > LOWEST and np.ldexp(size, radix + most) > _BIAS_LIMIT:
            most -= 1
        made.append(Fixed(form.bits, form.signed, most))
    return tuple(made)


@dataclass(slots=True)
class _Writer:
    graph: ir.Graph
    formats: Formats

    def round(self, name: str) -> None:
        """Have everybody read a value as it is once it is rounded."""
        value, form = next(each for each in _all(self.graph) if each.name == name), self.formats.values[name]
        kind, zero = storage(form)
        scale = self._constant(f"{name}_scale", np.array(form.step, np.float32))
        point = self._constant(f"{name}_zero", np.array(zero, kind))
        down = self._node("QuantizeLinear", [value, scale, point], f"{name}_whole")
        up = self._node("DequantizeLinear", [down.outputs[0], scale, point], f"{name}_fixed")
        up.outputs[0].type, up.outputs[0].shape = value.type or ir.TensorType(ir.DataType.FLOAT), value.shape
        value.replace_all_uses_with(up.outputs[0], replace_graph_outputs=True)
        down.replace_input_with(0, value)
        if up.outputs[0].is_graph_output():
            value.name = free_name(self.graph, f"{name}_wide")
            up.outputs[0].name = name
        maker = value.producer()
        if maker is None:
            self.graph.insert_before(self.graph[0], [down, up])
        else:
            self.graph.insert_after(maker, [down, up])

    def replace_constant(self, name: str, array: NDArray[Any]) -> None:
        """Have everybody read a constant as it is once it is rounded."""
        form = self.formats.values[name]
        kind, zero = storage(form)
        self._stored(name, (form.whole(array) + zero).astype(kind), (form,), zero=zero)

    def replace_weights(self, name: str, axis: int, array: NDArray[Any]) -> None:
        """Have a layer read its rounded weights; a second layer with the same ones reads the same integers."""
        forms = self.formats.weights[name]
        if name not in self.graph.initializers or not self.graph.initializers[name].uses():
            return
        self._stored(name, whole_weights(array, forms, axis).astype(f"int{forms[0].bits}"), forms, axis=axis)

    def replace_bias(self, node: ir.Node, name: str, array: NDArray[Any], forms: tuple[Fixed, ...], radix: int) -> None:
        """Give a layer a bias of 32 bits with its accumulator's radix points."""
        output = self._channels(node)
        flat = np.broadcast_to(array.reshape(-1), (output,)).astype(np.float64)
        radices = np.array([radix + form.radix for form in forms])
        whole = np.rint(np.ldexp(flat, radices)).astype(np.int32)
        up = self._dequantized(f"{name}_whole", whole, np.ldexp(1.0, -radices), 0, zero=0)
        self.graph.insert_before(node, up)
        node.replace_input_with(2, up.outputs[0])

    def _channels(self, node: ir.Node) -> int:
        weight = node.inputs[1]
        assert weight is not None
        maker = weight.producer()
        assert maker is not None
        stored = constant(maker.inputs[0])
        assert stored is not None
        transposed = "transB" in node.attributes and node.attributes["transB"].as_int()
        return int(stored.shape[0] if node.op_type == "Conv" or transposed else stored.shape[-1])

    def _stored(
        self, name: str, whole: NDArray[Any], forms: tuple[Fixed, ...], *, axis: int = 0, zero: int = 0
    ) -> None:
        value = self.graph.initializers[name]
        up = self._dequantized(f"{name}_whole", whole, np.array([form.step for form in forms]), axis, zero=zero)
        value.replace_all_uses_with(up.outputs[0])
        self.graph.insert_before(self.graph[0], up)

    def _dequantized(self, name: str, whole: NDArray[Any], scales: NDArray[Any], axis: int, *, zero: int) -> ir.Node:
        single = scales.size == 1
        stored = self._constant(name, whole)
        base = name.removesuffix("_whole")
        scale = self._constant(f"{base}_scale", scales.reshape(() if single else (-1,)).astype(np.float32))
        point = self._constant(f"{base}_zero", np.full(() if single else scales.size, zero, whole.dtype))
        return self._node("DequantizeLinear", [stored, scale, point], f"{base}_fixed", {} if single else {"axis": axis})

    def _node(self, kind: str, inputs: list[ir.Value], output: str, attributes: Any = None) -> ir.Node:
        node = ir.node(kind, inputs, attributes or {})
        node.outputs[0].name = free_name(self.graph, output)
        node.name = node.outputs[0].name
        return node

    def _constant(self, name: str, array: NDArray[Any]) -> ir.Value:
        free = free_name(self.graph, name)
        value = ir.Value(name=free, const_value=ir.tensor(np.ascontiguousarray(array).reshape(array.shape), name=free))
        self.graph.register_initializer(value)
        return value


def whole_weights(array: NDArray[Any], forms: tuple[Fixed, ...], axis: int) -> NDArray[np.int64]:
    """Weights as whole numbers, each channel with its own radix; never the least number, which has no opposite."""
    radices = np.array([form.radix for form in forms])
    shape = [1] * array.ndim
    if len(forms) > 1:
        shape[axis] = -1
    largest = forms[0].range[1]
    scaled = np.rint(np.ldexp(array.astype(np.float64), radices.reshape(shape)))
    return np.asarray(np.clip(scaled, -largest, largest), np.int64)


def _raise_opset(model: ir.Model, layout: Layout, least: int) -> None:
    """Declare the operator set that is needed, if what stays float says the same there."""
    now = model.graph.opset_imports.get("", 1)
    if now >= least:
        return
    same = (*_SAME, *_SAME_SINCE_13) if now >= 13 else _SAME
    changed = [name for name in layout.floating if name not in same]
    if changed:
        raise NetworkError(
            f"{changed[0]} stays float, and is of operator set {now}; these integers need {least}",
            hint=f"export the network with operator set {least}",
        )
    model.graph.opset_imports[""] = least
    model.ir_version = max(model.ir_version or 0, _IR_VERSION.get(least, 8))


def _all(graph: ir.Graph) -> list[ir.Value]:
    return [*graph.inputs, *(output for node in graph for output in node.outputs)]
