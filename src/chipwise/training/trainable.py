"""An ONNX graph that learns: its weights and biases as parameters of a module, and back.

`compress` trains so what it makes small: normalizations are folded and dead channels gone before a weight is rounded.
`whole_graph` trains so a graph that came without a torch source.

>>> import onnx_ir as ir
>>> text = '<ir_version: 8, opset_import: ["": 18]> g (float[N, 2] x) => (float[N, 2] y) '
>>> made = trainable(ir.from_onnx_text(text + "<float[2, 2] w = {1, 2, 3, 4}> { y = MatMul(x, w) }"))
>>> made.weights["w"], made.module(torch.ones(1, 2)).tolist()
(1, [[4.0, 6.0]])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
import torch

from chipwise.core.errors import NetworkError
from chipwise.optimize.pipeline import names_kept, optimize
from chipwise.optimize.rewrite import constant, integer, is_op, shape_of, weight_axes
from chipwise.runtimes.onnx_to_torch import OnnxModule, translate
from chipwise.runtimes.torch_values import UnsupportedError
from chipwise.training.scores import Scores

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from numpy.typing import NDArray

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass(frozen=True, slots=True)
class Trainable:
    """A graph, and a module that computes it and learns.

    Attributes:
        graph: as it was given.
        module: gives scores [N, K]: logarithms where the graph ends in a Softmax, so that losses mean what they say.
        weights: initializers of layers that may be compressed, with the axis of their outputs.
        biases: the other initializers that learn.
    """

    graph: ir.Model
    module: Scores
    weights: dict[str, int]
    biases: tuple[str, ...]

    def place(self, name: str) -> str:
        """The name of an initializer's parameter in `module.inner`."""
        return self.module.inner.learned[name]

    def value(self, name: str) -> torch.Tensor:
        """What an initializer is now: after masks and rounding, where there are some; zeros have no sign."""
        return getattr(self.module.inner, self.place(name)).detach() + 0.0  # type: ignore[no-any-return]

    def values(self) -> dict[str, NDArray[np.float32]]:
        """All that learned, by initializer."""
        return {name: self.value(name).cpu().numpy() for name in (*self.weights, *self.biases)}


def trainable(graph: ir.Model) -> Trainable:
    """Build the module of a graph.

    Args:
        graph: float32, with one input and scores as its first output; is not changed.

    Raises:
        NetworkError: it has operators that PyTorch has no translation for, or no layer with weights.
    """
    weights, biases = _learned(graph)
    if not weights:
        raise NetworkError("the network has no convolution or matrix product with weights of its own")
    copy = graph.clone()
    end_in_logarithms(copy)
    return Trainable(graph, Scores(learning_module(copy, (*weights, *biases))), weights, biases)


def learning_module(graph: ir.Model, names: Collection[str]) -> OnnxModule:
    """Build a module that computes a graph.

    Args:
        graph: is not changed.
        names: initializers that become parameters.

    Raises:
        NetworkError: it has operators that PyTorch has no translation for.
    """
    with names_kept(graph):
        proto = ir.to_proto(graph)
    try:
        return translate(proto, learned=names)
    except UnsupportedError as error:
        raise NetworkError(f"the network cannot be trained: {error}") from error


def end_in_logarithms(model: ir.Model) -> None:
    """Make a Softmax at the end a LogSoftmax: the softmax of its logarithms, which losses take, is the Softmax."""
    output = model.graph.outputs[0]
    last, shape = output.producer(), shape_of(output)
    if last is not None and is_op(last, "Softmax") and shape is not None and len(shape) == 2:
        usual = -1 if model.opset_imports.get("", 0) >= 13 else 1
        if integer(last, "axis", usual) in (-1, 1):
            last.op_type = "LogSoftmax"


def put_back(graph: ir.Model, values: Mapping[str, NDArray[np.float32]]) -> ir.Model:
    """A copy of the graph with other weights.

    Args:
        graph: is not changed.
        values: by initializer, of the same shapes.
    """
    copy = graph.clone()
    for name, array in values.items():
        initializer = copy.graph.initializers[name]
        assert initializer.shape is not None
        assert initializer.shape.numpy() == array.shape, name
        initializer.const_value = ir.tensor(array, name=name)
    return copy


def parameters(graph: ir.Model) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.float32]]]:
    """Weights of layers and all other values that learn, by initializer, as the graph has them; zeros have no sign."""
    weights, biases = _learned(graph)
    found = {name: constant(graph.graph.initializers[name]) + np.float32(0.0) for name in (*weights, *biases)}  # type: ignore[operator]
    return {name: found[name] for name in weights}, {name: found[name] for name in biases}


def weights_left(graph: ir.Model) -> int:
    """Weights of layers that are not zero."""
    return sum(int(np.count_nonzero(weight)) for weight in parameters(graph)[0].values())


def density(graph: ir.Model) -> float:
    """Share of the weights of layers that is not zero, 0..1."""
    return weights_left(graph) / max(sum(weight.size for weight in parameters(graph)[0].values()), 1)


def simplified(graph: ir.Model) -> ir.Model:
    """What `compile` would make of the graph on any machine: norms folded, dead channels removed."""
    return optimize(graph)[0]


def _learned(graph: ir.Model) -> tuple[dict[str, int], tuple[str, ...]]:
    weights: dict[str, int] = {}
    biases: dict[str, None] = {}
    for node in graph.graph:
        if is_op(node, *LAYERS):
            weight = node.inputs[1]
            array = None if weight is None else constant(weight)
            if weight is not None and weight.name and array is not None and weight.is_initializer():
                weights[weight.name] = weight_axes(node, array.ndim)[0]
            biases |= dict.fromkeys(_constants(node.inputs[2:]))
        elif is_op(node, "Add"):
            biases |= dict.fromkeys(_constants(node.inputs))
    return weights, tuple(name for name in biases if name not in weights)


def _constants(values: Iterable[ir.Value | None]) -> list[str]:
    return [
        value.name
        for value in values
        if value is not None and value.is_initializer() and value.dtype == ir.DataType.FLOAT and value.name
    ]
