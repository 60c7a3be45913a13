"""Build a PyTorch module that computes an ONNX graph, for graphs of the operators in `torch_operators`.

PyTorch reads no ONNX itself. Anything without a translation is refused by name rather than approximated.

>>> import onnx, torch
>>> spec = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
>>> result = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
>>> graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [spec], [result])
>>> module = translate(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]))
>>> module(torch.tensor([-1.0]))[0].tolist()
[0.0]
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from chipwise.runtimes.torch_operators import OPERATORS, Attributes, Operator, UnsupportedError

# Softmax meant something else before operator set 13, and batch norm could train before 7.
_OLDEST_OPSET = 7
_SOFTMAX_OPSET = 13


@dataclass(frozen=True, slots=True)
class _Step:
    run: Operator
    inputs: tuple[str, ...]
    output: str
    attributes: Attributes


class OnnxModule(nn.Module):
    """The graph as a list of steps over named values. Weights are buffers; integer constants are tuples."""

    def __init__(self, graph: onnx.GraphProto, steps: list[_Step], constants: dict[str, Any]) -> None:
        super().__init__()
        self._steps = steps
        self._inputs = [value.name for value in graph.input if value.name not in constants]
        self._outputs = [value.name for value in graph.output]
        self._plain = {name: value for name, value in constants.items() if not isinstance(value, torch.Tensor)}
        self._buffer_names: dict[str, str] = {}
        for number, (name, value) in enumerate(constants.items()):
            if isinstance(value, torch.Tensor):
                self._buffer_names[name] = f"weight{number}"
                self.register_buffer(f"weight{number}", value)

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Compute the graph's outputs, in order, from its inputs, in order."""
        values: dict[str, Any] = {"": None, **self._plain}
        for name, buffer in self._buffer_names.items():
            values[name] = getattr(self, buffer)
        values.update(zip(self._inputs, inputs, strict=True))
        for step in self._steps:
            values[step.output] = step.run([values[name] for name in step.inputs], step.attributes)
        return tuple(values[name] for name in self._outputs)


def translate(model: onnx.ModelProto) -> OnnxModule:
    """Build the module.

    Raises:
        UnsupportedError: the graph has operators, domains or an operator set without translation; all are named.
    """
    graph = model.graph
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    missing = sorted(_missing(graph.node, opset))
    if missing:
        raise UnsupportedError(f"no translation to PyTorch for {', '.join(missing)}")
    constants = {tensor.name: _constant(numpy_helper.to_array(tensor)) for tensor in graph.initializer}
    steps = []
    for node in graph.node:
        attributes = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
        if node.op_type == "Constant":
            constants[node.output[0]] = _constant(_constant_array(attributes))
        else:
            steps.append(_Step(OPERATORS[node.op_type], tuple(node.input), node.output[0], attributes))
    return OnnxModule(graph, steps, constants)


def _missing(nodes: Iterable[onnx.NodeProto], opset: int) -> set[str]:
    missing = set() if opset >= _OLDEST_OPSET else {f"operator set {opset}"}
    for node in nodes:
        if node.domain not in ("", "ai.onnx") or (node.op_type not in OPERATORS and node.op_type != "Constant"):
            missing.add(f"{node.domain}::{node.op_type}" if node.domain else node.op_type)
        elif node.op_type in ("Softmax", "LogSoftmax") and opset < _SOFTMAX_OPSET:
            missing.add(f"{node.op_type} of operator set {opset}")
        elif any(node.output[1:]) and node.op_type != "Dropout":
            missing.add(f"{node.op_type} with {len(node.output)} outputs")
    return missing


def _constant_array(attributes: Attributes) -> np.ndarray[Any, Any]:
    (name, value) = next(iter(attributes.items()))
    if name == "value":
        return numpy_helper.to_array(value)
    if name not in ("value_float", "value_floats", "value_int", "value_ints"):
        raise UnsupportedError(f"no translation to PyTorch for Constant with {name}")
    return np.asarray(value, dtype=np.float32 if "float" in name else np.int64)


def _constant(array: np.ndarray[Any, Any]) -> Any:
    """Integers are shapes, axes and pads: the compiler must see their values. Everything else is data."""
    if array.dtype == np.int64 and array.ndim <= 1:
        return tuple(int(value) for value in array.reshape(-1))
    if array.ndim == 0:
        return array.item()
    return torch.from_numpy(np.array(array))
