"""An ONNX graph while Caffe's layers are drawn into it.

>>> sketch = Sketch({"data": (1, 3, 8, 8)})
>>> sketch.blobs["data"].shape
(3, 8, 8)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from chipwise.core.errors import NetworkError
from chipwise.core.layer import Shape
from chipwise.networks.caffe.prototxt import CaffeLayer
from chipwise.networks.drawn import FLOAT, MOST_VALUES, drawn_constant, drawn_model, drawn_value
from chipwise.networks.parameters import LIMIT_BYTES, Parameter, Start

_MOST_NAMES = 20_000  # of values and arrays: the largest networks in use have 5,000
_OPSET = 17


@dataclass(frozen=True, slots=True)
class Blob:
    """A value of the graph, [batch, *shape].

    Attributes:
        value: in the graph.
        shape: of one item.
        norm: the batch-norm that made it, while a Scale layer may still become part of that.
    """

    value: ir.Value
    shape: Shape
    norm: ir.Node | None = None


class Sketch:
    """Nodes and constants in the order in which they are drawn, and what each blob's name means at this point."""

    def __init__(self, inputs: Mapping[str, Shape]) -> None:
        self.batch = next(iter(inputs.values()))[0]
        self.blobs: dict[str, Blob] = {}
        self.parameters: dict[str, list[Parameter]] = {}
        self._names: dict[str, int] = {}  # and the highest number that was given to each
        self._nodes: list[ir.Node] = []
        self._constants: list[ir.Value] = []
        self._bytes = 0
        for name, shape in inputs.items():
            if shape[0] != self.batch:
                raise NetworkError(f"input {name!r} has a batch of {shape[0]}, another has {self.batch}")
            self.blobs[name] = Blob(drawn_value(self._name(name), shape[1:]), shape[1:])
        self.inputs = dict.fromkeys(blob.value for blob in self.blobs.values())

    def bottoms(self, layer: CaffeLayer, least: int = 1, most: int = 1) -> list[Blob]:
        """What a layer reads.

        Raises:
            NetworkError: when there are too few or many, or one is not made before.
        """
        if not least <= len(layer.bottoms) <= most:
            raise layer.error(f"reads {len(layer.bottoms)} blobs, not {least}")
        for name in layer.bottoms:
            if name not in self.blobs:
                raise layer.error(f"reads {name!r}, which no layer before it makes", "give the deploy prototxt")
        return [self.blobs[name] for name in layer.bottoms]

    def node(
        self, layer: CaffeLayer, op: str, inputs: Sequence[ir.Value | None], shape: Shape, **attributes: object
    ) -> Blob:
        """Add a node with one result [batch, *shape].

        Raises:
            NetworkError: when the result is empty, or larger than any machine's memory.
        """
        self.check(layer, shape)
        result = drawn_value(self._name(layer.name), shape)
        self._nodes.append(ir.node(op, inputs, attributes, outputs=[result], name=result.name))  # type: ignore[arg-type]
        return Blob(result, shape)

    def split(self, layer: CaffeLayer, blob: Blob, axis: int, sizes: Sequence[int]) -> list[Blob]:
        """Add a node that splits a blob along an axis (the batch counts as 0)."""
        shapes = [(*blob.shape[: axis - 1], size, *blob.shape[axis:]) for size in sizes]
        values = [drawn_value(self._name(layer.name), shape) for shape in shapes]
        inputs = [blob.value, self.constant(layer, "sizes", list(sizes), np.int64)]
        name = self._name(f"{layer.name}/split")
        self._nodes.append(ir.node("Split", inputs, {"axis": axis}, outputs=values, name=name))
        return [Blob(value, shape) for value, shape in zip(values, shapes, strict=True)]

    def last_node(self) -> ir.Node:
        """The node that was drawn last."""
        return self._nodes[-1]

    def check(self, layer: CaffeLayer, shape: Shape) -> None:
        """Refuse a result that is empty, or larger than any machine's memory."""
        if min(shape, default=1) < 1:
            raise layer.error(f"leaves nothing: its output would be {list(shape)}", "check its sizes")
        if math.prod(shape) > MOST_VALUES:
            raise layer.error(f"gives {list(shape)} values", f"at most {MOST_VALUES} are supported")

    def parameter(
        self, layer: CaffeLayer, name: str, shape: Shape, start: Start = "zeros", fan_in: int = 1
    ) -> ir.Value:
        """Add an array that comes from the weights file, in the order of the layer's blobs."""
        self._bytes += 4 * math.prod(shape)
        if min(shape) < 1 or self._bytes > LIMIT_BYTES:
            raise layer.error(f"has {name} {list(shape)}", f"weights of 1 to {LIMIT_BYTES} bytes are supported")
        value = ir.Value(name=self._name(f"{layer.name}.{name}"), shape=ir.Shape(shape), type=FLOAT)
        made = Parameter(value, layer.title, shape, start, fan_in)
        self.parameters.setdefault(layer.name, []).append(made)
        return value

    def constant(self, layer: CaffeLayer, name: str, numbers: npt.ArrayLike, dtype: type = np.float32) -> ir.Value:
        """Add numbers that belong to the formula."""
        self._constants.append(drawn_constant(self._name(f"{layer.name}/{name}"), numbers, dtype))
        return self._constants[-1]

    def finish(self, outputs: Mapping[str, Blob], name: str) -> ir.Model:
        """The graph with these results, named as their blobs are."""
        results: dict[ir.Value, None] = {}
        made = {str(each.name): each for node in self._nodes for each in node.outputs}
        for title, blob in outputs.items():
            value = blob.value
            if value in self.inputs or value in results:
                value = drawn_value(self._name(title), blob.shape)
                self._nodes.append(ir.node("Identity", [blob.value], outputs=[value], name=value.name))
            elif value.name != title and (title in made or title not in self._names):
                if title in made:
                    made[title].name = self._name(f"{title}/before")
                for names in (made, self._names):
                    names.pop(str(value.name), None)
                value.name, made[title], self._names[title] = title, value, 1
            results[value] = None
        held = [parameter.value for parameters in self.parameters.values() for parameter in parameters]
        held += self._constants
        return drawn_model(list(self.inputs), list(results), self._nodes, held, opset=_OPSET, name=name)

    def _name(self, name: str) -> str:
        """The name itself where it is free, else with the next free number."""
        if len(self._names) >= _MOST_NAMES:
            raise NetworkError(f"{name!r} makes the graph too large", hint=f"at most {_MOST_NAMES:,} values and arrays")
        found = name
        while found in self._names:  # from where the last search ended, so that many of a name stay cheap
            self._names[name] += 1
            found = f"{name}_{self._names[name]}"
        self._names[found] = 1
        return found
