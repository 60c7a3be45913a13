"""Draw Caffe's layers that only move numbers: concatenation, slices, permutations, reshapes.

Shapes here are of one item. Axes count the batch as Caffe does, which stays first.

>>> from chipwise.networks.caffe.prototxt import CaffeLayer
>>> target(CaffeLayer("r", "Reshape", ("x",), ("y",), None), (2, 3, 4), [0, -1], 0, -1)
(2, 12)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from chipwise.core.layer import Shape
from chipwise.networks.caffe.prototxt import CaffeLayer
from chipwise.networks.caffe.sketch import Blob, Sketch

_MOST = 256


def axis_of(layer: CaffeLayer, axis: int, blob: Blob) -> int:
    """An axis counted from the front, the batch being 0.

    Raises:
        NetworkError: when the blob has no such axis.
    """
    rank = len(blob.shape) + 1
    if not -rank <= axis < rank:
        raise layer.error(f"works along axis {axis} of [batch, {', '.join(map(str, blob.shape))}]")
    return int(axis) % rank


def concat(sketch: Sketch, layer: CaffeLayer) -> list[Blob]:
    """Blobs one behind the other, along channels where nothing else is said."""
    bottoms = sketch.bottoms(layer, 1, _MOST)
    facts = layer.message.concat_param
    first = bottoms[0].shape
    axis = axis_of(layer, facts.concat_dim if facts.HasField("concat_dim") else facts.axis, bottoms[0])
    rest = [(len(blob.shape), *blob.shape[: axis - 1], *blob.shape[axis:]) for blob in bottoms]
    if not axis or any(shape != rest[0] for shape in rest):
        raise layer.error(f"joins {', '.join(str(list(blob.shape)) for blob in bottoms)} along axis {axis}")
    size = sum(blob.shape[axis - 1] for blob in bottoms)
    shape = (*first[: axis - 1], size, *first[axis:])
    return [sketch.node(layer, "Concat", [blob.value for blob in bottoms], shape, axis=axis)]


def cut(sketch: Sketch, layer: CaffeLayer) -> list[Blob]:
    """Slice: parts between the given points, or as many equal ones as there are tops."""
    (bottom,) = sketch.bottoms(layer)
    facts = layer.message.slice_param
    axis = axis_of(layer, facts.slice_dim if facts.HasField("slice_dim") else facts.axis, bottom)
    if not axis:
        raise layer.error("slices the batch, which is not supported")
    size, parts = bottom.shape[axis - 1], len(layer.tops)
    points = list(facts.slice_point) or [size * part // parts for part in range(1, parts)]
    ends = [0, *points, size]
    sizes = [end - start for start, end in pairwise(ends)]
    if len(sizes) != parts or min(sizes) < 1 or (not facts.slice_point and size % parts):
        raise layer.error(f"cuts {size} into {parts} parts at {points}")
    return sketch.split(layer, bottom, axis, sizes)


def permute(sketch: Sketch, layer: CaffeLayer) -> list[Blob]:
    """Axes in another order; those not named follow in their own."""
    (bottom,) = sketch.bottoms(layer)
    order = list(layer.message.permute_param.order)
    rank = len(bottom.shape) + 1
    order += [axis for axis in range(rank) if axis not in order]
    if sorted(order) != list(range(rank)) or order[0]:
        raise layer.error(f"puts {rank} axes in the order {order}", "the batch must stay first")
    shape = tuple(bottom.shape[axis - 1] for axis in order[1:])
    return [sketch.node(layer, "Transpose", [bottom.value], shape, perm=order)]


def flatten(sketch: Sketch, layer: CaffeLayer) -> list[Blob]:
    """The axes from `axis` to `end_axis` as one."""
    (bottom,) = sketch.bottoms(layer)
    facts = layer.message.flatten_param
    first, last = axis_of(layer, facts.axis, bottom), axis_of(layer, facts.end_axis, bottom)
    if not 1 <= first <= last:
        raise layer.error(f"flattens axes {first} to {last}", "the batch must stay")
    if (first, last) == (1, len(bottom.shape)):
        return [sketch.node(layer, "Flatten", [bottom.value], (math.prod(bottom.shape),), axis=1)]
    shape = (*bottom.shape[: first - 1], math.prod(bottom.shape[first - 1 : last]), *bottom.shape[last:])
    return [reshaped(sketch, layer, bottom, shape)]


def reshape(sketch: Sketch, layer: CaffeLayer) -> list[Blob]:
    """The same numbers in another shape, which is written for the batch that the file declares."""
    (bottom,) = sketch.bottoms(layer)
    facts = layer.message.reshape_param
    whole = (sketch.batch, *bottom.shape)
    made = target(layer, whole, list(facts.shape.dim), facts.axis, facts.num_axes)
    if made[0] != sketch.batch:
        raise layer.error(f"makes {list(made)} of {list(whole)}", "the batch must stay")
    return [reshaped(sketch, layer, bottom, made[1:])]


def target(layer: CaffeLayer, whole: Shape, dims: Sequence[int], axis: int, axes: int) -> Shape:
    """The shape that a reshape gives, as Caffe's ReshapeLayer finds it: 0 keeps a size, -1 takes what is left.

    Raises:
        NetworkError: when the sizes do not multiply to the same count.
    """
    start = axis if axis >= 0 else axis + len(whole) + 1
    end = len(whole) if axes < 0 else start + axes
    if not 0 <= start <= end <= len(whole):
        raise layer.error(f"reshapes {axes} axes of {list(whole)} from {axis} on")
    kept = [whole[start + place] if not dim and start + place < len(whole) else dim for place, dim in enumerate(dims)]
    shape = [*whole[:start], *kept, *whole[end:]]
    known = math.prod(dim for dim in shape if dim != -1)
    if shape.count(-1) == 1 and known > 0 and not math.prod(whole) % known:
        shape[shape.index(-1)] = math.prod(whole) // known
    if not shape or min(shape) < 1 or math.prod(shape) != math.prod(whole):
        raise layer.error(f"cannot make {list(dims)} of {list(whole)}")
    return tuple(shape)


def reshaped(sketch: Sketch, layer: CaffeLayer, blob: Blob, shape: Shape) -> Blob:
    """The blob with another shape of its items."""
    return sketch.node(layer, "Reshape", [blob.value, sketch.constant(layer, "shape", [0, *shape], np.int64)], shape)
