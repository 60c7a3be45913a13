"""What a library of arrays gives here: a module with the verbs of `Library`; no base class.

>>> from chipwise.numerics import numpy as library
>>> sorted(library.CALLS)[:3]
['broadcast', 'copy', 'elementwise']
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

Call = Callable[..., Any]


class Library(Protocol):
    """The verbs of one library's module.

    `CALLS`: functions by operation, which take the library's own arrays; what it has no function for is left out.
    """

    CALLS: Mapping[str, Call]

    def version(self) -> str:
        """Installed version."""

    def devices(self) -> tuple[str, ...]:
        """Where it can keep arrays: "cpu" first, where it can use that."""

    def threads(self) -> int:
        """Threads that one call may use on the processor, but for products of matrices; 0 where it does not say."""

    def put(self, array: NDArray[Any], device: str) -> Any:
        """An array of NumPy as one of its own on a device."""

    def get(self, result: Any) -> NDArray[Any]:
        """A result as an array of NumPy, once it is there."""

    def waiter(self, device: str) -> Callable[[Any], object] | None:
        """What waits until a result is there; None where calls return only then."""
