"""Trim taps of convolution kernels that are zero, or that never meet the image.

    Conv 5x5, pads 2, outer ring zero   =>  Conv 3x3, pads 1
    Conv 3x3, every second tap of 5     =>  Conv 3x3 with a dilation of 2
    Conv 3x3, pads 1, on a 1x1 image    =>  Conv 1x1 of the tap in the middle

Kernels embedded in larger ones, masked ones and dilated ones on small images (atrous pyramids, squeezed branches) have
such taps, and no runtime looks. Padding shrinks with the kernel; where it would be less than none, the taps stay, as a
crop would cost more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from chipwise.optimize.rewrite import add_weights, constant, integers, is_op, pads_of, shape_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

LABEL = "exact"


@dataclass(frozen=True, slots=True)
class Axis:
    """A convolution along one axis.

    Attributes:
        taps: of the kernel; dilation: between them; stride: between positions.
        before: padding; behind: padding.
        size: of the image, None where it is not known.
    """

    taps: int
    dilation: int
    stride: int
    before: int
    behind: int
    size: int | None

    @property
    def positions(self) -> int | None:
        """How often the kernel is applied."""
        reach = (self.taps - 1) * self.dilation + 1
        return None if self.size is None else (self.size + self.before + self.behind - reach) // self.stride + 1


def apply(model: ir.Model) -> str:
    """Trim kernels in place."""
    done = [node.name for node in model.graph if is_op(node, "Conv") and _trim(model.graph, node)]
    return f"trimmed taps without effect from {len(done)} kernel{'s' if len(done) != 1 else ''}" if done else ""


def _trim(graph: ir.Graph, node: ir.Node) -> bool:
    weights = constant(node.inputs[1])
    dims = 0 if weights is None else weights.ndim - 2
    if weights is None or dims < 1 or max(weights.shape[2:]) == 1 or 0 in weights.shape:
        return False
    pads = pads_of(node, dims)
    if pads is None or min(pads) < 0:
        return False
    ones, shape = (1,) * dims, shape_of(node.inputs[0])
    dilations, strides = integers(node, "dilations", ones), integers(node, "strides", ones)
    used = weights != 0
    old, new, cuts = list[Axis](), list[Axis](), [slice(None)] * 2
    for axis in range(dims):
        size = shape[axis + 2] if shape is not None and len(shape) == dims + 2 else None
        taps = weights.shape[axis + 2]
        old.append(Axis(taps, dilations[axis], strides[axis], pads[axis], pads[axis + dims], size))
        others = tuple(each for each in range(weights.ndim) if each != axis + 2)
        shorter, cut = _shorten(old[-1], used.any(axis=others))
        new.append(shorter)
        cuts.append(cut)
    if all(a.taps == b.taps for a, b in zip(old, new, strict=True)):
        return False
    node.replace_input_with(1, add_weights(graph, weights[tuple(cuts)]))
    node.attributes.pop("auto_pad", None)
    for name, numbers in (
        ("kernel_shape", [axis.taps for axis in new]),
        ("dilations", [axis.dilation for axis in new]),
        ("pads", [axis.before for axis in new] + [axis.behind for axis in new]),
    ):
        node.attributes[name] = ir.AttrInt64s(name, numbers)
    return True


def _shorten(axis: Axis, used: NDArray[np.bool_]) -> tuple[Axis, slice]:
    """The axis without outer taps that do nothing, and with a larger dilation where only every so many taps do."""
    same = axis, slice(None)
    places = np.flatnonzero(used & _meets(axis))
    if not len(places):
        return same  # nothing is left of the layer: not a matter of its kernel
    first = min(int(places[0]), axis.before // axis.dilation)
    for last in range(int(places[-1]), axis.taps):
        step = math.gcd(*(int(place) - first for place in places), last - first) or 1
        taps = (last - first) // step + 1
        shorter = _padded(axis, taps, axis.dilation * step, first, last)
        if taps == axis.taps:
            return same
        if shorter is not None:
            return shorter, slice(first, last + 1, step)
    return same


def _meets(axis: Axis) -> NDArray[np.bool_]:
    """Which taps are ever inside the image."""
    if axis.size is None or axis.positions is None or axis.positions < 1:
        return np.ones(axis.taps, bool)
    start = np.arange(axis.taps) * axis.dilation - axis.before
    soonest = np.maximum(0, -(start // axis.stride))  # the first position at which a tap is not before the image
    return np.asarray((soonest < axis.positions) & (start + soonest * axis.stride < axis.size))


def _padded(axis: Axis, taps: int, dilation: int, first: int, last: int) -> Axis | None:
    """The shorter axis with padding that gives as many positions; None where that would be a crop."""
    before = axis.before - first * axis.dilation
    behind = axis.behind - (axis.taps - 1 - last) * axis.dilation
    if axis.size is None or axis.positions is None or behind >= 0:
        return Axis(taps, dilation, axis.stride, before, behind, axis.size) if behind >= 0 else None
    shorter = Axis(taps, dilation, axis.stride, before, 0, axis.size)
    return shorter if shorter.positions == axis.positions else None
