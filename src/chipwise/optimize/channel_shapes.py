"""What operators that only move values do to channels: rules for `channel_rules`, a table by name at the end.

Where a node says sizes or positions in constants, these are only understood in forms that `narrow_channels` can change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise.optimize.channel_slices import Slices, Tracing, spread, squeezed
from chipwise.optimize.rewrite import constant, integer, integers, is_op, number, shape_of, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import onnx_ir as ir
    from numpy.typing import NDArray

    Made = Sequence[Slices | None] | None

_MAX_SLICES = 1 << 24  # a reshape that tells more apart is not followed


def transpose(node: ir.Node, tracing: Tracing) -> Made:
    """Axes in another order."""
    slices = tracing.of(node.inputs[0])
    if slices is None:
        return None
    order = integers(node, "perm", tuple(range(slices.ids.ndim))[::-1])
    return [Slices(slices.ids.transpose(order), slices.constant.transpose(order))]


def reshape(node: ir.Node, tracing: Tracing) -> Made:
    """Reshape, Flatten, Squeeze, Unsqueeze: trailing axes that hold as many values before and after."""
    slices, before, after = tracing.of(node.inputs[0]), shape_of(node.inputs[0]), shape_of(node.outputs[0])
    if slices is None or before is None or after is None:
        return None
    if not slices.axes:
        flat = (1,) * len(after)
        return [Slices(slices.ids.reshape(flat), slices.constant.reshape(flat))]
    if is_op(node, "Reshape"):
        entries = [entry for piece in target_pieces(node.inputs[1]) for entry in piece]
        if len(entries) == len(after):  # sizes that inference could not tell
            told = zip(after, entries, strict=True)
            after = tuple(entry if size is None and (entry or 0) > 0 else size for size, entry in told)
    made = _regrouped(slices, before, after, _same_start(node.inputs[0], node.outputs[0]))
    if made is None or (is_op(node, "Reshape") and not _can_be_told(node, made)):
        return None
    return [made]


def _regrouped(
    slices: Slices, before: tuple[int | None, ...], after: tuple[int | None, ...], same: int
) -> Slices | None:
    """The same slices on other axes, of which the first `same` are as they were; None where sizes are not known."""
    first, last = slices.axes[0], slices.axes[-1]
    if same > last:
        shape = slices.ids.shape[: last + 1] + (1,) * (len(after) - last - 1)
        return Slices(slices.ids.reshape(shape), slices.constant.reshape(shape))
    for start in range(first, -1, -1):
        wanted = _product(before[start:])
        if wanted is None or wanted > _MAX_SLICES:
            return None
        for begin in range(len(after) - 1, -1, -1):
            if _product(after[begin:]) == wanted:
                inside = tuple(size or 0 for size in before[start:])
                outside = (1,) * begin + tuple(size or 0 for size in after[begin:])
                ids = np.broadcast_to(slices.ids.reshape(slices.ids.shape[start:]), inside)
                known = np.broadcast_to(slices.constant.reshape(slices.ids.shape[start:]), inside)
                return squeezed(ids.reshape(outside), known.reshape(outside))
    return None


def _same_start(before: ir.Value | None, after: ir.Value) -> int:
    """How many leading axes are surely as long as they were."""
    pairs = zip(before.shape or (), after.shape or (), strict=False) if before is not None else ()
    known = [left == right and getattr(left, "value", left) is not None for left, right in pairs]
    return known.index(False) if False in known else len(known)


def _product(sizes: tuple[int | None, ...]) -> int | None:
    result = 1
    for size in sizes:
        if size is None:
            return None
        result *= size
    return result or None


def _can_be_told(node: ir.Node, made: Slices) -> bool:
    """True when the new sizes of axes that lose slices can be written down: see `target_pieces`."""
    pieces = list(target_pieces(node.inputs[1]))
    if not pieces:
        return False
    entries = [entry for piece in pieces for entry in piece]
    return len(entries) == made.ids.ndim and all(entries[axis] is not None for axis in made.axes)


def target_pieces(value: ir.Value | None) -> Iterator[list[int | None]]:
    """The sizes that a Reshape is given, in one piece or as they are concatenated; None for what is computed."""
    array = constant(value)
    if array is not None:
        yield [int(size) for size in array.reshape(-1)]
        return
    node = None if value is None else value.producer()
    if node is None or not is_op(node, "Concat"):
        return
    for piece in node.inputs:
        array, shape = constant(piece), shape_of(piece)
        if array is not None:
            yield [int(size) for size in array.reshape(-1)]
        elif shape is not None and len(shape) == 1 and shape[0] is not None:
            yield [None] * shape[0]
        else:
            return


def concat(node: ir.Node, tracing: Tracing) -> Made:
    """Slices one after the other; along another axis, tensors of the same channels."""
    known = [tracing.of(value) for value in node.inputs]
    if any(each is None for each in known) or "axis" not in node.attributes:
        return None
    parts = [each for each in known if each is not None]
    rank = parts[0].ids.ndim
    axis = integer(node, "axis", 1) % max(rank, 1)
    others = {each for part in parts for each in part.axes} - {axis}
    if not others:
        sizes = [(shape_of(value) or (None,) * rank)[axis] for value in node.inputs]
        if any(size is None for size in sizes):
            return None
        wide = [_widened(part, axis, size or 0) for part, size in zip(parts, sizes, strict=True)]
        return [Slices(*(np.concatenate(each, axis) for each in zip(*wide, strict=True)))]
    full = parts[0].ids.shape
    if any(part.ids.shape != full or axis in part.axes for part in parts):
        return None
    for part in parts[1:]:
        tracing.numbers.join(parts[0].ids, part.ids)
    same = np.all([part.constant == parts[0].constant for part in parts], axis=0)
    return [Slices(parts[0].ids, np.where(same, parts[0].constant, np.nan))]


def _widened(part: Slices, axis: int, size: int) -> tuple[NDArray[Any], NDArray[Any]]:
    shape = [size if each == axis else length for each, length in enumerate(part.ids.shape)]
    return np.broadcast_to(part.ids, shape), np.broadcast_to(part.constant, shape)


def split(node: ir.Node, tracing: Tracing) -> Made:
    """Consecutive parts."""
    slices = tracing.of(node.inputs[0])
    if slices is None:
        return None
    axis = integer(node, "axis", 0) % slices.ids.ndim
    if slices.ids.shape[axis] == 1:
        return [slices for _ in node.outputs]
    sizes = [(shape_of(value) or (None,) * slices.ids.ndim)[axis] for value in node.outputs]
    told = len(node.inputs) < 2 or node.inputs[1] is None or constant(node.inputs[1]) is not None
    if not told or any(size is None for size in sizes) or sum(size or 0 for size in sizes) != slices.ids.shape[axis]:
        return None
    cuts = np.cumsum([size or 0 for size in sizes])[:-1]
    parts = zip(np.split(slices.ids, cuts, axis), np.split(slices.constant, cuts, axis), strict=True)
    return [Slices(ids, known) for ids, known in parts]


def sliced_axes(node: ir.Node, rank: int) -> dict[int, tuple[int, int, int]] | None:
    """Start, end and step by axis of a Slice whose bounds are constants."""
    if "starts" in node.attributes:
        given = [integers(node, name, ()) for name in ("starts", "ends", "axes")]
    else:
        arrays = [constant(value) for value in node.inputs[1:]]
        if any(array is None and value is not None for array, value in zip(arrays, node.inputs[1:], strict=True)):
            return None
        given = [() if array is None else tuple(int(place) for place in array.reshape(-1)) for array in arrays]
    starts, ends, axes, steps = (*given, (), ())[:4]
    count = len(starts)
    axes, steps = axes or tuple(range(count)), steps or (1,) * count
    return {axes[i] % rank: (starts[i], ends[i], steps[i]) for i in range(count)}


def slicing(node: ir.Node, tracing: Tracing) -> Made:
    """A range of slices, in steps of one; of other axes, anything."""
    slices = tracing.of(node.inputs[0])
    bounds = None if slices is None else sliced_axes(node, slices.ids.ndim)
    if slices is None or bounds is None:
        return None
    cut = [slice(None)] * slices.ids.ndim
    for axis, (start, end, step) in bounds.items():
        if axis in slices.axes:
            if step != 1:
                return None
            cut[axis] = slice(start, end)
    made = Slices(slices.ids[tuple(cut)], slices.constant[tuple(cut)])
    return [made] if made.ids.size else None


def gather(node: ir.Node, tracing: Tracing) -> Made:
    """Chosen slices, by constant indices in a row; along other axes, anything in a row."""
    slices, where = tracing.of(node.inputs[0]), constant(node.inputs[1])
    if slices is None or where is None or where.ndim != 1 or where.size == 0:
        return None
    axis = integer(node, "axis", 0) % slices.ids.ndim
    if slices.ids.shape[axis] == 1:
        return [slices]
    return [Slices(slices.ids.take(where, axis), slices.constant.take(where, axis))]


def resize(node: ir.Node, tracing: Tracing) -> Made:
    """Between places; channels keep their number. Weights of cubic interpolation only sum to 1 within rounding."""
    slices = tracing.of(node.inputs[0])
    if slices is None or "axes" in node.attributes:
        return None
    arrays = [None if value is None else constant(value) for value in node.inputs]
    second = is_op(node, "Upsample") or len(arrays) == 2  # as before opset 11
    scales = arrays[1 if second else 2] if len(arrays) > 1 else np.array(node.attributes["scales"].as_floats())
    sizes = arrays[3] if len(arrays) > 3 else None
    for axis in slices.axes:
        if scales is not None and scales.size:
            same = scales[axis] == 1
        else:
            same = sizes is not None and sizes[axis] == slices.ids.shape[axis]
        if not same or text(node, "keep_aspect_ratio_policy", "stretch") != "stretch":
            return None
    if text(node, "coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        return [Slices(slices.ids, np.full_like(slices.constant, np.nan))]
    keeps = text(node, "mode", "nearest") in ("nearest", "linear")
    return [slices if keeps else Slices(slices.ids, np.where(slices.constant == 0, 0.0, np.nan))]


def padding(node: ir.Node, tracing: Tracing) -> Made:
    """Around places, where a constant stays one if the border has its value; new channels of the border's value."""
    slices = tracing.of(node.inputs[0])
    pads = pads_told(node)
    if slices is None or pads is None or len(pads) != 2 * slices.ids.ndim:
        return None
    rank, plain = slices.ids.ndim, text(node, "mode", "constant") == "constant"
    added = [axis for axis in slices.axes if pads[axis] or pads[axis + rank]]
    if added and (not plain or min(pads) < 0 or slices.axes != (added[0],)):
        return None
    if not plain:
        return [slices]
    extra = node.inputs[2:]
    filled = constant(extra[0]) if extra and extra[0] is not None else np.array(number(node, "value", 0.0))
    border = np.nan if filled is None else float(filled.reshape(-1)[0]) if filled.size else 0.0
    outside = any(pad for axis, pad in enumerate(pads) if axis % rank not in added)
    known = np.where(slices.constant == border, slices.constant, np.nan) if outside else slices.constant
    if not added:
        return [Slices(slices.ids, known)]
    axis = added[0]
    ids, values = [slices.ids], [known]
    for count, place in ((pads[axis], 0), (pads[axis + rank], 2)):
        if count:
            ids.insert(place, spread(tracing.numbers.fresh(count), rank, axis))
            values.insert(place, spread(np.full(count, border), rank, axis))
    return [Slices(np.concatenate(ids, axis), np.concatenate(values, axis))]


def pads_told(node: ir.Node) -> tuple[int, ...] | None:
    """How much a Pad adds before and after each axis; None where that is computed, or said of some axes only."""
    extra = node.inputs[1:]
    if len(extra) > 2 and extra[2] is not None:
        return None
    pads = constant(extra[0]) if extra else np.array(integers(node, "pads", ()))
    return None if pads is None else tuple(int(each) for each in pads.reshape(-1))


def depth_to_space(node: ir.Node, tracing: Tracing) -> Made:
    """Blocks of channels become places: they go together."""
    shape, block = shape_of(node.inputs[0]), integer(node, "blocksize", 1)
    if shape is None or len(shape) != 4 or shape[1] is None or shape[1] % (block * block):
        return None
    slices = tracing.along(node.inputs[0], 1, shape[1])
    turned = text(node, "mode", "DCR") == "CRD"
    arranged = (-1, block * block) if turned else (block * block, -1)
    ids, known = slices.ids.reshape(arranged), slices.constant.reshape(arranged)
    if turned:
        ids, known = ids.T, known.T
    tracing.numbers.join(ids[0], ids)
    known = np.where((known == known[0]).all(axis=0), known[0], np.nan)
    return [Slices(spread(ids[0], 4, 1), spread(known, 4, 1))]


def space_to_depth(node: ir.Node, tracing: Tracing) -> Made:
    """Places become channels: each channel several times."""
    shape, block = shape_of(node.inputs[0]), integer(node, "blocksize", 1)
    if shape is None or len(shape) != 4 or shape[1] is None:
        return None
    slices = tracing.along(node.inputs[0], 1, shape[1])
    times = block * block
    return [Slices(spread(np.tile(slices.ids, times), 4, 1), spread(np.tile(slices.constant, times), 4, 1))]


def shape_reader(node: ir.Node, tracing: Tracing) -> Made:
    """The sizes of a tensor: nothing depends on its channels if only other sizes are read."""
    slices = tracing.of(node.inputs[0])
    if slices is None or node.outputs[0].is_graph_output():
        return None
    rank, start = slices.ids.ndim, integer(node, "start", 0)
    start = max(start + rank if start < 0 else start, 0)
    end = integer(node, "end", rank)
    offered = np.arange(rank)[start : end + rank if end < 0 else end]
    for reader, index in node.outputs[0].uses():
        where = constant(reader.inputs[1]) if is_op(reader, "Gather") and index == 0 else None
        if where is not None:
            read = offered[where]
        elif is_op(reader, "Slice") and index == 0 and (bounds := sliced_axes(reader, 1)) is not None:
            read = offered[slice(*bounds[0])]
        else:
            read = offered
        if set(np.atleast_1d(read).tolist()) & set(slices.axes):
            return None
    return [None]


SHAPE_RULES: dict[str, Callable[[ir.Node, Tracing], Made]] = {
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), reshape),
    **dict.fromkeys(("Resize", "Upsample"), resize),
    "Transpose": transpose,
    "Concat": concat,
    "Split": split,
    "Slice": slicing,
    "Gather": gather,
    "Pad": padding,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
    "Shape": shape_reader,
}
