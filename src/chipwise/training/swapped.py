"""Swapping of activations: what chosen parts of a module save for the backward pass lies in a file meanwhile.

Tensors are written as they lie in memory and read back when gradients are worked out: the same bits. Weights stay, as
does what is small. The file has no name (it is gone when the process is, however that ends); its room is reserved in
the first step, so that a full disk is told then, and is used again in every step.

>>> net = nn.Sequential(nn.Linear(600, 600), nn.Tanh())
>>> with swapped_out(net, [("0", "1")], Path()):
...     net(torch.ones(600, 600)).sum().backward()
"""

from __future__ import annotations

import ctypes
import os
import tempfile
import weakref
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef

from chipwise.codec.files import storage_error
from chipwise.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from chipwise.core.training_memory import Segment

SMALLEST = 256 * 1024  # bytes; writing what is smaller costs more than it saves
_RESERVED_AT_ONCE = 64 * 2**20  # bytes of the file


class _Place:
    """Where a tensor lies in the file; one that two operators saved has one place."""

    def __init__(self, begin: int, like: Tensor) -> None:
        self.begin, self.shape, self.stride, self.dtype = begin, like.shape, like.stride(), like.dtype
        self.device = like.device
        self._offset = like.storage_offset()

    def holds(self, value: Tensor) -> bool:
        """Whether it is that part of its storage, in the same form."""
        form = (value.shape, value.stride(), value.dtype, value.storage_offset())
        return (self.shape, self.stride, self.dtype, self._offset) == form


class Scratch:
    """A file without a name for tensors that come back in the same step.

    Places are given one after another; once none is held any more, they begin anew.

    Args:
        folder: on whose disk it lies.

    Raises:
        StorageError: there is no room.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._size, self._end, self._held = folder, 0, 0, 0
        self._known: dict[int, tuple[StorageWeakRef, int, weakref.ref[_Place]]] = {}
        try:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (closed by `close`)
        except OSError as error:
            raise storage_error(folder, error) from error

    def close(self) -> None:
        """Give the room back."""
        self._file.close()

    def put(self, weights: frozenset[int], value: Tensor) -> Any:
        """Write a tensor, unless it is small, has holes, or lies where a weight does; gives what `get` takes."""
        storage = value.untyped_storage()
        if value.nbytes < SMALLEST or storage._cdata in weights or not is_dense(value):  # noqa: SLF001
            return value
        found = self._find(value)
        if found is not None:
            return found
        place = _Place(self._end, value)
        self._end += value.nbytes
        if self._end > self._size:
            self._reserve(self._end + _RESERVED_AT_ONCE)
        self._move(write_at, value.detach().cpu(), place.begin)
        self._held += 1
        weakref.finalize(place, self._release)
        known = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
        self._known[known.cdata] = (known, value._version, weakref.ref(place))  # noqa: SLF001  (no other way to know)
        return place

    def get(self, given: Any) -> Tensor:
        """The tensor that was put."""
        if isinstance(given, Tensor):
            return given
        made = torch.empty_strided(given.shape, given.stride, dtype=given.dtype)
        self._move(read_at, made, given.begin)
        return made.to(given.device)

    def _find(self, value: Tensor) -> _Place | None:
        """Where the same tensor was put before, as by the operator that made it."""
        storage, version, place = self._known.get(value.untyped_storage()._cdata, (None, 0, None))  # noqa: SLF001
        if storage is None or place is None or storage.expired():  # type: ignore[no-untyped-call]
            return None
        if version != value._version:  # noqa: SLF001
            return None
        found = place()
        return found if found is not None and found.holds(value) else None

    def _release(self) -> None:
        self._held -= 1
        if not self._held:
            self._end = 0
            self._known.clear()

    def _reserve(self, size: int) -> None:
        try:
            os.posix_fallocate(self._file.fileno(), 0, size)
        except OSError as error:
            raise storage_error(self._folder, error) from error
        self._size = size

    def _move(self, move: Callable[[int, Tensor, int], None], value: Tensor, begin: int) -> None:
        try:
            move(self._file.fileno(), value, begin)
        except OSError as error:
            raise storage_error(self._folder, error) from error


@contextmanager
def swapped_out(module: nn.Module, segments: Sequence[Segment], folder: Path) -> Iterator[None]:
    """Keep what these parts save in a file meanwhile, in training.

    Args:
        module: what is trained.
        segments: paths of modules.
        folder: where the file lies.

    Raises:
        InputError: there are no such modules. StorageError: there is no room.
    """
    if not segments:
        yield
        return
    try:
        parts = [module.get_submodule(path) for segment in segments for path in segment]
    except AttributeError as error:
        raise InputError(f"swapped={segments[0][0]!r}: {error}") from error
    scratch = Scratch(folder)
    before = [vars(part).get("forward") for part in parts]
    try:
        for part in parts:
            part.forward = partial(_hooked, scratch, part, part.forward)
        yield
    finally:
        for part, forward in reversed([*zip(parts, before, strict=True)]):
            if forward is None:
                vars(part).pop("forward", None)
            else:
                part.forward = forward
        scratch.close()


def _hooked(scratch: Scratch, part: nn.Module, forward: Callable[..., Any], *given: Any, **named: Any) -> Any:
    if not torch.is_grad_enabled() or not part.training:
        return forward(*given, **named)
    weights = frozenset(value.untyped_storage()._cdata for value in part.parameters())  # noqa: SLF001
    with saved_tensors_hooks(partial(scratch.put, weights), scratch.get):
        return forward(*given, **named)


def write_at(file: int, value: Tensor, begin: int) -> None:
    """Write all numbers of a tensor that is dense into a file from a byte on, in the order in which they lie in memory.

    Raises:
        OSError: it cannot be written.
    """
    data, done = _bytes_of(value), 0
    while done < len(data):
        done += os.pwrite(file, data[done:], begin + done)


def read_at(file: int, value: Tensor, begin: int) -> None:
    """Read what `write_at` wrote.

    Raises:
        OSError: it cannot be read.
    """
    data, done = _bytes_of(value), 0
    while done < len(data):
        done += os.preadv(file, [data[done:]], begin + done)


def flat(value: Tensor) -> Tensor:
    """The numbers of a tensor that is dense as one row, in the order in which they lie; the same memory."""
    return value.detach().as_strided((value.numel(),), (1,), value.storage_offset())


def is_dense(value: Tensor) -> bool:
    """Whether its numbers lie side by side in memory, in any order of dimensions."""
    return torch.empty_like(value, device="meta").stride() == value.stride()


def _bytes_of(value: Tensor) -> memoryview:
    """Its memory, as long as the tensor is there; with numpy's, its storage could not be resized any more."""
    return memoryview((ctypes.c_char * value.nbytes).from_address(value.data_ptr())).cast("B")


def swappable(module: nn.Module, chains: Sequence[Sequence[Segment]]) -> tuple[tuple[Segment, ...], ...]:
    """Those chains, and all that is in none of them as one part more.

    Args:
        module: what is trained.
        chains: as `checkpointed.segments_of` gives them.
    """
    within = tuple(path for chain in chains for link in chain for path in link)
    leaves = (name for name, part in module.named_modules() if name and not any(True for _ in part.children()))
    rest = tuple(name for name in leaves if not any(name == path or name.startswith(f"{path}.") for path in within))
    return (*map(tuple, chains), *((((rest,),)) if rest else ()))
