"""The slices of a tensor as things with a name: which of two tensors' channels can only go together.

Every slice that a layer writes gets a number. An operator that works slice by slice hands the numbers on; one that
needs two tensors to be alike makes their numbers one. Number 0 is what must stay.

>>> numbers = Numbers()
>>> left, right = numbers.fresh(3), numbers.fresh(3)
>>> numbers.join(left, right[::-1])
>>> numbers.roots()[right].tolist()
[3, 2, 1]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise.optimize.rewrite import shape_of

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Slices:
    """What is known about a tensor, in arrays of its rank that are 1 long along axes on which nothing depends.

    Attributes:
        ids: the number of each slice.
        constant: the value that a whole slice has whatever the input is; NaN where it varies.
    """

    ids: NDArray[np.int64]
    constant: NDArray[np.float64]

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes along which slices differ."""
        return tuple(axis for axis, size in enumerate(self.ids.shape) if size > 1)


@dataclass(frozen=True, slots=True)
class Weight:
    """A constant that a node reads whose places along one axis belong to slices.

    Attributes:
        node: that reads it, as input number `index`.
        axis: of the constant.
        ids: as many as the axis is long, or arrays of them where several numbers share a place.
        written: True where it makes these slices (an output axis, a bias), False where it reads them.
    """

    node: ir.Node
    index: int
    axis: int
    ids: NDArray[np.int64]
    written: bool


class Numbers:
    """Numbers of slices, and which of them are one."""

    def __init__(self) -> None:
        self._parent = [0]

    def fresh(self, count: int) -> NDArray[np.int64]:
        """New numbers; a single slice cannot go, so it gets no number of its own."""
        if count == 1:
            return np.zeros(1, np.int64)
        start = len(self._parent)
        self._parent += range(start, start + count)
        return np.arange(start, start + count)

    def join(self, left: NDArray[np.int64], right: NDArray[np.int64] | int) -> None:
        """Make numbers one, place by place."""
        pairs = np.stack([side.ravel() for side in np.broadcast_arrays(left, right)], axis=1)
        for one, other in np.unique(pairs, axis=0).tolist():
            first, second = self._root(one), self._root(other)
            self._parent[max(first, second)] = min(first, second)

    def roots(self) -> NDArray[np.int64]:
        """The number that stands for each number, by number; 0 for all that must stay."""
        for number, parent in enumerate(self._parent):  # a parent is never greater than its child
            self._parent[number] = self._parent[parent]
        return np.array(self._parent)

    def _root(self, number: int) -> int:
        while (parent := self._parent[number]) != number:
            self._parent[number] = number = self._parent[parent]
        return number


class Tracing:
    """What is known so far while a graph is walked from its inputs to its outputs."""

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.numbers = Numbers()
        self.slices: dict[ir.Value, Slices] = {}
        self.weights: list[Weight] = []

    def of(self, value: ir.Value | None) -> Slices | None:
        """Slices of a value; of one that is not followed, a single one that must stay; None if its rank is unknown."""
        if value is None or value in self.slices:
            return self.slices[value] if value is not None else None
        shape = shape_of(value)
        return None if shape is None else whole(len(shape))

    def pin(self, value: ir.Value | None) -> None:
        """All slices of a value must stay."""
        if value is not None and value in self.slices:
            self.numbers.join(self.slices[value].ids, 0)

    def along(self, value: ir.Value | None, axis: int, size: int) -> Slices:
        """Slices along one axis only, in arrays of `size`; pinned where other axes tell slices apart too."""
        slices = self.of(value)
        blank = Slices(np.zeros(size, np.int64), np.full(size, np.nan))
        if slices is None:
            return blank
        if set(slices.axes) - {axis % slices.ids.ndim} or slices.ids.shape[axis] not in (1, size):
            self.pin(value)
            return blank
        return Slices(np.broadcast_to(slices.ids.ravel(), size), np.broadcast_to(slices.constant.ravel(), size))


def whole(rank: int) -> Slices:
    """A tensor of which nothing is known."""
    return Slices(np.zeros((1,) * rank, np.int64), np.full((1,) * rank, np.nan))


def spread(ids: NDArray[Any], rank: int, axis: int) -> NDArray[Any]:
    """An array along one axis of a tensor, as an array of its rank."""
    return ids.reshape([-1 if each == axis % rank else 1 for each in range(rank)])


def squeezed(ids: NDArray[np.int64], constant: NDArray[np.float64]) -> Slices:
    """Drop what does not differ along an axis."""
    for axis in range(ids.ndim):
        one, known = ids.take([0], axis), constant.take([0], axis)
        if (ids == one).all() and np.array_equal(constant, np.broadcast_to(known, constant.shape), True):
            ids, constant = one, known
    return Slices(ids, constant)
