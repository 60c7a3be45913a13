"""Clocks for the tests of speed that read no time: what a graph takes is its multiply-adds."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from chipwise.compression.latency_table import layer_nodes, layers_of
from chipwise.compression.stopwatch import Stopwatch

_EACH_S = 1e-9


def graph_s(graph: ir.Model) -> float:
    """Multiply-adds of a graph of convolutions that keep sizes, and of matrices, as seconds."""
    total = 0.0
    for layer, (_, weights) in zip(layers_of(graph), layer_nodes(graph), strict=True):
        places = int(np.prod(layer.shape.places))
        total += places * weights.size
    return _EACH_S * total


def multiply_adds_s(model: bytes) -> float:
    """The same of a serialized graph."""
    inferred = onnx.shape_inference.infer_shapes(onnx.load_from_string(model))
    return graph_s(ir.from_proto(inferred))


def multiplying(counted: list[int] | None = None, rest_s: float = 0.0) -> Stopwatch:
    """A clock that goes by multiply-adds; `counted` gets an entry for each layer that is timed."""

    def layer(model: bytes, given: Any, budget_s: float) -> float:
        if counted is not None:
            counted.append(1)
        return multiply_adds_s(model)

    def race(before: ir.Model, after: ir.Model, budget_s: float) -> tuple[np.ndarray, np.ndarray]:
        times = (multiply_adds_s(ir.to_proto(graph.clone()).SerializeToString()) for graph in (before, after))
        one, other = (np.full(5, rest_s + each) for each in times)
        return one, other

    return Stopwatch("multiply-adds", layer, race)
