"""ONNX operators that move, pick, join and sum up elements, as PyTorch calls.

>>> import torch
>>> ARRAYS["Transpose"]([torch.zeros(2, 3)], {}).shape
torch.Size([3, 2])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the name that everyone knows it by)

from chipwise.runtimes.torch_values import Attributes, Operator, UnsupportedError, Values, text


def _reshape(values: Values, attributes: Attributes) -> Tensor:
    data, shape = values
    if attributes.get("allowzero", 0) and 0 in shape:
        raise UnsupportedError("Reshape to zero elements")
    return cast("Tensor", data.reshape([data.shape[axis] if size == 0 else size for axis, size in enumerate(shape)]))


def _flatten(values: Values, attributes: Attributes) -> Tensor:
    data, axis = values[0], attributes.get("axis", 1)
    axis = axis if axis >= 0 else axis + data.dim()
    return cast("Tensor", data.flatten(axis)) if axis == 1 else data.reshape(data.shape[:axis].numel(), -1)


def _axes(values: Values, attributes: Attributes) -> tuple[int, ...]:
    """Axes are an attribute in old operator sets and an input in new ones."""
    given = values[1] if len(values) > 1 and values[1] is not None else attributes.get("axes", ())
    return tuple(given)


def _squeeze(values: Values, attributes: Attributes) -> Tensor:
    axes = _axes(values, attributes)
    return cast("Tensor", values[0].squeeze(axes) if axes else values[0].squeeze())


def _unsqueeze(values: Values, attributes: Attributes) -> Tensor:
    data, axes = values[0], _axes(values, attributes)
    rank = data.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        data = data.unsqueeze(axis)
    return cast("Tensor", data)


def _reduction(reduce: Callable[..., Tensor]) -> Operator:
    def run(values: Values, attributes: Attributes) -> Tensor:
        axes = _axes(values, attributes)
        if not axes and attributes.get("noop_with_empty_axes", 0):
            return cast("Tensor", values[0])
        return reduce(values[0], axes or tuple(range(values[0].dim())), keepdim=bool(attributes.get("keepdims", 1)))

    return run


def _softmax(values: Values, attributes: Attributes) -> Tensor:
    return torch.softmax(values[0], attributes.get("axis", -1))


def _log_softmax(values: Values, attributes: Attributes) -> Tensor:
    return torch.log_softmax(values[0], attributes.get("axis", -1))


def _explicit_pad(values: Values, attributes: Attributes) -> Tensor:
    data = values[0]
    pads = tuple(values[1] if len(values) > 1 else attributes["pads"])
    fill = values[2] if len(values) > 2 and values[2] is not None else attributes.get("value", 0.0)
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}.get(
        attributes.get("mode", b"constant").decode()
    )
    if mode is None or (len(values) > 3 and values[3] is not None):
        raise UnsupportedError("Pad in wrap mode or along chosen axes")
    rank = len(pads) // 2
    flat = [pads[axis + side * rank] for axis in reversed(range(rank)) for side in (0, 1)]
    if mode != "constant":
        while flat and flat[-2:] == [0, 0]:
            flat = flat[:-2]
        return F.pad(data, flat, mode=mode)
    return F.pad(data, flat, value=float(fill))


def _depth_to_space(values: Values, attributes: Attributes) -> Tensor:
    data, block = values[0], attributes["blocksize"]
    if attributes.get("mode", b"DCR") == b"CRD":
        return F.pixel_shuffle(data, block)
    batch, channels, height, width = data.shape
    split = data.reshape(batch, block, block, channels // block**2, height, width).permute(0, 3, 4, 1, 5, 2)
    return cast("Tensor", split.reshape(batch, channels // block**2, height * block, width * block))


def _space_to_depth(values: Values, attributes: Attributes) -> Tensor:
    data, block = values[0], attributes["blocksize"]
    batch, channels, height, width = data.shape
    split = data.reshape(batch, channels, height // block, block, width // block, block).permute(0, 3, 5, 1, 2, 4)
    return cast("Tensor", split.reshape(batch, channels * block**2, height // block, width // block))


def _transpose(values: Values, attributes: Attributes) -> Tensor:
    order = attributes.get("perm") or tuple(reversed(range(values[0].dim())))
    return cast("Tensor", values[0].permute(tuple(order)))


def _slice(values: Values, attributes: Attributes) -> Tensor:
    data, names = values[0], ("starts", "ends", "axes", "steps")
    # Inputs in new operator sets, attributes in old ones.
    given = {**attributes, **{name: value for name, value in zip(names, values[1:], strict=False) if value is not None}}
    count = len(given["starts"])
    axes, steps = given.get("axes", range(count)), given.get("steps", (1,) * count)
    picks = [slice(None)] * data.dim()
    for axis, start, end, step in zip(axes, given["starts"], given["ends"], steps, strict=True):
        if step < 0:
            raise UnsupportedError("Slice backwards")
        picks[axis] = slice(start, end, step)
    return cast("Tensor", data[tuple(picks)])


def _gather(values: Values, attributes: Attributes) -> Tensor:
    data, indices = values[0], torch.as_tensor(values[1]).long()
    axis = int(attributes.get("axis", 0)) % data.ndim
    indices = torch.where(indices < 0, indices + data.shape[axis], indices)
    picked: Tensor = data.index_select(axis, indices.reshape(-1))
    return picked.reshape(*data.shape[:axis], *indices.shape, *data.shape[axis + 1 :])


def _shape(values: Values, attributes: Attributes) -> NDArray[np.int64]:
    """Known while the graph is compiled: every set of shapes has code of its own."""
    return np.array(values[0].shape[attributes.get("start", 0) : attributes.get("end")], np.int64)


def _size(values: Values, attributes: Attributes) -> NDArray[np.int64]:  # noqa: ARG001 (every operator has this form)
    return np.array(values[0].numel(), np.int64)


def _known_only(values: Values, attributes: Attributes) -> Tensor:  # noqa: ARG001 (every operator has this form)
    raise UnsupportedError("a tensor whose shape depends on data")


def _softmax_flat(call: Callable[..., Tensor]) -> Operator:
    """Before operator set 13: over all axes from one on."""

    def run(values: Values, attributes: Attributes) -> Tensor:
        data, axis = values[0], attributes.get("axis", 1) % values[0].dim()
        return call(data.reshape(data.shape[:axis].numel(), -1), 1).reshape(data.shape)

    return run


def _logarithmic(call: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *args, **options: torch.log(call(*args, **options))


def _extreme_place(call: Callable[..., Tensor]) -> Operator:
    def run(values: Values, attributes: Attributes) -> Tensor:
        if attributes.get("select_last_index", 0):
            raise UnsupportedError("ArgMax and ArgMin of the last of equals")
        return call(values[0], attributes.get("axis", 0), keepdim=bool(attributes.get("keepdims", 1)))

    return run


def _einsum(values: Values, attributes: Attributes) -> Tensor:
    return torch.einsum(text(attributes, "equation", ""), *values)


def _expand(values: Values, attributes: Attributes) -> Tensor:  # noqa: ARG001 (every operator has this form)
    return cast("Tensor", values[0].expand(np.broadcast_shapes(values[0].shape, values[1])))


def _tile(values: Values, attributes: Attributes) -> Tensor:  # noqa: ARG001 (every operator has this form)
    return cast("Tensor", values[0].repeat(values[1]))


def _split(values: Values, attributes: Attributes) -> tuple[Tensor, ...]:
    data, axis = values[0], attributes.get("axis", 0)
    sizes = values[1] if len(values) > 1 and values[1] is not None else attributes.get("split")
    if sizes is None:
        length, count = data.shape[axis], int(attributes.get("num_outputs") or attributes["outputs"])
        each = -(-length // count)
        sizes = [each] * (count - 1) + [length - each * (count - 1)]
    return torch.split(data, list(sizes), axis)


def _top_k(values: Values, attributes: Attributes) -> tuple[Tensor, ...]:
    count = int(values[1][0]) if len(values) > 1 else attributes["k"]
    axis, largest = attributes.get("axis", -1), bool(attributes.get("largest", 1))
    return tuple(torch.topk(values[0], count, axis, largest, bool(attributes.get("sorted", 1))))


def _gather_elements(values: Values, attributes: Attributes) -> Tensor:
    data, axis = values[0], attributes.get("axis", 0)
    return torch.gather(data, axis, _positive(values[1], data.shape[axis]))


def _gather_nd(values: Values, attributes: Attributes) -> Tensor:
    if attributes.get("batch_dims", 0):
        raise UnsupportedError("GatherND with batch_dims")
    data, indices = values
    return cast("Tensor", data[tuple(indices.long().unbind(-1))])


def _scatter_elements(values: Values, attributes: Attributes) -> Tensor:
    data, indices, updates = values
    axis, how = attributes.get("axis", 0), text(attributes, "reduction", "none")
    indices = _positive(indices, data.shape[axis])
    if how == "none":
        return torch.scatter(data, axis, indices, updates)
    reduce = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}[how]
    return torch.scatter_reduce(data, axis, indices, updates, reduce, include_self=True)


def _scatter_nd(values: Values, attributes: Attributes) -> Tensor:
    how = text(attributes, "reduction", "none")
    if how not in ("none", "add"):
        raise UnsupportedError(f"ScatterND that takes the {how}")
    data, indices, updates = values
    return torch.index_put(data, indices.long().unbind(-1), updates, accumulate=how == "add")


def _positive(indices: Tensor, length: int) -> Tensor:
    return torch.where(indices < 0, indices + length, indices).long()


def _cumulative_sum(values: Values, attributes: Attributes) -> Tensor:
    if attributes.get("exclusive", 0):
        raise UnsupportedError("CumSum that leaves each element out of its own sum")
    axis = values[1] if isinstance(values[1], int) else values[1][0]
    if not attributes.get("reverse", 0):
        return torch.cumsum(values[0], axis)
    return torch.cumsum(values[0].flip(axis), axis).flip(axis)


def _one_hot(values: Values, attributes: Attributes) -> Tensor:
    indices, depth, ends = values
    depth = int(depth if isinstance(depth, int | float) else depth[0])
    axis = attributes.get("axis", -1)
    hot = F.one_hot(indices.long() % depth, depth).bool()
    return torch.where(torch.movedim(hot, -1, axis if axis >= 0 else axis + hot.dim()), ends[1], ends[0])


def _triangle(values: Values, attributes: Attributes) -> Tensor:
    which = values[1] if len(values) > 1 and values[1] is not None else 0
    diagonal = int(which if isinstance(which, int) else which[0])
    return torch.triu(values[0], diagonal) if attributes.get("upper", 1) else torch.tril(values[0], diagonal)


def _lp_normalization(values: Values, attributes: Attributes) -> Tensor:
    data, axis = values[0], attributes.get("axis", -1)
    return cast("Tensor", data / torch.linalg.vector_norm(data, attributes.get("p", 2), axis, keepdim=True))


def _squares(data: Tensor, *args: Any, **options: Any) -> Tensor:
    return (data * data).sum(*args, **options)


def _l1(data: Tensor, *args: Any, **options: Any) -> Tensor:
    return data.abs().sum(*args, **options)


def _product(data: Tensor, axes: tuple[int, ...], *, keepdim: bool) -> Tensor:
    for axis in sorted((axis % data.dim() for axis in axes), reverse=True):
        data = data.prod(axis, keepdim=keepdim)
    return data


ARRAYS: dict[str, Operator] = {
    "ArgMax": _extreme_place(torch.argmax),
    "ArgMin": _extreme_place(torch.argmin),
    "Concat": lambda values, attributes: torch.cat(list(values), attributes["axis"]),
    "ConstantOfShape": _known_only,
    "CumSum": _cumulative_sum,
    "DepthToSpace": _depth_to_space,
    "Einsum": _einsum,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "LogSoftmax": _log_softmax,
    "LogSoftmax of old": _softmax_flat(torch.log_softmax),
    "LpNormalization": _lp_normalization,
    "OneHot": _one_hot,
    "Pad": _explicit_pad,
    "Range": _known_only,
    "ReduceL1": _reduction(_l1),
    "ReduceL2": _reduction(lambda *args, **options: torch.sqrt(_squares(*args, **options))),
    "ReduceLogSum": _reduction(_logarithmic(torch.sum)),
    "ReduceLogSumExp": _reduction(torch.logsumexp),
    "ReduceMax": _reduction(torch.amax),
    "ReduceMean": _reduction(torch.mean),
    "ReduceMin": _reduction(torch.amin),
    "ReduceProd": _reduction(_product),
    "ReduceSum": _reduction(torch.sum),
    "ReduceSumSquare": _reduction(_squares),
    "Reshape": _reshape,
    "ScatterElements": _scatter_elements,
    "ScatterND": _scatter_nd,
    "Shape": _shape,
    "Size": _size,
    "Slice": _slice,
    "Softmax": _softmax,
    "Softmax of old": _softmax_flat(torch.softmax),
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "TopK": _top_k,
    "Transpose": _transpose,
    "Trilu": _triangle,
    "Unsqueeze": _unsqueeze,
}
