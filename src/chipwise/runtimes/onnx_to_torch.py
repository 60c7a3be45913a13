"""Build a PyTorch module that computes an ONNX graph, for graphs of the operators in `torch_operators`.

PyTorch reads no ONNX itself. Anything without a translation is refused by name rather than approximated.

What is known while the graph is compiled (shapes, and what is computed from them) stays in NumPy and is computed by the
reference evaluator, so that the compiler sees numbers, not tensors of them.

>>> import onnx, torch
>>> spec = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
>>> result = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
>>> graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [spec], [result])
>>> module = translate(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]))
>>> module(torch.tensor([-1.0]))[0].tolist()
[0.0]
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import nn

from chipwise.runtimes.torch_operators import OPERATORS
from chipwise.runtimes.torch_values import NUMBERS, SCALARS, Attributes, UnsupportedError

# Batch norm could train before 7. Softmax meant something else before 13, and Resize before 11.
_OLDEST_OPSET = 7
_OLD_FORMS = {"Softmax": ("Softmax of old", 13), "LogSoftmax": ("LogSoftmax of old", 13), "Resize": ("Upsample", 11)}

# Constants of up to this many elements, and results computed from them, are known while the graph is compiled.
_KNOWN_ELEMENTS = 4096
_KNOWN_FLOATS = 16  # scales, limits, fills; more floats are data

# Operators whose results beyond the first are translated too.
_SEVERAL = frozenset({"Dropout", "GRU", "If", "LSTM", "RNN", "Split", "TopK"})


@dataclass(frozen=True, slots=True)
class _Constant:
    """A constant: its tensor, by the name of the module's buffer, and its numbers where they count as known."""

    buffer: str
    known: NDArray[Any] | None


@dataclass(frozen=True, slots=True)
class _Step:
    kind: str
    node: onnx.NodeProto
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class _Block:
    """A graph, or the branch of an If: steps over named values."""

    constants: dict[str, _Constant]
    steps: tuple[_Step, ...]
    outputs: tuple[str, ...]


class OnnxModule(nn.Module):
    """The graph as a list of steps over named values. Constants are buffers, and those that learn are parameters.

    Floats are computed in `dtype`; inputs and outputs keep the types that the graph declares.

    Attributes:
        learned: by name of the initializer, the name of the parameter.
        through: by name of an input or of a step's result, what it goes through before anything reads it.
        watch: told of each step's result, with the name and operator of its node; None where nobody looks.
    """

    def __init__(self, model: onnx.ModelProto, opset: int, dtype: torch.dtype, learned: Collection[str]) -> None:
        super().__init__()
        self._dtype, self._opset, self._buffer_count = dtype, opset, 0
        self.learned: dict[str, str] = {}
        self.through: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {}
        self.watch: Callable[[str, Any], None] | None = None
        self._learned = learned
        self._block = self._translated(model.graph)
        self._inputs = [value.name for value in model.graph.input if value.name not in self._block.constants]
        self._floats = [
            value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT and dtype != torch.float32
            for value in model.graph.output
        ]
        self._evaluators: dict[str, ReferenceEvaluator] = {}

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Compute the graph's outputs, in order, from its inputs, in order."""
        given: dict[str, Any] = dict(zip(self._inputs, map(self._converted, inputs), strict=True))
        self._pass_through(given, self._inputs)
        results = (self._tensor(value) for value in self._computed(self._block, given))
        return tuple(each.float() if back else each for each, back in zip(results, self._floats, strict=True))

    def _computed(self, block: _Block, outer: Mapping[str, Any]) -> list[Any]:
        values: dict[str, Any] = {"": None, **outer, **block.constants}
        for step in block.steps:
            given = [values[name] for name in step.node.input]
            results = self._step(step, given, values)
            values.update(zip(step.node.output, results, strict=False))
            if self.watch is not None:
                self.watch(f"{step.node.name or step.node.output[0]} ({step.node.op_type})", results)
            self._pass_through(values, step.node.output)
        return [values[name] for name in block.outputs]

    def _pass_through(self, values: dict[str, Any], names: Iterable[str]) -> None:
        if self.through:
            for name in self.through.keys() & set(names):
                values[name] = self.through[name](self._tensor(values[name]))

    def _step(self, step: _Step, given: list[Any], values: Mapping[str, Any]) -> Sequence[Any]:
        if step.kind == "If":
            condition = bool(np.all(_numbers(self._number_form(given[0]))))
            return self._computed(step.attributes["then_branch" if condition else "else_branch"], values)
        if given and all(value is None or _known(value) is not None for value in given):
            return self._evaluated(step, given)
        wanted = NUMBERS.get(step.kind, ())
        forms = [
            None if value is None else self._number_form(value) if place in wanted else self._tensor(value)
            for place, value in enumerate(given)
        ]
        if step.kind in SCALARS and _is_scalar(given[1]):
            forms[1] = _known(given[1]).item()
        result = OPERATORS[step.kind](forms, step.attributes)
        return result if isinstance(result, tuple) else (result,)

    def _evaluated(self, step: _Step, given: list[Any]) -> list[Any]:
        name = step.node.output[0]
        if name not in self._evaluators:
            self._evaluators[name] = ReferenceEvaluator(step.node, opsets={"": self._opset})
        feeds = {key: _known(value) for key, value in zip(step.node.input, given, strict=True) if value is not None}
        results = [np.asarray(result) for result in self._evaluators[name].run(None, feeds)]
        return [result if result.size <= _KNOWN_ELEMENTS else self._tensor(result) for result in results]

    def _number_form(self, value: Any) -> Any:
        """Numbers and tuples; of a tensor only where nothing is being compiled."""
        known = _known(value)
        plain = (self._tensor(value) if known is None else known).tolist()
        return tuple(plain) if isinstance(plain, list) else plain

    def _tensor(self, value: Any) -> torch.Tensor:
        if isinstance(value, _Constant):
            value = getattr(self, value.buffer)
        elif not isinstance(value, torch.Tensor):
            value = self._converted(torch.from_numpy(np.array(value)))
        return value  # type: ignore[no-any-return]

    def _converted(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self._dtype) if tensor.dtype == torch.float32 else tensor

    def _translated(self, graph: onnx.GraphProto) -> _Block:
        constants = {
            tensor.name: (self._parameter if tensor.name in self._learned else self._constant)(
                numpy_helper.to_array(tensor), tensor.name
            )
            for tensor in graph.initializer
        }
        steps = []
        for node in graph.node:
            attributes = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
            if node.op_type == "Constant":
                constants[node.output[0]] = self._constant(_constant_array(attributes), node.output[0])
                continue
            kind, until = _OLD_FORMS.get(node.op_type, (node.op_type, 0))
            kind = kind if self._opset < until else node.op_type
            if kind == "Cast":
                attributes["to"] = self._type(attributes["to"])
            elif kind == "If":
                attributes = {name: self._translated(branch) for name, branch in attributes.items()}
            steps.append(_Step(kind, node, {**attributes, "outputs": len(node.output)}))
        return _Block(constants, tuple(steps), tuple(value.name for value in graph.output))

    def _parameter(self, array: NDArray[Any], tensor: str) -> _Constant:
        name = self.learned[tensor] = f"learned{len(self.learned)}"
        self.register_parameter(name, nn.Parameter(self._converted(torch.from_numpy(np.array(array)))))
        return _Constant(name, None)

    def _constant(self, array: NDArray[Any], _: str) -> _Constant:
        name = f"constant{self._buffer_count}"
        self._buffer_count += 1
        self.register_buffer(name, self._converted(torch.from_numpy(np.array(array))))
        limit = _KNOWN_FLOATS if array.dtype.kind == "f" else _KNOWN_ELEMENTS
        return _Constant(name, array if array.size <= limit and array.ndim <= 1 else None)

    def _type(self, element: int) -> torch.dtype | None:
        if element == onnx.TensorProto.FLOAT:
            return self._dtype
        name = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(element)).name
        found = getattr(torch, name, None)
        return found if isinstance(found, torch.dtype) else None


def translate(model: onnx.ModelProto, dtype: torch.dtype = torch.float32, learned: Collection[str] = ()) -> OnnxModule:
    """Build the module.

    Args:
        model: a graph.
        dtype: what its floats of 32 bits are computed in.
        learned: names of the initializers that become parameters.

    Raises:
        UnsupportedError: the graph has operators, domains or an operator set without translation; all are named.
    """
    return OnnxModule(model, check_operators(model), dtype, learned)


def check_operators(model: onnx.ModelProto) -> int:
    """Find out whether a graph can be translated at all; returns its operator set.

    Raises:
        UnsupportedError: as `translate`.
    """
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    missing = sorted(_missing(model.graph.node, opset))
    if missing:
        raise UnsupportedError(f"no translation to PyTorch for {', '.join(missing)}")
    return opset


def _missing(nodes: Iterable[onnx.NodeProto], opset: int) -> set[str]:
    missing = set() if opset >= _OLDEST_OPSET else {f"operator set {opset}"}
    for node in nodes:
        if node.domain not in ("", "ai.onnx") or node.op_type not in (*OPERATORS, "Constant", "If"):
            missing.add(f"{node.domain}::{node.op_type}" if node.domain else node.op_type)
        elif any(node.output[1:]) and node.op_type not in _SEVERAL:
            missing.add(f"{node.op_type} with {len(node.output)} outputs")
        for entry in node.attribute:
            if entry.type == onnx.AttributeProto.GRAPH:
                missing |= _missing(entry.g.node, opset)
    return missing


def _known(value: Any) -> Any:
    """The numbers of a value that is known while the graph is compiled; None for others."""
    if isinstance(value, _Constant):
        return value.known
    return value if isinstance(value, np.ndarray | np.generic) else None


def _numbers(value: Any) -> NDArray[Any]:
    return np.asarray(value)


def _is_scalar(value: Any) -> bool:
    known = _known(value)
    return known is not None and known.ndim == 0


def _constant_array(attributes: Attributes) -> NDArray[Any]:
    (name, value) = next(iter(attributes.items()))
    if name == "value":
        return numpy_helper.to_array(value)
    if name not in ("value_float", "value_floats", "value_int", "value_ints"):
        raise UnsupportedError(f"no translation to PyTorch for Constant with {name}")
    return np.asarray(value, dtype=np.float32 if "float" in name else np.int64)
