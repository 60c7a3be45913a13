"""A graph that came without a torch source, as something to train: all weights and biases of its layers learn.

The graph that comes out is the one that went in, with other values; only constants are folded and Dropouts, which do
nothing in inference, are gone. Batch normalizations keep their statistics: a graph says how it runs, not how these were
gathered. Their scales and offsets learn.

>>> from chipwise.core.network import TensorSpec
>>> text = '<ir_version: 8, opset_import: ["": 18]> g (float[N, 2] x) => (float[N, 2] y) '
>>> graph = ir.from_onnx_text(text + "<float[2, 2] w = {1, 2, 3, 4}> { h = MatMul(x, w) y = Softmax(h) }")
>>> specs = [(TensorSpec(name, ("N", 2)),) for name in "xy"]
>>> whole_graph(Network("tiny", *specs, graph=graph)).layers
(('w',),)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx_ir as ir
import torch

from chipwise.core.errors import NetworkError, first_line
from chipwise.core.network import Network
from chipwise.optimize.pipeline import PASSES, name_of, optimize
from chipwise.optimize.rewrite import add_weights, constant, integer, is_op, shape_of
from chipwise.training.scores import Scores
from chipwise.training.trainable import end_in_logarithms, learning_module, put_back

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

_TIDYING = ("freeze_initializers", "drop_noops", "fold_constants")

# Operator: the inputs that are its matrices, kernels or tables, and begin a layer, where they are constants.
_MATRICES: dict[str, tuple[int, ...]] = {
    "Conv": (1,), "ConvTranspose": (1,), "Gemm": (1,), "MatMul": (0, 1), "Gather": (0,),
    "LSTM": (1, 2), "GRU": (1, 2), "RNN": (1, 2),
}  # fmt: skip
# Likewise, the inputs that belong to the layer before or at hand: biases, norms, slopes and scales.
_BESIDE: dict[str, tuple[int, ...]] = {
    "Conv": (2,), "ConvTranspose": (2,), "Gemm": (2,), "LSTM": (3,), "GRU": (3,), "RNN": (3,),
    "BatchNormalization": (1, 2), "InstanceNormalization": (1, 2), "LayerNormalization": (1, 2),
    "GroupNormalization": (1, 2), "PRelu": (1,), "Add": (0, 1), "Mul": (0, 1),
}  # fmt: skip
_VIEWS = ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Identity")


@dataclass(frozen=True, slots=True)
class WholeGraph:
    """A graph, and a module that gives its scores and learns.

    Attributes:
        graph: as it will be written.
        module: gives scores [N, K]: logarithms where the graph ends in a Softmax, so that losses mean what they say.
        layers: initializers that learn, layer by layer.
        matrices: those of them that are matrices, kernels or tables.
        norms: how many batch normalizations keep their statistics.
    """

    graph: ir.Model
    module: Scores
    layers: tuple[tuple[str, ...], ...]
    matrices: tuple[str, ...]
    norms: int

    def parameters(self) -> list[nn.Parameter]:
        """The parameters of matrices, kernels and tables."""
        return [self.module.parameter(name) for name in self.matrices]

    def with_state(self, state: Mapping[str, Tensor]) -> ir.Model:
        """The graph with the values of a state of its module; zeros have no sign."""
        places = self.module.inner.learned
        return put_back(
            self.graph, {name: (state[f"inner.{place}"] + 0.0).cpu().numpy() for name, place in places.items()}
        )


def check_graph(network: Network) -> None:
    """Refuse a graph that no data set can feed, or that does not compute in float32.

    Raises:
        NetworkError: saying what it takes or gives.
    """
    if len(network.inputs) != 1:
        told = ", ".join(f"{spec.name} {spec.form}" for spec in network.inputs) or "none"
        raise NetworkError(
            f"{network.name} has {len(network.inputs)} inputs ({told})", hint="train feeds one: a picture or an array"
        )
    for verb, spec in (("takes", network.inputs[0]), ("gives", network.outputs[0])):
        whole = verb == "takes" and spec.dtype.startswith(("int", "uint"))
        if spec.dtype != "float32" and not whole:
            raise NetworkError(
                f"{network.name} {verb} {spec.form}, and graphs are trained in float32",
                hint="export it in float32, with scores as its first output",
            )


def whole_graph(network: Network) -> WholeGraph:
    """Build the module of a network's graph.

    Args:
        network: for classification, with a graph, which is not changed; as `check_graph` wants it.

    Raises:
        NetworkError: it has operators without a translation to PyTorch, no layer with weights of its own, or a fixed
            batch that cannot be made free.
    """
    graph = _tidied(network)
    layers, matrices = _learning(graph)
    if not matrices:
        raise NetworkError(
            f"{network.name} has no layer with float32 weights of its own, so there is nothing to train",
            hint="give the network before it was quantized or converted",
        )
    names = dict.fromkeys(name for layer in layers for name in layer)
    module = _module(graph, network, tuple(names), layers)
    norms = sum(is_op(node, "BatchNormalization") for node in graph.graph)
    return WholeGraph(graph, module, layers, matrices, norms)


def scores_of(network: Network) -> Scores:
    """Build a module that gives the scores of a network's graph, of which nothing learns.

    Args:
        network: for classification, with a graph, which is not changed; as `check_graph` wants it.

    Raises:
        NetworkError: it has operators without a translation to PyTorch, or a fixed batch that cannot be made free.
    """
    return _module(_tidied(network), network)


def _tidied(network: Network) -> ir.Model:
    assert network.graph is not None, "the caller has no source"
    others = [name_of(each) for each in PASSES if name_of(each) not in _TIDYING]
    return optimize(network.graph, without=others)[0]


def _module(
    graph: ir.Model, network: Network, names: tuple[str, ...] = (), layers: tuple[tuple[str, ...], ...] = ()
) -> Scores:
    copy = graph.clone()
    fixed = _free_batch(copy)
    end_in_logarithms(copy)
    module = Scores(learning_module(copy, names), layers)
    if fixed:
        _check_batches(module, network)
    return module


def _learning(graph: ir.Model) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """What learns, layer by layer; and which of it are matrices."""
    layers: list[dict[str, None]] = [{}]
    matrices: dict[str, None] = {}
    for node in graph.graph:
        own = _learned(node, _MATRICES)
        if own and not matrices.keys().isdisjoint(layers[-1]):
            layers.append({})
        matrices |= own
        layers[-1] |= own | _learned(node, _BESIDE)
    return tuple(tuple(layer) for layer in layers if layer), tuple(matrices)


def _learned(node: ir.Node, places: Mapping[str, tuple[int, ...]]) -> dict[str, None]:
    """The initializers that some inputs of a node are, or are views of, where they learn."""
    found: dict[str, None] = {}
    for place in places.get(node.op_type, ()) if is_op(node, *places) else ():
        value = node.inputs[place] if place < len(node.inputs) else None
        while value is not None and is_op(value.producer(), *_VIEWS):
            maker = value.producer()
            assert maker is not None
            value = maker.inputs[0]
        array = None if value is None or not value.is_initializer() else constant(value)
        if value is None or not value.name or array is None or value.dtype != ir.DataType.FLOAT:
            continue
        # A single number that is added or multiplied is part of the formula: an epsilon, a temperature.
        if array.size > 1 or not is_op(node, "Add", "Mul"):
            found[value.name] = None
    return found


def _free_batch(model: ir.Model) -> bool:
    """Let reshapes take any batch in place of the one that a graph was made for; True where there was one."""
    given = shape_of(model.graph.inputs[0])
    batch = given[0] if given else None
    if batch is None:
        return False
    for node in list(model.graph):
        if not is_op(node, "Reshape") or integer(node, "allowzero", 0):
            continue
        before, dims = shape_of(node.inputs[0]), constant(node.inputs[1])
        if before and dims is not None and dims.ndim == 1 and dims.size and before[0] == batch == dims[0]:
            free = dims.copy()
            free[0] = 0 if -1 in dims else -1  # 0 copies the dimension
            node.replace_input_with(1, add_weights(model.graph, free, "shape"))
    return True


def _check_batches(module: Scores, network: Network) -> None:
    """Find out whether a graph with a fixed batch takes others, and keeps samples apart.

    Raises:
        NetworkError: it does not.
    """
    spec = network.inputs[0]
    draw = torch.Generator().manual_seed(0)
    sample = torch.rand(3, *spec.concrete()[1:], generator=draw).to(getattr(torch, spec.dtype))
    hint = "export it with a free batch dimension"
    module.eval()
    try:
        with torch.inference_mode():
            together, alone = module(sample), torch.cat([module(row[None]) for row in sample])
    except (RuntimeError, TypeError, ValueError) as error:
        raise NetworkError(
            f"{network.name} takes batches of {spec.shape[0]} and no others: {first_line(error)}", hint=hint
        ) from error
    if together.shape != alone.shape or not torch.allclose(together, alone, rtol=1e-3, atol=1e-4):
        raise NetworkError(f"{network.name} takes batches of {spec.shape[0]}, and mixes samples of others", hint=hint)
