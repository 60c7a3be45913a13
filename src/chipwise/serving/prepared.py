"""Shapes that a runtime answered last, and so is prepared for; for others it may have to prepare itself anew.

>>> prepared = Prepared()
>>> prepared.note(((1, 4),))
>>> ((1, 4),) in prepared, ((2, 4),) in prepared
(True, False)
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from chipwise.runtimes.engine import KEPT_SHAPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Shapes = tuple[tuple[int, ...], ...]  # of all inputs of a call


class Prepared:
    """As many as runtimes keep."""

    def __init__(self) -> None:
        self._last = deque[Shapes](maxlen=KEPT_SHAPES)

    def __contains__(self, shapes: Shapes) -> bool:
        return shapes in self._last

    def note(self, shapes: Shapes) -> None:
        """A call of these shapes was answered."""
        if shapes in self._last:
            self._last.remove(shapes)
        self._last.append(shapes)


def shapes_of(arrays: Sequence[NDArray[Any]]) -> Shapes:
    """The shapes of a call."""
    return tuple(array.shape for array in arrays)
