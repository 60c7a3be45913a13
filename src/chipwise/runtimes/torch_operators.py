"""ONNX operators as PyTorch calls: one function an operator, for the operators of common convolutional networks.

Every function takes the node's inputs (tensors, integer constants as tuples, None where left out) and its attributes.

>>> import torch
>>> OPERATORS["Relu"]([torch.tensor([-1.0, 2.0])], {}).tolist()
[0.0, 2.0]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the name that everyone knows it by)

Attributes = dict[str, Any]
Values = Sequence[Any]
Operator = Callable[[Values, Attributes], Tensor]


class UnsupportedError(ValueError):
    """An operator, or a way of using it, that has no translation."""


def _conv(values: Values, attributes: Attributes) -> Tensor:
    data, weight, bias = (*values, None)[:3]
    rank = data.dim() - 2
    kernel = tuple(weight.shape[2:])
    strides, dilations = _spread(attributes, "strides", rank), _spread(attributes, "dilations", rank)
    data, padding = _pad(data, kernel, strides, dilations, attributes, value=0.0)
    convolve = cast("Callable[..., Tensor]", (F.conv1d, F.conv2d, F.conv3d)[rank - 1])
    return convolve(data, weight, bias, strides, padding, dilations, attributes.get("group", 1))


def _max_pool(values: Values, attributes: Attributes) -> Tensor:
    data, rank = values[0], values[0].dim() - 2
    kernel = tuple(attributes["kernel_shape"])
    strides, dilations = _spread(attributes, "strides", rank), _spread(attributes, "dilations", rank)
    data, padding = _pad(data, kernel, strides, dilations, attributes, value=float("-inf"))
    pool = cast("Callable[..., Tensor]", (F.max_pool1d, F.max_pool2d, F.max_pool3d)[rank - 1])
    return pool(data, kernel, strides, padding, dilations, ceil_mode=bool(attributes.get("ceil_mode", 0)))


def _local_response(values: Values, attributes: Attributes) -> Tensor:
    if attributes["size"] % 2 == 0:  # ONNX puts the odd neighbour after the channel, torch before
        raise UnsupportedError("LRN over an even number of channels")
    alpha, beta, bias = (attributes.get(key, usual) for key, usual in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0)))
    return F.local_response_norm(values[0], attributes["size"], alpha, beta, bias)


def _average_pool(values: Values, attributes: Attributes) -> Tensor:
    data, rank = values[0], values[0].dim() - 2
    kernel, strides = tuple(attributes["kernel_shape"]), _spread(attributes, "strides", rank)
    ones = (1,) * rank
    if _spread(attributes, "dilations", rank) != ones:
        raise UnsupportedError("AveragePool with dilations")
    counted = bool(attributes.get("count_include_pad", 0))
    data, padding = _pad(data, kernel, strides, ones, attributes, value=0.0)
    if data is not values[0] and not counted:
        raise UnsupportedError("AveragePool with uneven padding that does not count")
    pool = cast("Callable[..., Tensor]", (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[rank - 1])
    ceil = bool(attributes.get("ceil_mode", 0))
    return pool(data, kernel, strides, padding, ceil_mode=ceil, count_include_pad=counted)


def _pad(
    data: Tensor,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
    attributes: Attributes,
    *,
    value: float,
) -> tuple[Tensor, tuple[int, ...]]:
    """Give the padding that the operator itself can do; uneven padding is done to the data first."""
    rank = len(kernel)
    before, after = _edges(data, kernel, strides, dilations, attributes)
    if before == after and (value == 0.0 or all(2 * edge <= size for edge, size in zip(before, kernel, strict=True))):
        return data, before
    flat = [edge for pair in zip(reversed(before), reversed(after), strict=True) for edge in pair]
    return F.pad(data, flat, value=value), (0,) * rank


def _edges(
    data: Tensor, kernel: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...], attributes: Attributes
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    rank, mode = len(kernel), attributes.get("auto_pad", b"NOTSET").decode()
    if mode == "NOTSET":
        pads = tuple(attributes.get("pads", (0,) * (2 * rank)))
        return pads[:rank], pads[rank:]
    if mode == "VALID":
        return (0,) * rank, (0,) * rank
    totals = []
    for size, taps, stride, dilation in zip(data.shape[2:], kernel, strides, dilations, strict=True):
        wanted = (-(-size // stride) - 1) * stride + (taps - 1) * dilation + 1
        totals.append(max(0, wanted - size))
    small, large = tuple(total // 2 for total in totals), tuple(total - total // 2 for total in totals)
    return (small, large) if mode == "SAME_UPPER" else (large, small)


def _spread(attributes: Attributes, name: str, rank: int) -> tuple[int, ...]:
    return tuple(attributes.get(name, (1,) * rank))


def _batch_normalization(values: Values, attributes: Attributes) -> Tensor:
    data, scale, bias, mean, variance = values
    if attributes.get("training_mode", 0):
        raise UnsupportedError("BatchNormalization in training mode")
    return F.batch_norm(data, mean, variance, scale, bias, training=False, eps=attributes.get("epsilon", 1e-5))


def _gemm(values: Values, attributes: Attributes) -> Tensor:
    left, right, bias = (*values, None)[:3]
    alpha, beta = attributes.get("alpha", 1.0), attributes.get("beta", 1.0)
    left = left.t() if attributes.get("transA", 0) else left
    # nn.Linear's own order, which inductor knows how to fuse.
    weight = right if attributes.get("transB", 0) else right.t()
    if alpha == 1.0 and (bias is None or (beta == 1.0 and bias.dim() == 1 and bias.shape[0] == weight.shape[0])):
        return F.linear(left, weight, bias)
    product: Tensor = alpha * F.linear(left, weight)
    return product if bias is None else product + beta * bias


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


def _clip(values: Values, attributes: Attributes) -> Tensor:
    data, low, high = (*values, None, None)[:3]
    low = attributes.get("min") if low is None else low
    high = attributes.get("max") if high is None else high
    return torch.clamp(data, None if low is None else float(low), None if high is None else float(high))


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


def _sum(values: Values, attributes: Attributes) -> Tensor:  # noqa: ARG001 (every operator has this form)
    total = values[0]
    for value in values[1:]:
        total = total + value
    return cast("Tensor", total)


def _global_average(values: Values, attributes: Attributes) -> Tensor:  # noqa: ARG001 (every operator has this form)
    return cast("Tensor", values[0].mean(tuple(range(2, values[0].dim())), keepdim=True))


def _plain(call: Callable[..., Tensor]) -> Operator:
    """An operator without attributes that matter: the call on its inputs."""
    return lambda values, attributes: call(*values)  # noqa: ARG005 (every operator has this form)


OPERATORS: dict[str, Operator] = {
    "Add": _plain(torch.add),
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_normalization,
    "Clip": _clip,
    "Concat": lambda values, attributes: torch.cat(list(values), attributes["axis"]),
    "Conv": _conv,
    "DepthToSpace": _depth_to_space,
    "Div": _plain(torch.div),
    "Dropout": lambda values, attributes: values[0],  # noqa: ARG005 (every operator has this form)
    "Elu": lambda values, attributes: F.elu(values[0], attributes.get("alpha", 1.0)),
    "Exp": _plain(torch.exp),
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average,
    "Identity": lambda values, attributes: values[0],  # noqa: ARG005 (every operator has this form)
    "LRN": _local_response,
    "LeakyRelu": lambda values, attributes: F.leaky_relu(values[0], attributes.get("alpha", 0.01)),
    "LogSoftmax": _log_softmax,
    "MatMul": _plain(torch.matmul),
    "MaxPool": _max_pool,
    "Mul": _plain(torch.mul),
    "Neg": _plain(torch.neg),
    "Pad": _explicit_pad,
    "Pow": _plain(torch.pow),
    "ReduceMean": _reduction(torch.mean),
    "ReduceSum": _reduction(torch.sum),
    "ReduceSumSquare": _reduction(lambda data, *args, **options: (data * data).sum(*args, **options)),
    "Relu": _plain(torch.relu),
    "Reshape": _reshape,
    "Sigmoid": _plain(torch.sigmoid),
    "Slice": _slice,
    "Softmax": _softmax,
    "SpaceToDepth": _space_to_depth,
    "Sqrt": _plain(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _plain(torch.sub),
    "Sum": _sum,
    "Tanh": _plain(torch.tanh),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
