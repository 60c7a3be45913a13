"""Take channels out of a graph: weights, and every constant that counts or names channels.

Conv [8 of 8] -> Relu -> Conv   =>   Conv [5 of 8] -> Relu -> Conv that reads 5, constants of the other 3 in its bias
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from chipwise.optimize.channel_layers import Layer, as_stored, moved
from chipwise.optimize.channel_shapes import pads_told, sliced_axes, target_pieces
from chipwise.optimize.rewrite import add_weights, constant, floats, integer, is_op, swap

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from chipwise.optimize.channels import Channels

    Kept = dict[ir.Value, list[NDArray[np.bool_] | None]]


def narrow(graph: ir.Graph, channels: Channels, live: NDArray[np.bool_]) -> int:
    """Remove all channels that are not live.

    Args:
        graph: that `channels` was traced from.
        channels: numbers of all slices.
        live: by number; for each value it keeps at least one slice and the same places along each axis, and in each
            group of a convolution as many channels, or none of its inputs and outputs.

    Returns:
        how many channels of layers went.
    """
    gone = sum(int((~live[layer.targets]).sum()) for layer in channels.layers)
    if not gone:
        return 0
    kept: Kept = {value: _kept(live[slices.ids]) for value, slices in channels.slices.items()}
    layers = {layer.node for layer in channels.layers}
    for node in list(graph):
        if node not in layers and node.op_type in _CONSTANTS and is_op(node, node.op_type):
            _CONSTANTS[node.op_type](graph, node, kept)
    for weight in channels.weights:
        mask = live[weight.ids].reshape(len(weight.ids), -1).any(axis=1)
        if weight.node not in layers and not mask.all():
            array = constant(weight.node.inputs[weight.index])
            assert array is not None, "it was read before"
            cut = add_weights(graph, array.compress(mask, weight.axis), "narrowed")
            weight.node.replace_input_with(weight.index, cut)
    for value, masks in kept.items():
        if value.shape is not None and any(mask is not None for mask in masks):
            sizes = zip(value.shape, masks, strict=True)
            value.shape = ir.Shape([size if mask is None else int(mask.sum()) for size, mask in sizes])
    for layer in channels.layers:
        _narrow_layer(graph, layer, live)
    return gone


def _kept(live: NDArray[np.bool_]) -> list[NDArray[np.bool_] | None]:
    """Which places stay along each axis; None for all."""
    masks: list[NDArray[np.bool_] | None] = []
    for axis in range(live.ndim):
        mask = np.asarray(live.any(axis=tuple(each for each in range(live.ndim) if each != axis)))
        masks.append(None if mask.all() or mask.size == 1 else mask)
    return masks


def _narrow_layer(graph: ir.Graph, layer: Layer, live: NDArray[np.bool_]) -> None:
    node = layer.node
    sources, targets = live[layer.sources], live[layer.targets]
    if sources.all() and targets.all():
        return
    weights, added = moved(layer, ~sources)
    parts = weights.shape[0]
    stay = [
        part[rows][:, columns]
        for part, rows, columns in zip(weights, targets.reshape(parts, -1), sources.reshape(parts, -1), strict=True)
        if rows.any()
    ]
    stored = floats(node.inputs[1])
    assert stored is not None, "a layer has constant weights"
    made = as_stored(node, np.stack(stay), stored.shape[2:]).astype(stored.dtype)
    node.replace_input_with(1, add_weights(graph, made, "narrowed"))
    if parts > 1:
        node.attributes["group"] = ir.AttrInt64("group", len(stay))
    bias = added if layer.bias is None else added + layer.bias
    if layer.bias is not None or added[targets].any():
        summand = add_weights(graph, bias[targets].astype(stored.dtype), "narrowed")
        _put_bias(graph, node, summand)


def _put_bias(graph: ir.Graph, node: ir.Node, bias: ir.Value) -> None:
    if is_op(node, "MatMul"):
        product = ir.node("MatMul", list(node.inputs))
        product.outputs[0].type, product.outputs[0].shape = node.outputs[0].type, node.outputs[0].shape
        swap(graph, node, [node], [product, ir.node("Add", [product.outputs[0], bias])])
        return
    if len(node.inputs) < 3:
        node.resize_inputs(3)
    node.replace_input_with(2, bias)


def _reshape(graph: ir.Graph, node: ir.Node, kept: Kept) -> None:
    """Write new sizes where they are said."""
    masks = kept.get(node.outputs[0], [])
    if not any(mask is not None for mask in masks):
        return
    sizes: list[NDArray[np.int64] | None] = []
    for piece in target_pieces(node.inputs[1]):
        about, masks = masks[: len(piece)], masks[len(piece) :]
        told = [
            size if mask is None or size == -1 else int(mask.sum()) for size, mask in zip(piece, about, strict=True)
        ]
        changed = told != piece
        sizes.append(np.array(told, np.int64) if changed else None)
    if constant(node.inputs[1]) is not None:
        _replace(graph, node, 1, sizes[0])
        return
    target = node.inputs[1]
    source = None if target is None else target.producer()
    if source is None or all(piece is None for piece in sizes):
        return
    copied = ir.node("Concat", list(source.inputs), {"axis": 0})
    graph.insert_before(node, copied)
    for index, size in enumerate(sizes):
        _replace(graph, copied, index, size)
    node.replace_input_with(1, copied.outputs[0])


def _split(graph: ir.Graph, node: ir.Node, kept: Kept) -> None:
    """Say the size of every part."""
    axis = integer(node, "axis", 0)
    if node.inputs[0] not in kept or kept[node.inputs[0]][axis] is None:
        return
    sizes = []
    for value in node.outputs:
        mask, shape = kept[value][axis], value.shape
        assert shape is not None, "a split is followed where all sizes are known"
        sizes.append(int(shape[axis]) if mask is None else int(mask.sum()))  # type: ignore[arg-type]
    if "split" in node.attributes or (graph.opset_imports.get("", 1) < 13):
        node.attributes["split"] = ir.AttrInt64s("split", sizes)
        return
    node.attributes.pop("num_outputs", None)
    if len(node.inputs) < 2:
        node.resize_inputs(2)
    _replace(graph, node, 1, np.array(sizes, np.int64))


def _slice(graph: ir.Graph, node: ir.Node, kept: Kept) -> None:
    """Count starts and ends in what stays."""
    masks = kept.get(node.inputs[0], []) if node.inputs[0] is not None else []
    if not any(mask is not None for mask in masks):
        return
    bounds = sliced_axes(node, len(masks))
    assert bounds is not None, "a slice is followed where its bounds are known"
    starts, ends = [], []
    for axis, (start, end, _) in bounds.items():
        mask = masks[axis]
        first = slice(start, None).indices(0 if mask is None else len(mask))[0]
        starts.append(start if mask is None else int(mask[:first].sum()))
        ends.append(end if mask is None else int(mask[:end].sum()))
    if "starts" in node.attributes:
        node.attributes["starts"] = ir.AttrInt64s("starts", starts)
        node.attributes["ends"] = ir.AttrInt64s("ends", ends)
        return
    for index, numbers in ((1, starts), (2, ends)):
        old = constant(node.inputs[index])
        assert old is not None, "a slice is followed where its bounds are known"
        _replace(graph, node, index, np.array(numbers, old.dtype))


def _gather(graph: ir.Graph, node: ir.Node, kept: Kept) -> None:
    """Name what stays by its new place."""
    masks = kept.get(node.inputs[0]) if node.inputs[0] is not None else None
    mask = None if masks is None else masks[integer(node, "axis", 0)]
    where = constant(node.inputs[1])
    if mask is None or where is None:
        return
    places = np.cumsum(mask) - 1
    _replace(graph, node, 1, places[where[mask[where]]].astype(where.dtype))


def _resize(graph: ir.Graph, node: ir.Node, kept: Kept) -> None:
    """Say the number of channels in the sizes."""
    sizes = constant(node.inputs[3]) if len(node.inputs) > 3 else None
    masks = kept.get(node.outputs[0], [])
    if sizes is None or not sizes.size or not any(mask is not None for mask in masks):
        return
    told = [size if mask is None else int(mask.sum()) for size, mask in zip(sizes.tolist(), masks, strict=True)]
    _replace(graph, node, 3, np.array(told, np.int64))


def _pad(graph: ir.Graph, node: ir.Node, kept: Kept) -> None:
    """Add as many channels as are left of those that were added."""
    masks, pads = kept.get(node.outputs[0], []), pads_told(node)
    if pads is None or not any(mask is not None for mask in masks):
        return
    told = list(pads)
    for axis, mask in enumerate(masks):
        if mask is not None:
            before, after = pads[axis], pads[axis + len(masks)]
            told[axis] = int(mask[:before].sum())
            told[axis + len(masks)] = int(mask[len(mask) - after :].sum())
    if tuple(told) == pads:
        return
    if "pads" in node.attributes:
        node.attributes["pads"] = ir.AttrInt64s("pads", told)
    else:
        _replace(graph, node, 1, np.array(told, np.int64))


def _replace(graph: ir.Graph, node: ir.Node, index: int, array: NDArray[Any] | None) -> None:
    if array is not None:
        node.replace_input_with(index, add_weights(graph, array, "narrowed"))


_CONSTANTS: dict[str, Callable[[ir.Graph, ir.Node, Kept], None]] = {
    "Reshape": _reshape,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "Pad": _pad,
    "Resize": _resize,
    "Upsample": _resize,
}
