"""An ONNX graph while it is drawn, layer by layer, with what Darknet knows of each layer's result.

>>> drawing = Drawing(width=8, height=8)
>>> picture = drawing.open("input", (3, 8, 8))
>>> drawing.begin(0, "section [softmax] (line 9)")
>>> drawing.node("Softmax", "softmax", [drawing.flat(picture)], (192,), axis=1).name
'000_softmax'
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from chipwise.core.errors import NetworkError
from chipwise.core.layer import Shape
from chipwise.core.task import Decoder, Head
from chipwise.networks.drawn import FLOAT, MOST_VALUES, drawn_constant, drawn_model, drawn_value
from chipwise.networks.parameters import LIMIT_BYTES, Parameter, Start

_MOST_NODES = 10_000  # the largest networks in use have 1,000
_OPSET = 18  # Mish came with it


@dataclass(frozen=True, slots=True)
class Flow:
    """What a layer gives: a graph's value, and the shape that Darknet sees in it.

    Attributes:
        value: [batch, channels, rows, columns], or [batch, channels * rows * columns] when `flat`.
        shape: channels, rows, columns; a vector has one row and one column.
        flat: whether the value has two dimensions.
        closed: title of the detection layer that ends here; nothing may read it then.
    """

    value: ir.Value
    shape: tuple[int, int, int]
    flat: bool = False
    closed: str = ""

    @property
    def count(self) -> int:
        """Values of one item."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Found:
    """A detection layer: how its boxes are decoded, and from which value."""

    decoder: Decoder
    head: Head
    classes: int
    value: ir.Value


@dataclass(slots=True)
class Drawing:
    """Nodes and initializers in the order in which they were drawn.

    Attributes:
        width, height: of the picture that goes in, pixels; 0 when what goes in is no picture.
        forked: parts of GRU and LSTM come in the order of AlexeyAB's Darknet.
        flows: results of the layers so far, by Darknet's index.
        parameters: arrays in the order of the weights file.
        states: what each recurrent layer remembers: (input, output).
        found: detection layers, in order.
    """

    width: int
    height: int
    forked: bool = False
    flows: list[Flow] = field(default_factory=list)
    parameters: list[Parameter] = field(default_factory=list)
    states: list[tuple[ir.Value, ir.Value]] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    _inputs: list[ir.Value] = field(default_factory=list)
    _nodes: list[ir.Node] = field(default_factory=list)
    _constants: list[ir.Value] = field(default_factory=list)
    _names: Counter[str] = field(default_factory=Counter)
    _index: int = 0
    _layer: str = "the cfg"
    _bytes: int = 0

    def begin(self, index: int, layer: str) -> None:
        """Name what follows after the layer with this index; `layer` is its title for messages."""
        self._index, self._layer = index, layer

    def open(self, name: str, shape: Shape) -> Flow:
        """Add an input of the graph: [batch, *shape]."""
        value = drawn_value(name, shape)
        self._inputs.append(value)
        return Flow(value, _three(shape), flat=len(shape) == 1)

    def state(self, name: str, shape: Shape) -> Flow:
        """Add an input that holds what the layer remembers."""
        return self.open(self._name("_", name), shape)

    def node(
        self, op: str, name: str, inputs: Sequence[ir.Value | None], shape: Shape, **attributes: object
    ) -> ir.Value:
        """Add a node with one result [batch, *shape].

        Raises:
            NetworkError: when the result is empty or larger than any machine's memory, or there are too many nodes.
        """
        if min(shape) < 1:
            raise NetworkError(
                f"{self._layer} leaves nothing: its output would be {_by(shape)}", hint="check its sizes"
            )
        if math.prod(shape) > MOST_VALUES:
            raise NetworkError(f"{self._layer} gives {_by(shape)} values", hint=f"at most {MOST_VALUES} are supported")
        if len(self._nodes) >= _MOST_NODES:
            raise NetworkError(f"{self._layer} makes the graph too large", hint=f"at most {_MOST_NODES} nodes")
        result = drawn_value(self._name("_", name), shape)
        self._nodes.append(ir.node(op, inputs, attributes, outputs=[result], name=result.name))  # type: ignore[arg-type]
        return result

    def parameter(
        self, name: str, shape: Shape, start: Start = "zeros", fan_in: int = 1, flipped: str = ""
    ) -> ir.Value:
        """Add an array that comes from the weights file, in the file's order.

        Raises:
            NetworkError: when the weights become larger than one file can be.
        """
        self._bytes += 4 * math.prod(shape)
        if self._bytes > LIMIT_BYTES:
            raise NetworkError(
                f"{self._layer} brings the weights to {self._bytes} bytes", hint=f"at most {LIMIT_BYTES} are supported"
            )
        value = ir.Value(name=self._name(".", name), shape=ir.Shape(shape), type=FLOAT)
        self.parameters.append(Parameter(value, self._layer, shape, start, fan_in, flipped))  # type: ignore[arg-type]
        return value

    def constant(self, name: str, numbers: npt.ArrayLike, dtype: type = np.float32) -> ir.Value:
        """Add numbers that belong to the formula."""
        self._constants.append(drawn_constant(self._name(".", name), numbers, dtype))
        return self._constants[-1]

    def maps(self, flow: Flow) -> ir.Value:
        """The value as [batch, channels, rows, columns]."""
        value = self._readable(flow)
        if not flow.flat:
            return value
        return self.node("Reshape", "maps", [value, self.constant("maps", [0, *flow.shape], np.int64)], flow.shape)

    def flat(self, flow: Flow) -> ir.Value:
        """The value as [batch, channels * rows * columns]."""
        value = self._readable(flow)
        return value if flow.flat else self.node("Flatten", "flat", [value], (flow.count,), axis=1)

    def like(self, flow: Flow) -> ir.Value:
        """The value as it is."""
        return self._readable(flow)

    def finish(self, results: Sequence[ir.Value], name: str) -> ir.Model:
        """The graph with these results; states follow them."""
        outputs: list[ir.Value] = []
        for value in (*results, *(after for _, after in self.states)):
            taken = value in self._inputs or value in outputs
            outputs.append(self._copy(value) if taken else value)
        self.states = [(before, after) for (before, _), after in zip(self.states, outputs[len(results) :], strict=True)]
        held = [*(parameter.value for parameter in self.parameters), *self._constants]
        return drawn_model(self._inputs, outputs, self._nodes, held, opset=_OPSET, name=name)

    def _copy(self, value: ir.Value) -> ir.Value:
        assert value.shape is not None
        return self.node("Identity", "output", [value], tuple(dim for dim in value.shape[1:] if isinstance(dim, int)))

    def _readable(self, flow: Flow) -> ir.Value:
        if flow.closed:
            raise NetworkError(
                f"{self._layer} reads the boxes of {flow.closed}", hint="a detection layer ends its branch: use [route]"
            )
        return flow.value

    def _name(self, separator: str, name: str) -> str:
        full = f"{self._index:03d}{separator}{name}"
        self._names[full] += 1
        return full if self._names[full] == 1 else f"{full}_{self._names[full]}"


def _three(shape: Shape) -> tuple[int, int, int]:
    channels, rows, columns = (*shape, 1, 1)[:3]
    return channels, rows, columns


def _by(shape: Shape) -> str:
    return " x ".join(map(str, shape))
