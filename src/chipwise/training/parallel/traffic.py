"""What a process says to others in a step: calls of torch's collectives, and the bytes that they carry.

torch counts calls (`CommDebugMode`), not bytes, and not under pipelines; this listens at the same place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from chipwise.core.proof import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable

_NAMESPACES = ("c10d", "_c10d_functional")
# A message is counted where it is sent; waiting, barriers and what autograd wraps carry nothing.
_SILENT = ("recv", "irecv", "wait", "wrap", "barrier", "monitored", "check")
_ONE_NAME = {"allreduce": "all_reduce", "allgather": "all_gather", "isend": "send"}  # torch has two interfaces


class Listening(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts collectives while it is entered.

    The bytes of a call are those of the largest of what it takes and gives: the whole value that is reduced or
    gathered, or the message that is sent.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._calls: dict[str, int] = {}
        self._bytes: dict[str, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Take note, and let it happen."""
        del types
        call: Callable[..., Any] = func
        made = call(*args, **(kwargs or {}))
        if func.namespace in _NAMESPACES:
            self._note(func, (*args, made))
        return made

    @property
    def heard(self) -> tuple[Traffic, ...]:
        """By kind, in alphabetical order."""
        return tuple(Traffic(kind, self._calls[kind], self._bytes[kind]) for kind in sorted(self._calls))

    def _note(self, func: Any, values: tuple[Any, ...]) -> None:
        kind = func.overloadpacket.__name__.strip("_").removesuffix("_base")
        kind = kind.removesuffix("_tensor").removesuffix("_into")
        kind = _ONE_NAME.get(kind, kind)
        if kind.startswith(_SILENT):
            return
        sizes = [
            sum(leaf.numel() * leaf.element_size() for leaf in tree_leaves(each) if torch.is_tensor(leaf))
            for each in values
        ]
        self._calls[kind] = self._calls.get(kind, 0) + 1
        self._bytes[kind] = self._bytes.get(kind, 0) + max(sizes, default=0)
