"""The optimizer's state in a file: each step reads a piece of it, learns, and writes the piece back.

What a piece learns is torch's own optimizer over a slice of a parameter: these optimizers treat every weight by itself,
so the numbers are the same to the bit. Of the state a piece alone is in memory, whatever the network's size. The file
has no name (it is gone when the process is, however that ends) and is read and written, not mapped: pages of a mapped
file would count as the process's own. Checkpoints get a copy beside them, piece by piece.

>>> module = nn.Linear(3, 2)
>>> optimizer = torch.optim.AdamW(module.parameters())
>>> with state_on_disk(optimizer, Path(), wanted=True):
...     module(torch.ones(1, 3)).sum().backward()
...     optimizer.step()
>>> [sorted(state) for state in optimizer.state.values()]
[['step'], ['step']]
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from chipwise.codec.files import atomic_path, storage_error
from chipwise.core.errors import InputError
from chipwise.core.training_memory import STATE_AT_ONCE
from chipwise.training.swapped import flat, is_dense, read_at, write_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    Lent = Callable[[Tensor], AbstractContextManager[object]]

_COPIED_AT_ONCE = 4 * 2**20  # bytes
_FILE = "optimizer-{:06d}.bin"


class StoredState:
    """The state of an optimizer, zeros to begin with, which is what torch's begin with.

    Args:
        optimizer: Adam, AdamW or SGD; of its own state only numbers of steps are left.
        folder: on whose disk the file lies.
        lent: has a parameter and its gradient in memory meanwhile, wherever they lie.

    Raises:
        InputError: a parameter's numbers do not lie side by side. StorageError: there is no room.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, folder: Path, lent: Lent) -> None:
        self._optimizer, self._folder, self._lent = optimizer, folder, lent
        self._counted = not isinstance(optimizer, torch.optim.SGD)
        moved = ("momentum_buffer",) if optimizer.defaults.get("momentum") else ()
        self._slots = ("exp_avg", "exp_avg_sq") if self._counted else moved
        self._begins: dict[Tensor, int] = {}
        end = 0
        for value in (value for group in optimizer.param_groups for value in group["params"]):
            if not is_dense(value):
                raise InputError(
                    f"state_on_disk: a parameter of {tuple(value.shape)} has holes", hint="leave state_on_disk out"
                )
            self._begins[value], end = end, end + len(self._slots) * value.nbytes
        try:
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115  (closed by `close`)
            os.posix_fallocate(self._file.fileno(), 0, max(end, 1))
        except OSError as error:
            raise storage_error(folder, error) from error

    def close(self) -> None:
        """Give the room back."""
        self._file.close()

    def step(self) -> None:
        """What the optimizer's own step does.

        Raises:
            StorageError: the disk fails.
        """
        try:
            for group in self._optimizer.param_groups:
                for value in group["params"]:
                    with self._lent(value):
                        if value.grad is not None:
                            self._learn(group, value)
        except OSError as error:
            raise storage_error(self._folder, error) from error

    def save(self, folder: Path, epochs: int) -> str:
        """Copy the file beside a checkpoint after so many epochs; gives its SHA-256.

        Raises:
            StorageError: it cannot be written.
        """
        digest = hashlib.sha256()
        self._file.seek(0)
        with atomic_path(folder / _FILE.format(epochs)) as part, part.open("wb") as copy:
            _copied(self._file.read, copy.write, digest)
        return digest.hexdigest()

    def load(self, folder: Path, epochs: int, sha256: str) -> None:
        """Take the state of such a copy.

        Raises:
            InputError: it is missing or damaged.
        """
        path, digest = folder / _FILE.format(epochs), hashlib.sha256()
        self._file.seek(0)
        try:
            with path.open("rb") as copy:
                _copied(copy.read, self._file.write, digest)
        except FileNotFoundError as error:
            raise _damaged(path, "it is missing") from error
        except OSError as error:
            raise storage_error(self._folder, error) from error
        if digest.hexdigest() != sha256:
            raise _damaged(path, "its content does not match its hash")

    def _learn(self, group: dict[str, Any], value: Tensor) -> None:
        """Take one parameter's step, piece by piece."""
        known = self._optimizer.state[value]
        step = known.get("step", torch.zeros(())) if self._counted else None
        assert value.grad is not None
        gradient = value.grad if value.grad.stride() == value.stride() else torch.empty_like(value).copy_(value.grad)
        weights, slopes = flat(value), flat(gradient)
        kept = [torch.empty(min(len(weights), STATE_AT_ONCE), dtype=value.dtype) for _ in self._slots]
        kind: Any = type(self._optimizer)
        counted = step
        for begin in range(0, len(weights), STATE_AT_ONCE):
            piece = nn.Parameter(weights[begin : begin + STATE_AT_ONCE])
            piece.grad = slopes[begin : begin + STATE_AT_ONCE]
            state = dict(zip(self._slots, (each[: len(piece)] for each in kept), strict=True))
            places = [
                self._begins[value] + index * value.nbytes + begin * value.element_size() for index in range(len(kept))
            ]
            for place, each in zip(places, state.values(), strict=True):
                read_at(self._file.fileno(), each, place)
            worker = kind([group | {"params": [piece]}])
            worker.state[piece] = state if step is None else state | {"step": step.clone()}
            worker.step()
            counted = worker.state[piece].get("step")
            for place, each in zip(places, state.values(), strict=True):
                write_at(self._file.fileno(), each, place)
        if counted is not None:
            known["step"] = counted


@contextmanager
def state_on_disk(
    optimizer: torch.optim.Optimizer, folder: Path, *, wanted: bool, lent: Lent = nullcontext
) -> Iterator[StoredState | None]:
    """Let an optimizer keep its state in a file meanwhile; None where that is not wanted.

    Args:
        optimizer: as `build_optimizer` makes it, without state.
        folder: where the file lies.
        wanted: whether it is to be so.
        lent: as `StoredState` takes it.

    Raises:
        InputError, StorageError: as `StoredState`.
    """
    if not wanted:
        yield None
        return
    stored = StoredState(optimizer, folder, lent)
    optimizer.step = stored.step  # type: ignore[method-assign, assignment]
    try:
        yield stored
    finally:
        del optimizer.step
        stored.close()


def forget_copies(folder: Path, *, but: int | None = None) -> None:
    """Remove copies that `StoredState.save` made beside checkpoints, but that after so many epochs."""
    for path in folder.glob("*optimizer-*"):  # those of a process that was killed while it wrote them, too
        if but is None or path.name != _FILE.format(but):
            path.unlink(missing_ok=True)


def _copied(read: Callable[[int], bytes], write: Callable[[bytes], Any], digest: Any) -> None:
    while piece := read(_COPIED_AT_ONCE):
        digest.update(piece)
        write(piece)


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(
        f"the optimizer's state {path} is damaged: {reason}",
        hint="start over with --fresh, or name another folder",
    )
