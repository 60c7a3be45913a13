"""Watch a torch function compute: every operation with its value, and the gradient of the result by it.

>>> traced = trace_computation(lambda x, y: x * y, {"x": torch.tensor(2.0), "y": torch.tensor(5.0)})
>>> [(step.label, step.value, step.gradient) for step in traced.steps]
[('x', (2.0,), (5.0,)), ('y', (5.0,), (2.0,)), ('×', (10.0,), (1.0,))]
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from chipwise.core.computation import Computation, Step
from chipwise.core.errors import NetworkError
from chipwise.networks.torch_source import build_module, examples_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from chipwise.core.network import Network

MOST_STEPS, MOST_VALUES = 40, 16
# torch's name of an operation: its sign between two tensors; around a number, which stands for "{}".
_SIGNS = {
    "add": ("+", "+ {}"),
    "sub": ("−", "− {}"),
    "rsub": ("−", "{} − x"),
    "mul": ("×", "× {}"),
    "div": ("÷", "÷ {}"),
    "truediv": ("÷", "÷ {}"),
    "rdiv": ("÷", "{} ÷ x"),
    "rtruediv": ("÷", "{} ÷ x"),
    "pow": ("^", "x ^ {}"),
    "rpow": ("^", "{} ^ x"),
    "matmul": ("matmul", "matmul"),
    "neg": ("−x", "−x"),
}


@dataclass(slots=True)
class _Seen:
    """A tensor that was made, and how; it is kept so that its id stays its own."""

    tensor: Tensor
    label: str
    reads: tuple[int, ...] = ()


@dataclass(slots=True)
class _Notes:
    seen: list[_Seen] = field(default_factory=list)
    places: dict[int, int] = field(default_factory=dict)

    def add(self, tensor: Tensor, label: str, reads: tuple[int, ...] = ()) -> None:
        self.places[id(tensor)] = len(self.seen)
        self.seen.append(_Seen(tensor, label, reads))


class _Watcher(TorchFunctionMode):
    """Notes what torch's functions make of tensors that are known."""

    def __init__(self, notes: _Notes) -> None:
        super().__init__()
        self.notes = notes

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the function and note it."""
        del types
        given = (*args, *(kwargs or {}).values())
        result = func(*args, **(kwargs or {}))
        reads = tuple(self.notes.places[id(each)] for each in given if id(each) in self.notes.places)
        if isinstance(result, Tensor) and reads and id(result) not in self.notes.places and result.is_floating_point():
            if result.requires_grad:
                result.retain_grad()
            self.notes.add(result, _label(func, given), reads)
        return result


def trace_computation(function: Callable[..., Tensor], inputs: Mapping[str, Tensor], name: str = "") -> Computation:
    """Run a function of small tensors once, forward and backward.

    Args:
        function: called with the inputs in their order; a module's parameters become inputs by their names.
        inputs: each named, any shape; they are copied.
        name: of the answer; the function's own when none is given.

    Raises:
        NetworkError: when it does not give one tensor that depends on the inputs.
    """
    notes = _Notes()
    given = {key: value.detach().clone() for key, value in inputs.items()}
    for key, value in given.items():
        if value.is_floating_point():
            value.requires_grad_()
        notes.add(value, key)
    held = dict(function.named_parameters()) if isinstance(function, nn.Module) else {}
    for key, value in held.items():
        notes.add(value, key)
        value.grad = None
    with _Watcher(notes), torch.enable_grad():
        result = function(*given.values())
    name = name or getattr(function, "__name__", type(function).__name__)
    if not isinstance(result, Tensor) or not result.requires_grad:
        raise NetworkError(f"{name} gave a {type(result).__name__} without a gradient; one tensor is wanted")
    result.sum().backward()  # type: ignore[no-untyped-call]
    computation = Computation(name, _steps(notes, notes.places[id(result)]))
    for value in held.values():
        value.grad = None
    return computation


def tiny_computation(network: Network) -> Computation | None:
    """The computation of a factory's module on its own example input, where it is small enough to be drawn.

    Returns:
        None when there is no torch factory with an `example_input`, or more than 40 operations, or a value with more
        than 16 numbers.

    Raises:
        NetworkError: when the factory cannot be imported or called.
    """
    if network.source is None:
        return None
    examples = examples_of(network.source)
    if examples is None:
        return None
    module = build_module(network.source).eval()
    tensors = (*examples, *module.parameters())
    if any(value.numel() > MOST_VALUES for value in tensors) or len(tensors) > MOST_STEPS:
        return None
    given = inspect.signature(module.forward).parameters.values()
    named = [each.name for each in given if each.kind is not inspect.Parameter.VAR_POSITIONAL]
    names = [*named, *(f"input_{index}" for index in range(len(named), len(examples)))][: len(examples)]
    traced = trace_computation(module, dict(zip(names, examples, strict=True)), network.name)
    small = len(traced.steps) <= MOST_STEPS and all(len(step.value) <= MOST_VALUES for step in traced.steps)
    return traced if small else None


def _steps(notes: _Notes, last: int) -> tuple[Step, ...]:
    """What the result depends on, in order."""
    wanted, waiting = {last}, [last]
    while waiting:
        fresh = set(notes.seen[waiting.pop()].reads) - wanted
        wanted |= fresh
        waiting += fresh
    order = sorted(wanted)
    places = {place: index for index, place in enumerate(order)}
    return tuple(_step(notes.seen[place], places) for place in order)


def _step(seen: _Seen, places: dict[int, int]) -> Step:
    tensor = seen.tensor.detach()
    gradient = seen.tensor.grad
    return Step(
        seen.label,
        tuple(places[place] for place in seen.reads),
        tuple(map(float, tensor.flatten().tolist())),
        () if gradient is None else tuple(map(float, gradient.flatten().tolist())),
        tuple(tensor.shape),
    )


def _label(func: Any, given: tuple[Any, ...]) -> str:
    name = getattr(func, "__name__", str(func))
    if name == "__get__":  # a property, as x.T
        name = getattr(getattr(func, "__self__", None), "__name__", name)
    name = name.strip("_").removeprefix("torch.")
    numbers = [each for each in given if isinstance(each, (int, float)) and not isinstance(each, bool)]
    if name == "getitem":
        return f"[{given[1]}]"
    if name not in _SIGNS:
        return name
    between, around = _SIGNS[name]
    return around.format(f"{numbers[0]:g}") if numbers and "{}" in around else between
