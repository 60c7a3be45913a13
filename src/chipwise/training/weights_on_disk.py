"""Weights in a file: those of a layer are in memory while it runs, forward and back, and while they learn.

The room of a weight is given back and taken anew, so that what the graph of gradients refers to stays what it was. A
gradient goes to the file as soon as it is whole, and comes back when the optimizer wants it; so do the best weights.
The file has no name (it is gone when the process is, however that ends); its room is reserved at the beginning.

>>> net = nn.Sequential(nn.Linear(600, 600), nn.Linear(600, 2))
>>> with weights_on_disk(net, Path(), wanted=True) as stored:
...     net[0].weight.untyped_storage().nbytes(), net(torch.ones(1, 600)).shape, sorted(stored.names)
(0, torch.Size([1, 2]), ['0.weight'])
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_
from torch.overrides import TorchFunctionMode

from chipwise.codec.files import storage_error
from chipwise.core.errors import InputError
from chipwise.core.training_memory import LARGE_WEIGHT, STATE_AT_ONCE
from chipwise.training.feed import check_finite
from chipwise.training.lying import Lying, Somewhere
from chipwise.training.process import settled_bytes
from chipwise.training.swapped import flat, is_dense, read_at, write_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

# Layers that nobody reads the weights of but themselves; a class derived from one may be another matter.
_OWN = frozenset((nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Embedding))
_LOOKING = frozenset(("__get__", "untyped_storage"))  # functions that read no numbers
_COPIED_AT_ONCE = 4 * 2**20  # bytes
_WEIGHTS, _GRADIENTS, _BEST = range(3)  # thirds of the file


class StoredWeights:
    """The large weights of a module, in a file.

    Args:
        module: whose layers are told to fetch their weights.
        folder: on whose disk the file lies.

    Raises:
        InputError: it has no such weights. StorageError: there is no room.
    """

    def __init__(self, module: nn.Module, folder: Path) -> None:
        self._module, self._folder = module, folder
        self._named = large_weights(module)
        if not self._named:
            raise InputError(
                f"weights_on_disk=True: no layer has weights of {LARGE_WEIGHT // 2**20} MiB or more",
                hint="leave it out",
            )
        self._begins: dict[Tensor, int] = {}
        self._size = 0  # of a third
        for value in self._named.values():
            self._begins[value], self._size = self._size, self._size + value.nbytes
        self._held: Counter[Tensor] = Counter()
        self._awaited: set[Tensor] = set()  # gradients
        self._learned: set[Tensor] = set()  # whose gradients are in the file
        self._kept = False
        try:
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115  (closed by `close`)
            os.posix_fallocate(self._file.fileno(), 0, 3 * self._size)
        except OSError as error:
            raise storage_error(folder, error) from error
        self._hooks = ExitStack()

    @property
    def names(self) -> frozenset[str]:
        """Of the weights that lie there."""
        return frozenset(self._named)

    @property
    def like(self) -> dict[str, Tensor]:
        """What is like each of them, without numbers."""
        return {name: torch.empty_like(value, device="meta") for name, value in self._named.items()}

    @property
    def now(self) -> dict[str, Somewhere]:
        """The weights as they are now."""
        return {name: self._lying(value, _WEIGHTS) for name, value in self._named.items()}

    @property
    def best(self) -> dict[str, Somewhere]:
        """The weights that were kept last; empty before the first were."""
        return {name: self._lying(value, _BEST) for name, value in self._named.items()} if self._kept else {}

    def lend(self) -> None:
        """Write the weights to the file, and have layers fetch them."""
        check_finite(self._named.items())
        for value in self._named.values():
            if value.untyped_storage().nbytes() != value.nbytes or not value.untyped_storage().resizable():
                value.data = value.detach().clone()  # a part of something larger, or of a file
            self._move(write_at, value, _WEIGHTS)
            value.untyped_storage().resize_(0)
            hook = value.register_post_accumulate_grad_hook(self._put_gradient)  # type: ignore[no-untyped-call]
            self._hooks.callback(hook.remove)
        for part in self._module.modules():
            values = [value for value in part.parameters(recurse=False) if value in self._begins]
            if values:
                self._wrap(part, partial(self._run, values, part.forward))
        self._wrap(self._module, partial(self._guarded, self._module.forward))
        settled_bytes()  # what was given back goes to the system

    def give_back(self) -> None:
        """Bring all weights back into memory, for good."""
        self._hooks.close()
        for value in self._named.values():
            if not value.untyped_storage().nbytes():
                value.untyped_storage().resize_(value.nbytes)
                self._move(read_at, value, _WEIGHTS)

    def close(self) -> None:
        """Give the room on the disk back."""
        self._file.close()

    def take(self, given: Mapping[str, Somewhere], *, as_best: bool = False) -> None:
        """Take on weights in the place of those that are there, or of the best so far; none are no change."""
        for name, value in self._named.items() if given else ():
            found = given[name]
            made = found.read() if isinstance(found, Lying) else found
            ordered = made if made.stride() == value.stride() else torch.empty_like(value).copy_(made)
            self._move(write_at, ordered, _BEST if as_best else _WEIGHTS, value)
        self._kept = self._kept or (as_best and bool(given))

    def keep(self) -> None:
        """Take the weights as they are now for the best so far."""
        try:
            for begin in range(0, self._size, _COPIED_AT_ONCE):
                piece = torch.empty(min(_COPIED_AT_ONCE, self._size - begin), dtype=torch.uint8)
                read_at(self._file.fileno(), piece, begin)
                write_at(self._file.fileno(), piece, _BEST * self._size + begin)
        except OSError as error:
            raise storage_error(self._folder, error) from error
        self._kept = True

    @contextmanager
    def lent(self, value: Tensor) -> Iterator[None]:
        """Have a weight and its gradient in memory while it learns; nothing to do for what is there anyway."""
        if value not in self._learned:
            yield
            return
        self._hold(value)
        value.grad = self._gradient(value)
        try:
            yield
            self._move(write_at, value, _WEIGHTS)
        finally:
            value.grad = None
            self._learned.discard(value)
            self._release(value)

    @contextmanager
    def everything(self) -> Iterator[None]:
        """Have all weights and gradients in memory meanwhile, to look at what went wrong."""
        for value in self._named.values():
            self._hold(value)
            value.grad = self._gradient(value) if value in self._learned else None
        try:
            yield
        finally:
            for value in self._named.values():
                value.grad = None
                self._release(value)

    def norm(self) -> Tensor:
        """The 2-norm of the gradients of all weights of the module together; one is read at a time."""
        gradients = (
            self._gradient(value) if value in self._learned else value.grad for value in self._module.parameters()
        )
        norms = [torch.linalg.vector_norm(each) for each in gradients if each is not None]
        found: Tensor = torch.linalg.vector_norm(torch.stack(norms))
        return found

    def clip(self, most: float, norm: Tensor) -> None:
        """Scale the gradients in the file as torch scales those in memory."""
        for value in self._learned:
            held = nn.Parameter(torch.empty(0))
            held.data, held.grad = (gradient := self._gradient(value)), gradient
            clip_grads_with_norm_([held], most, norm)
            self._move(write_at, gradient, _GRADIENTS, value)

    def _wrap(self, part: nn.Module, forward: Callable[..., Any]) -> None:
        before = vars(part).get("forward")
        part.forward = forward
        self._hooks.callback(_unwrap, part, before)

    def _run(self, values: Sequence[Tensor], forward: Callable[..., Any], *given: Any, **named: Any) -> Any:
        """Run a layer, its weights in memory meanwhile, and again when its gradients are worked out."""
        for value in values:
            self._hold(value)
        try:
            result = forward(*given, **named)
        finally:
            for value in values:
                self._release(value)
        if isinstance(result, Tensor) and result.grad_fn is not None:
            result.grad_fn.register_prehook(partial(self._await, values))
        return result

    def _guarded(self, forward: Callable[..., Any], *given: Any, **named: Any) -> Any:
        with _Guard(self._foreign):
            return forward(*given, **named)

    def _foreign(self, value: object) -> bool:
        """Whether it is a weight that is not in memory."""
        return isinstance(value, Tensor) and value in self._begins and not self._held[value]

    def _await(self, values: Sequence[Tensor], _given: object) -> None:
        for value in values:
            if value not in self._awaited:
                self._awaited.add(value)
                self._hold(value)

    @torch.no_grad()
    def _put_gradient(self, value: Tensor) -> None:
        """Write a gradient that is whole, or add it to those of earlier parts of the batch."""
        assert value.grad is not None
        gradient = value.grad if value.grad.stride() == value.stride() else torch.empty_like(value).copy_(value.grad)
        value.grad = None
        if value in self._awaited:
            self._awaited.discard(value)
            self._release(value)
        if value in self._learned:
            self._add(value, flat(gradient))
        else:
            self._move(write_at, gradient, _GRADIENTS, value)
        self._learned.add(value)

    def _add(self, value: Tensor, slopes: Tensor) -> None:
        place = self._place(value, _GRADIENTS)
        try:
            for begin in range(0, len(slopes), STATE_AT_ONCE):
                piece = torch.empty_like(slopes[begin : begin + STATE_AT_ONCE])
                where = place + begin * slopes.element_size()
                read_at(self._file.fileno(), piece, where)
                write_at(self._file.fileno(), piece.add_(slopes[begin : begin + STATE_AT_ONCE]), where)
        except OSError as error:
            raise storage_error(self._folder, error) from error

    def _hold(self, value: Tensor) -> None:
        self._held[value] += 1
        if self._held[value] == 1:
            value.untyped_storage().resize_(value.nbytes)
            self._move(read_at, value, _WEIGHTS)

    def _release(self, value: Tensor) -> None:
        if self._held[value] == 1:
            value.untyped_storage().resize_(0)
        self._held[value] -= 1

    def _gradient(self, value: Tensor) -> Tensor:
        return self._read(value, _GRADIENTS)

    def _read(self, value: Tensor, third: int) -> Tensor:
        made = torch.empty_like(value, requires_grad=False)
        self._move(read_at, made, third, value)
        return made

    def _lying(self, value: Tensor, third: int) -> Lying:
        return Lying(tuple(value.shape), value.dtype, lambda: self._read(value, third).contiguous())

    def _place(self, value: Tensor, third: int) -> int:
        return third * self._size + self._begins[value]

    def _move(
        self, move: Callable[[int, Tensor, int], None], what: Tensor, third: int, of: Tensor | None = None
    ) -> None:
        try:
            move(self._file.fileno(), what, self._place(what if of is None else of, third))
        except OSError as error:
            raise storage_error(self._folder, error) from error


class _Guard(TorchFunctionMode):
    """Refuses functions of torch on weights that are not in memory: some of them would end the process."""

    def __init__(self, foreign: Callable[[object], bool]) -> None:
        super().__init__()
        self._foreign = foreign

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        given = (
            each for one in (*args, *named.values()) for each in (one if isinstance(one, (list, tuple)) else (one,))
        )
        if func.__name__ not in _LOOKING and any(map(self._foreign, given)):
            raise InputError(
                "weights_on_disk=True: a layer's weights are used without the layer", hint="leave weights_on_disk out"
            )
        return func(*args, **named)


@contextmanager
def weights_on_disk(module: nn.Module, folder: Path, *, wanted: bool) -> Iterator[StoredWeights | None]:
    """Let the large weights of a module lie in a file meanwhile; None where that is not wanted.

    Args:
        module: what is trained.
        folder: where the file lies.
        wanted: whether it is to be so.

    Raises:
        InputError, StorageError: as `StoredWeights`.
    """
    if not wanted:
        yield None
        return
    stored = StoredWeights(module, folder)
    try:
        stored.lend()
        yield stored
    finally:
        stored.give_back()
        stored.close()


def large_weights(module: nn.Module) -> dict[str, nn.Parameter]:
    """Weights of 1 MiB or more that are learned, and that one layer alone reads, by name."""
    owners = Counter(id(value) for part in module.modules() for value in part.parameters(recurse=False))
    return {
        f"{path}.{name}" if path else name: value
        for path, part in module.named_modules()
        if type(part) in _OWN
        for name, value in part.named_parameters(recurse=False)
        if value.requires_grad and value.nbytes >= LARGE_WEIGHT and is_dense(value) and owners[id(value)] == 1
    }


def all_here(stored: StoredWeights | None) -> AbstractContextManager[None]:
    """All weights in memory meanwhile, wherever they are."""
    return nullcontext() if stored is None else stored.everything()


def _unwrap(part: nn.Module, before: Any) -> None:
    if before is None:
        vars(part).pop("forward", None)
    else:
        part.forward = before
