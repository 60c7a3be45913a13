"""Layer rows of a torch source: traced without data or weights, on torch's meta device.

One row a leaf module that computes something, and one a function called outside a leaf (an addition, a flatten). An
activation is folded into the row that feeds it when nothing else reads that row.

>>> from chipwise.networks.load import load
>>> [row.parameters for row in trace(load("lenet-300-100"), 1)]
[235500, 30100, 1010]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from chipwise.core.errors import NetworkError, first_line
from chipwise.core.layer import Layer, Shape
from chipwise.core.network import Network
from chipwise.networks.aten import Operation, describe, recurrent
from chipwise.networks.rows import ACTIVATIONS
from chipwise.networks.torch_source import build_hollow, examples_for

_FORWARD_ERRORS = (RuntimeError, TypeError, ValueError, IndexError, KeyError, AttributeError, NotImplementedError)


@dataclass(slots=True)
class _Call:
    """One visit to a leaf module, or one function outside any: what it ran, read and wrote."""

    name: str
    leaf: nn.Module | None
    operations: list[Operation] = field(default_factory=list)
    reads: dict[int, Tensor] = field(default_factory=dict)
    writes: dict[int, Tensor] = field(default_factory=dict)
    final: list[Tensor] = field(default_factory=list)


def trace(network: Network, batch: int) -> tuple[Layer, ...]:
    """Run a network's source once on the meta device and describe what it did.

    Args:
        network: one with a source.
        batch: items.

    Returns:
        Rows with the bytes saved for the backward pass where training mode can be traced.

    Raises:
        NetworkError: when the module cannot be built, or does not take its declared inputs.
    """
    assert network.source is not None
    module, device = build_hollow(network.source)
    examples = examples_for(network.inputs, batch, device)
    recorder = _Recorder(module)
    try:
        with torch.no_grad(), recorder.watching(), recorder:
            result = module.eval()(*examples)
    except _FORWARD_ERRORS as error:
        shapes = ", ".join(str(list(example.shape)) for example in examples)
        raise NetworkError(
            f"{network.name} does not take {shapes}: {type(error).__name__}: {first_line(error)}"
        ) from error
    saved = _saved_bytes(module, examples)
    state = {_storage(value): value for value in (*module.parameters(), *module.buffers())}
    return _rows(recorder, _tensors(result), state, saved)


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation, and knows which module is running."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.module = module
        self.calls: list[_Call] = []
        self.path: list[str] = []
        self.leaf: _Call | None = None
        self.shows: dict[int, int] = {}
        self.alive: list[Tensor] = []  # an id is only unique while its tensor lives

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and note it."""
        del types
        result = func(*args, **(kwargs or {}))
        self._note(func, args, (*args, *(kwargs or {}).values()), result)
        return result

    def _note(self, func: Any, args: Any, values: Sequence[Any], result: Any) -> None:
        read, written = _tensors(values), _tensors(result)
        operation = describe(func, args, written)
        if operation is None or not written:
            for tensor in written if read else ():  # a view stands for what it shows
                self.shows[id(tensor)] = self.shows.get(id(read[0]), id(read[0]))
            self.alive += [*read, *written]
            return
        call = self.leaf
        if call is None:
            scope = f"{self.path[-1]}/" if self.path and self.path[-1] else ""
            call = _Call(f"{scope}{operation.name}", None)
            self.calls.append(call)
        call.operations.append(operation)
        call.reads.update((id(tensor), tensor) for tensor in read if id(tensor) not in call.writes)
        call.writes.update((id(tensor), tensor) for tensor in written)
        call.final = written[: operation.results]
        self.alive += [*read, *written]

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Follow which module runs."""
        handles = []
        for name, part in self.module.named_modules(remove_duplicate=True):
            handles.append(part.register_forward_pre_hook(self._entering(name)))
            handles.append(part.register_forward_hook(self._leaving(name), always_call=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _sum_up(self, call: _Call, layer: nn.RNNBase, given: list[Tensor], results: list[Tensor]) -> None:
        """A recurrent layer is one operation, whatever torch ran for it; no result where it raised."""
        if not results:
            return
        call.operations = [recurrent(layer, given[0].shape)]
        call.reads = {id(tensor): tensor for tensor in (*given, *layer.parameters())}
        call.writes.update((id(tensor), tensor) for tensor in results)
        call.final = results[:1]
        self.alive += [*given, *results]

    def _entering(self, name: str) -> Any:
        def enter(part: nn.Module, _: Any) -> None:
            self.path.append(name)
            if self.leaf is None and not list(part.children()):
                self.leaf = _Call(name or type(part).__name__.lower(), part)
                self.calls.append(self.leaf)

        return enter

    def _leaving(self, name: str) -> Any:
        def leave(part: nn.Module, given: Any, result: Any) -> None:
            self.path.pop()
            if self.leaf is not None and self.leaf.leaf is part:
                if isinstance(part, nn.RNNBase):
                    self._sum_up(self.leaf, part, _tensors(given), _tensors(result))
                self.leaf = None

        del name
        return leave


def _rows(
    recorder: _Recorder, results: Sequence[Tensor], state: dict[int, Tensor], saved: dict[str, int] | None
) -> tuple[Layer, ...]:
    ran = [call for call in recorder.calls if call.operations]
    readers: dict[int, int] = {}
    for call in ran:
        for key in call.reads:
            readers[key] = readers.get(key, 0) + 1
    for tensor in results:
        readers[id(tensor)] = readers.get(id(tensor), 0) + 1
    rows: list[Layer] = []
    maker: dict[int, int] = {}
    counted: set[int] = set()
    names: dict[str, int] = {}
    for call in ran:
        row = _row(call, state, counted, names)
        feeders = [key for key in call.reads if key in maker]
        alone = len(feeders) == 1 and readers[feeders[0]] == 1 and not row.parameters
        if row.op in ACTIVATIONS and alone and not rows[maker[feeders[0]]].activation:
            index = maker[feeders[0]]
            rows[index] = replace(rows[index], activation=row.op, flops=rows[index].flops + row.flops)
        else:
            sources = (maker.get(key, maker.get(recorder.shows.get(key, 0))) for key in call.reads)
            after = dict.fromkeys(rows[source].name for source in sources if source is not None)
            rows.append(replace(row, after=tuple(after)))
            index = len(rows) - 1
        maker.update(dict.fromkeys(call.writes, index))
        if saved is not None:
            total = (rows[index].saved_bytes or 0) + saved.pop(call.name, 0)
            rows[index] = replace(rows[index], saved_bytes=total)
    return tuple(rows)


def _row(call: _Call, state: dict[int, Tensor], counted: set[int], names: dict[str, int]) -> Layer:
    main = max(call.operations, key=lambda operation: (operation.flops or 0, operation.name in ACTIVATIONS))
    # A transposed weight is another tensor over the same storage.
    weights = {_storage(tensor): tensor for tensor in call.reads.values() if _storage(tensor) in state}
    activations = [tensor for tensor in call.reads.values() if _storage(tensor) not in state]
    fresh = [key for key in weights if key not in counted and state[key].requires_grad]
    counted.update(fresh)
    names[call.name] = names.get(call.name, -1) + 1
    write_bytes = sum(map(_bytes, call.final))
    # A look-up reads of its table just what it gives.
    most = write_bytes if main.name == "Gather" else sys.maxsize
    return Layer(
        name=f"{call.name}_{names[call.name]}" if names[call.name] else call.name,
        op=getattr(call.leaf, "onnx_operator", main.name),  # a leaf may say of which operator it is all the parts
        inputs=tuple(_shape(tensor) for tensor in activations),
        outputs=tuple(_shape(tensor) for tensor in call.final),
        parameters=sum(state[key].numel() for key in fresh),
        flops=sum(operation.flops or 0 for operation in call.operations),
        read_bytes=sum(min(_bytes(each), most) for each in (*activations, *(state[key] for key in weights))),
        write_bytes=write_bytes,
        known=all(operation.flops is not None for operation in call.operations),
        kernel=_per_axis(call, "kernel_size"),
        stride=_per_axis(call, "stride"),
        groups=int(getattr(call.leaf, "groups", 1)),
    )


def _per_axis(call: _Call, attribute: str) -> tuple[int, ...]:
    """Window or step of a convolution or pooling, one value an axis; empty for other layers."""
    value = getattr(call.leaf, attribute, None) if hasattr(call.leaf, "kernel_size") else None
    if value is None:
        return ()
    return tuple(map(int, value)) if isinstance(value, tuple) else (int(value),) * (call.final[0].ndim - 2)


def _saved_bytes(module: nn.Module, examples: Sequence[Tensor]) -> dict[str, int] | None:
    """Bytes that autograd keeps for the backward pass, by the call that keeps them; parameters are not counted."""
    recorder = _Recorder(module)
    seen = {_storage(value) for value in (*module.parameters(), *module.buffers())}
    kept: dict[str, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = _storage(tensor)
        if storage not in seen:
            seen.add(storage)
            recorder.alive.append(tensor)
            name = recorder.leaf.name if recorder.leaf else (recorder.calls[-1].name if recorder.calls else "")
            kept[name] = kept.get(name, 0) + tensor.numel() * tensor.element_size()
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    try:
        with torch.enable_grad(), recorder.watching(), recorder, hooks:
            recorder.alive += _tensors(module.train()(*examples))
    except _FORWARD_ERRORS:  # batch-norm over one value, for example, cannot be trained
        return None
    return kept


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return []
    return [tensor for part in value for tensor in _tensors(part)]


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)  # noqa: SLF001 (meta storages have no address)


def _shape(tensor: Tensor) -> Shape:
    return tuple(int(size) for size in tensor.shape)


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
