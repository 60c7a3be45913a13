"""A scale and a shift per channel, `x * scale + shift`, and what they become on their way through operators.

A batch normalization, a `Mul` and an `Add` of constants are all of this kind.

>>> Affine.of(np.array([1.0, 2.0, 3.0]), place=2).only_positive
True
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise.optimize.rewrite import constant, integer, integers, is_op, pads_of, shape_of, text
from chipwise.optimize.scalable_layers import scalable

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir
    from numpy.typing import NDArray

# A number passes through these from their first input, whatever they do with the places of values.
MOVERS = (
    *("Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Gather", "Slice", "Tile", "Expand"),
    *("DepthToSpace", "SpaceToDepth"),
)
_RECTIFIERS = ("Relu", "LeakyRelu", "PRelu", "Abs")
_POOLS = ("AveragePool", "MaxPool", "GlobalAveragePool", "GlobalMaxPool")
_SAME_RANK = (*_RECTIFIERS, *_POOLS, "Identity", "BatchNormalization", "Tanh", "Sigmoid", "Clip", "Softmax")


@dataclass(frozen=True, slots=True)
class Affine:
    """A scale and a shift of a value: numbers, or one of each per channel.

    Attributes:
        scale: factor, float64; shift: summand, float64: both [] or both [channels].
        place: the channels' axis, counted from the last one (0), as constants are aligned; None for numbers.
    """

    scale: NDArray[np.float64]
    shift: NDArray[np.float64]
    place: int | None

    @classmethod
    def of(
        cls, scale: NDArray[Any] | float = 1.0, shift: NDArray[Any] | float = 0.0, place: int | None = None
    ) -> Affine:
        """From numbers or vectors of one length; `place` is None only for numbers."""
        both = np.broadcast_arrays(np.float64(scale), np.float64(shift))
        return cls(np.array(both[0]), np.array(both[1]), place)

    @property
    def only_positive(self) -> bool:
        """No shift, and no factor that turns a sign or is zero."""
        return not self.shift.any() and bool((self.scale > 0).all())

    def fits(self, channels: int, place: int) -> bool:
        """Whether it changes a value of so many channels at this place, without adding any."""
        return self.place is None or (self.place == place and len(self.scale) == channels)

    def part(self, start: int, stop: int) -> Affine:
        """What it does to channels `start` to `stop`."""
        return replace(self, scale=self.scale[start:stop], shift=self.shift[start:stop])

    def aligned(self, array: NDArray[np.float64]) -> NDArray[np.float64]:
        """Its scale or shift in a shape that broadcasts with the value."""
        return array if self.place is None else array.reshape(-1, *(1,) * self.place)


def rank_of(value: ir.Value | None) -> int | None:
    """Number of dimensions, from the layer before where no shape is known."""
    while value is not None:
        if value.shape is not None:
            return len(value.shape)
        node = value.producer()
        layer = scalable(node)
        if layer is not None and layer.rank is not None:
            return layer.rank
        value = node.inputs[0] if node is not None and is_op(node, *_SAME_RANK) else None
    return None


def channels_at(value: ir.Value | None, place: int) -> int | None:
    """Size of the axis counted from the last; None where it is free or not known."""
    shape = shape_of(value)
    known = shape[-1 - place] if shape is not None and place < len(shape) else None
    layer = scalable(value.producer()) if value is not None and known is None else None
    return layer.gives if layer is not None and layer.place == place else known


def second_place(value: ir.Value | None) -> int | None:
    """The second axis, counted from the last."""
    rank = rank_of(value)
    return rank - 2 if rank is not None and rank >= 2 else None


def sections(node: ir.Node) -> tuple[int, list[int]] | None:
    """Where a Concat's axis is, counted from the last, and where its inputs begin and end along it."""
    rank = next((rank for rank in map(rank_of, node.inputs) if rank is not None), None)
    if rank is None or "axis" not in node.attributes:
        return None
    axis = node.attributes["axis"].as_int()
    place = rank - 1 - axis if axis >= 0 else -1 - axis
    sizes = [channels_at(value, place) for value in node.inputs]
    return None if None in sizes else (place, [0, *accumulate(size for size in sizes if size is not None)])


def after(node: ir.Node, index: int, affine: Affine) -> Affine | None:
    """What an affine input means for a node's output; None where it is nothing of the kind."""
    if is_op(node, "Concat"):
        return _after_concat(node, index, affine)
    if index == 0 and (passes(node, affine) or (affine.place is None and is_op(node, *MOVERS))):
        return affine
    rule = _RULES.get(node.op_type) if index == 0 and is_op(node, *_RULES) else None
    return rule(node, affine) if rule is not None else None


def _transposed(node: ir.Node, affine: Affine) -> Affine | None:
    rank = rank_of(node.inputs[0])
    if rank is None or affine.place is None:
        return None
    axes = integers(node, "perm", range(rank)[::-1])
    return replace(affine, place=rank - 1 - axes.index(rank - 1 - affine.place))


def passes(node: ir.Node, affine: Affine) -> bool:
    """True where it makes no difference whether the first input or the output is scaled and shifted."""
    if is_op(node, "Identity"):
        return True
    if is_op(node, *_RECTIFIERS):
        return affine.only_positive
    if not is_op(node, *_POOLS) or len(node.outputs) > 1:
        return False
    if affine.place is not None and affine.place != second_place(node.inputs[0]):
        return False  # what is pooled has different scales
    if is_op(node, "MaxPool", "GlobalMaxPool"):
        return bool((affine.scale > 0).all())
    return not affine.shift.any() or is_op(node, "GlobalAveragePool") or _averages_all(node)


def _averages_all(node: ir.Node) -> bool:
    """An AveragePool that never divides by more places than it sums."""
    pads = pads_of(node, len(integers(node, "kernel_shape", ())))
    counted = pads is None or any(pads)
    return not integer(node, "ceil_mode", 0) and not (counted and integer(node, "count_include_pad", 0))


def _padded(node: ir.Node, affine: Affine) -> Affine | None:
    """A border of zeros is scaled with the rest, but not shifted."""
    if text(node, "mode", "constant") != "constant" or "value" in node.attributes or affine.shift.any():
        return None
    filled = node.inputs[2] if len(node.inputs) > 2 else None
    array = constant(filled)
    return affine if filled is None or (array is not None and not array.any()) else None


def _after_concat(node: ir.Node, index: int, affine: Affine) -> Affine | None:
    """Channels that come from elsewhere stay as they are."""
    found_at = sections(node)
    if found_at is None:
        return None
    place, ends = found_at
    if affine.place not in (None, place):
        return None
    scale, shift = np.ones(ends[-1]), np.zeros(ends[-1])
    inside = slice(ends[index], ends[index + 1])
    if affine.place is not None and len(affine.scale) != inside.stop - inside.start:
        return None
    scale[inside], shift[inside] = affine.scale, affine.shift
    return Affine(scale, shift, place)


def _after_reduction(node: ir.Node, affine: Affine) -> Affine | None:
    """Means and sums over other axes than the channels', and axes that go away."""
    rank = rank_of(node.inputs[0])
    given = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    axes = integers(node, "axes", ()) if given is None else tuple(int(axis) for axis in given.reshape(-1))
    if is_op(node, "ReduceSum") and affine.shift.any():
        return None
    if affine.place is None:
        return affine
    if rank is None or not axes:
        return None
    places = {rank - 1 - axis if axis >= 0 else -1 - axis for axis in axes}
    if affine.place in places:
        return None
    kept = not is_op(node, "Squeeze") and integer(node, "keepdims", 1)
    return affine if kept else replace(affine, place=affine.place - sum(each < affine.place for each in places))


def _flattened(node: ir.Node, affine: Affine) -> Affine | None:
    """Channels of [N, C, ...] in [N, C * ...]: each is repeated for its places."""
    shape = shape_of(node.inputs[0])
    if shape is None or affine.place != len(shape) - 2:
        return None
    batch, *inner = shape
    sizes = [size for size in inner if size is not None]
    if len(sizes) != len(inner) or 0 in sizes:
        return None
    total = int(np.prod(sizes))
    if is_op(node, "Flatten"):
        flat = integer(node, "axis", 1) in (1, 1 - len(shape))
    else:
        target = constant(node.inputs[1]) if len(node.inputs) > 1 else None
        rows, row = target.tolist() if target is not None and target.shape == (2,) else (None, None)
        flat = row == total or (row == -1 and ((rows == 0 and not integer(node, "allowzero", 0)) or rows == batch))
    if not flat:
        return None
    return Affine(np.repeat(affine.scale, total // sizes[0]), np.repeat(affine.shift, total // sizes[0]), 0)


_RULES: dict[str, Callable[[ir.Node, Affine], Affine | None]] = {
    "Pad": _padded,
    "ReduceMean": _after_reduction,
    "ReduceSum": _after_reduction,
    "Squeeze": _after_reduction,
    "Transpose": _transposed,
    "Flatten": _flattened,
    "Reshape": _flattened,
}
