"""Layer rows of an ONNX graph: one row an operator, activations folded into the row that feeds them.

Not shown: constants, what only computes shapes, and what does nothing in inference (Identity, Dropout).

>>> import onnx
>>> from chipwise.networks.onnx_file import from_bytes
>>> text = '<ir_version: 8, opset_import: ["": 17]> g (float[N, 3] x) => (float[N, 3] y) { y = Relu(x) }'
>>> graph_rows(from_bytes(onnx.parser.parse_model(text).SerializeToString(), "relu"), 4)[0].flops
12
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import onnx
import onnx.inliner
from onnx import ModelProto, NodeProto, TensorProto, TypeProto

from chipwise.core.custom_layers import DEFINED, title
from chipwise.core.layer import Layer, Shape
from chipwise.core.network import Network
from chipwise.core.work import work
from chipwise.networks import onnx_shapes
from chipwise.networks.lazy import late
from chipwise.networks.onnx_check import all_nodes, bits_of, inner_graphs
from chipwise.networks.onnx_file import outline, proto
from chipwise.networks.onnx_swish import with_swish
from chipwise.networks.rows import ACTIVATIONS

_SILENT = frozenset({"Constant", "Dropout", "Identity"})
_DESCRIBES = frozenset({"Shape", "Size"})
# Operands that training changes, by position; elsewhere constants are settings (running means, scales, axes).
_TRAINABLE = {
    "BatchNormalization": (1, 2),
    "Conv": (1, 2),
    "ConvInteger": (1,),
    "ConvTranspose": (1, 2),
    "Einsum": (0, 1),
    "GRU": (1, 2, 3),
    "Gather": (0,),
    "Gemm": (0, 1, 2),
    "GroupNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LSTM": (1, 2, 3, 7),
    "LayerNormalization": (1, 2),
    "MatMul": (0, 1),
    "MatMulInteger": (0, 1),
    "PRelu": (1,),
    "QLinearConv": (3, 8),
    "QLinearMatMul": (0, 3),
    "RMSNormalization": (1,),
    "RNN": (1, 2, 3),
}
# A constant here is trained when it has more than one value: single numbers are part of the formula.
_ARITHMETIC = frozenset({"Add", "Div", "Mul", "Sub"})
_INDEX_TYPES = frozenset({TensorProto.INT64, TensorProto.BOOL, TensorProto.STRING})


@dataclass(slots=True)
class _Constants:
    """What is known before the network runs: shape and element type of each constant, and where it came from."""

    facts: dict[str, tuple[Shape, int]] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, shape: Iterable[int], data_type: int) -> None:
        self.facts[name] = (tuple(shape), data_type)
        self.origin[name] = name


def graph_rows(network: Network, batch: int) -> tuple[Layer, ...]:
    """Rows of a network's graph for one batch; graphs with a fixed batch keep it.

    Raises:
        NetworkError: when the shapes contradict each other.
    """
    network = outline(network)
    model = _inlined(proto(network))
    wanted = {spec.name: spec.concrete(batch) for spec in network.inputs}
    types = onnx_shapes.infer(model, wanted, network.name)
    if not all(_is_known(types.get(node.output[0])) for node in model.graph.node if node.op_type not in _SILENT):
        model = _inlined(late("onnx_folding").with_shapes_folded(network, wanted))
        types = onnx_shapes.infer(model, wanted, network.name)
    return _Reader(model, types).rows()


def _inlined(model: ModelProto) -> ModelProto:
    """A call of a function that the model brings is shown as the layers of that function."""
    if not model.functions:
        return model
    try:
        inlined: ModelProto = onnx.inliner.inline_local_functions(model)
    except (RuntimeError, ValueError):  # a function that calls itself, or is called with too few inputs
        return model
    return inlined


def _is_known(kind: TypeProto | None) -> bool:
    held = kind.tensor_type if kind is not None else None
    return held is not None and held.HasField("shape") and all(dim.HasField("dim_value") for dim in held.shape.dim)


class _Reader:
    """Walks one graph; keeps what is constant, what only describes shapes, and which row made which value."""

    def __init__(self, model: ModelProto, types: dict[str, TypeProto]) -> None:
        self.model = model
        self.types = types
        self.constants = _Constants()
        for tensor in model.graph.initializer:
            self.constants.add(tensor.name, tensor.dims, tensor.data_type)
        self.described: set[str] = set()
        self.alias: dict[str, str] = {}
        self.counted: set[str] = set()
        self.readers = Counter(chain.from_iterable(node.input for node in all_nodes(model.graph.node)))
        self.readers.update(value.name for value in model.graph.output)
        self.nodes = with_swish(model.graph.node, self.readers)

    def rows(self) -> tuple[Layer, ...]:
        made: list[Layer] = []
        maker: dict[str, int] = {}
        author: dict[str, str] = {}  # as `maker`, through folded activations too
        names: Counter[str] = Counter()
        for node in self.nodes:
            if self._hidden(node):
                continue
            row = self._row(node)
            source = self._source(node.input[0]) if node.input else ""
            feeder = maker.get(source)
            if _operator(node) in ACTIVATIONS and feeder is not None and self._only_reader(node.input[0]):
                made[feeder] = _folded(made[feeder], row)
                author.update(dict.fromkeys(node.output, made[feeder].name))
                continue  # its result has no maker, so that a second activation gets its own row
            names[row.name] += 1
            name = row.name if names[row.name] == 1 else f"{row.name}_{names[row.name] - 1}"
            before = (author.get(self._source(value)) for value in _reads(node))
            after = tuple(dict.fromkeys(each for each in before if each))
            made.append(replace(row, name=name, after=after))
            written = [value for value in node.output if value]
            maker.update(dict.fromkeys(written, len(made) - 1))
            author.update(dict.fromkeys(written, name))
        return tuple(made)

    def _hidden(self, node: NodeProto) -> bool:
        """Note constants, shape arithmetic and pass-throughs; True when the node gets no row."""
        known = [value for value in _reads(node) if value]
        if _operator(node) == "Constant":
            self._note_constant(node)
            return True
        computable = not node.domain and not inner_graphs((node,))
        if computable and known and all(value in self.constants.facts for value in known):
            self._note_computed(node)
            return True
        if _operator(node) in _DESCRIBES or (known and all(self._descriptive(value) for value in known)):
            self.described.update(node.output)
            return True
        if _operator(node) in _SILENT and known:
            self.alias[node.output[0]] = self._source(known[0])
            return True
        return False

    def _descriptive(self, value: str) -> bool:
        return value in self.described or value in self.constants.facts

    def _note_constant(self, node: NodeProto) -> None:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                self.constants.add(node.output[0], attribute.t.dims, attribute.t.data_type)
            elif len(attribute.ints) or attribute.HasField("i"):
                self.constants.add(node.output[0], (len(attribute.ints) or 1,), TensorProto.INT64)
            else:
                self.constants.add(node.output[0], (len(attribute.floats) or 1,), TensorProto.FLOAT)

    def _note_computed(self, node: NodeProto) -> None:
        """What is computed from constants is constant; it stands for its first operand (a dequantized weight)."""
        first = node.input[0]
        for value in node.output:
            shape, data_type = self._shape(value), self._type(value)
            held = self.constants.facts.get(first, ((), 0))
            self.constants.facts[value] = (held[0] if shape is None else shape, data_type or held[1])
            self.constants.origin[value] = self.constants.origin.get(first, first)

    def _source(self, value: str) -> str:
        return self.alias.get(value, value)

    def _only_reader(self, value: str) -> bool:
        return self.readers[value] == 1 and self.readers[self._source(value)] == 1

    def _row(self, node: NodeProto) -> Layer:
        operands = [self._shape(value) if value else None for value in node.input]
        results = [self._shape(value) for value in node.output if value]
        attributes = {attribute.name: _plain(attribute) for attribute in node.attribute}
        group = attributes.get("group", 1)
        operator = _operator(node)
        flops = work(operator, operands, results, attributes)
        data = [value for value in dict.fromkeys(_reads(node)) if value and not self._descriptive(value)]
        write_bytes = sum(self._bytes(value) for value in node.output if value)
        # A look-up reads of its table just what it gives.
        most = write_bytes if node.op_type == "Gather" else sys.maxsize
        return Layer(
            name=node.name or f"{node.op_type}_{node.output[0]}",
            op=operator,
            inputs=tuple(shape for shape in map(self._shape, data) if shape is not None),
            outputs=tuple(shape for shape in results if shape is not None),
            parameters=self._parameters(node),
            flops=flops or 0,
            read_bytes=sum(min(self._bytes(value), most) for value in dict.fromkeys(node.input) if value),
            write_bytes=write_bytes,
            known=flops is not None,
            kernel=self._kernel(node, attributes),
            stride=_ints(attributes.get("strides")),
            groups=group if isinstance(group, int) else 1,
        )

    def _kernel(self, node: NodeProto, attributes: dict[str, Any]) -> Shape:
        """Height and width of a window: from the attribute, or the kernel's own shape where that is left out."""
        given = _ints(attributes.get("kernel_shape"))
        place = 3 if node.op_type == "QLinearConv" else 1
        if given or not node.op_type.startswith(("Conv", "QLinearConv")) or len(node.input) <= place:
            return given
        weight = self._shape(node.input[place])
        return () if weight is None else weight[2:]

    def _parameters(self, node: NodeProto) -> int:
        total = sum(self._trained(value) for value in _trainable(node))
        for inner in all_nodes(chain.from_iterable(graph.node for graph in inner_graphs((node,)))):
            if inner.op_type == "Constant":
                self._note_constant(inner)
            else:
                total += sum(self._trained(value) for value in _trainable(inner))
        return total

    def _trained(self, value: str) -> int:
        origin = self.constants.origin.get(value, "")
        if not origin or origin in self.counted:
            return 0
        shape, data_type = self.constants.facts[origin]
        if data_type in _INDEX_TYPES or not shape:
            return 0
        self.counted.add(origin)
        return math.prod(shape)

    def _shape(self, value: str) -> Shape | None:
        if value in self.constants.facts and value not in self.types:
            return self.constants.facts[value][0]
        kind = self.types.get(value)
        if kind is None or not kind.tensor_type.HasField("shape"):
            return None
        dims = kind.tensor_type.shape.dim
        return tuple(int(dim.dim_value) for dim in dims) if all(dim.HasField("dim_value") for dim in dims) else None

    def _type(self, value: str) -> int:
        kind = self.types.get(value)
        return int(kind.tensor_type.elem_type) if kind is not None else self.constants.facts.get(value, ((), 0))[1]

    def _bytes(self, value: str) -> int:
        value = self.constants.origin.get(value, value)
        held = self.constants.facts.get(value)
        shape = held[0] if held else self._shape(value)
        bits = bits_of(held[1] if held else self._type(value))
        return 0 if shape is None else (math.prod(shape) * bits + 7) // 8


def _folded(row: Layer, activation: Layer) -> Layer:
    """An activation works on the row's result in place: its work is added, its traffic is not."""
    return replace(
        row, activation=activation.op, flops=row.flops + activation.flops, known=row.known and activation.known
    )


def _operator(node: NodeProto) -> str:
    """What a node does; a custom layer has its domain in its name, and may be called as one of ONNX's operators is."""
    return node.op_type if node.domain in DEFINED else title(node.domain, node.op_type)


def _trainable(node: NodeProto) -> Iterator[str]:
    operator = _operator(node)
    positions = _TRAINABLE.get(operator, range(len(node.input)) if operator in _ARITHMETIC else ())
    return (node.input[index] for index in positions if index < len(node.input))


def _ints(value: Any) -> Shape:
    return tuple(int(number) for number in value) if isinstance(value, list) else ()


def _reads(node: NodeProto) -> list[str]:
    """What a node reads, in its branches and bodies too."""
    read = list(node.input)
    for graph in inner_graphs((node,)):
        inside = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
        for inner in graph.node:
            read += (value for value in _reads(inner) if value not in inside)
            inside.update(inner.output)
    return read


def _plain(attribute: onnx.AttributeProto) -> Any:
    if attribute.type == onnx.AttributeProto.STRING:
        return attribute.s.decode(errors="replace")
    return list(attribute.ints) if attribute.type == onnx.AttributeProto.INTS else attribute.i
