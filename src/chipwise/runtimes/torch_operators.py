"""ONNX operators as PyTorch calls: one function an operator, layers here, the rest in the modules beside it.

Every function takes the node's inputs (`chipwise.runtimes.torch_values` says in which form; None where left out) and
its attributes.

>>> import torch
>>> OPERATORS["Relu"]([torch.tensor([-1.0, 2.0])], {}).tolist()
[0.0, 2.0]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the name that everyone knows it by)

from chipwise.runtimes.torch_arithmetic import ARITHMETIC
from chipwise.runtimes.torch_arrays import ARRAYS
from chipwise.runtimes.torch_recurrent import RECURRENT
from chipwise.runtimes.torch_resize import RESIZING
from chipwise.runtimes.torch_values import Attributes, Operator, UnsupportedError, Values, plain, text


def _conv(values: Values, attributes: Attributes) -> Tensor:
    data, weight, bias = (*values, None)[:3]
    rank = data.dim() - 2
    kernel = tuple(weight.shape[2:])
    strides, dilations = _spread(attributes, "strides", rank), _spread(attributes, "dilations", rank)
    data, padding = _pad(data, kernel, strides, dilations, attributes, limited=False)
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
    data, padding = _pad(data, kernel, strides, ones, attributes)
    pool = cast("Callable[..., Tensor]", (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[rank - 1])
    ceil = bool(attributes.get("ceil_mode", 0))
    if data is not values[0] and not counted:  # padded here, so PyTorch counts what was padded: divide by the share
        inside, _ = _pad(torch.ones_like(values[0][:1, :1]), kernel, strides, ones, attributes)
        return pool(data, kernel, strides, ceil_mode=ceil) / pool(inside, kernel, strides, ceil_mode=ceil)
    return pool(data, kernel, strides, padding, ceil_mode=ceil, count_include_pad=counted)


def _pad(
    data: Tensor,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
    attributes: Attributes,
    *,
    value: float = 0.0,
    limited: bool = True,
) -> tuple[Tensor, tuple[int, ...]]:
    """Give the padding that the operator itself can do; uneven padding is done to the data first.

    PyTorch's pools are limited to padding by half of the kernel.
    """
    rank = len(kernel)
    before, after = _edges(data, kernel, strides, dilations, attributes)
    if before == after and (not limited or all(2 * edge <= size for edge, size in zip(before, kernel, strict=True))):
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


def _global_average(values: Values, attributes: Attributes) -> Tensor:  # noqa: ARG001 (every operator has this form)
    return cast("Tensor", values[0].mean(tuple(range(2, values[0].dim())), keepdim=True))


def _conv_transpose(values: Values, attributes: Attributes) -> Tensor:
    data, weight, bias = (*values, None)[:3]
    rank = data.dim() - 2
    strides, dilations = _spread(attributes, "strides", rank), _spread(attributes, "dilations", rank)
    extra = tuple(attributes.get("output_padding", (0,) * rank))
    longest = [
        (size - 1) * stride + (taps - 1) * dilation + 1 + added
        for size, stride, taps, dilation, added in zip(
            data.shape[2:], strides, weight.shape[2:], dilations, extra, strict=True
        )
    ]
    before, after = _crops(
        longest, [size * stride for size, stride in zip(data.shape[2:], strides, strict=True)], attributes
    )
    convolve = cast("Callable[..., Tensor]", (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[rank - 1])
    group = attributes.get("group", 1)
    if before == after:
        return convolve(data, weight, bias, strides, before, extra, group, dilations)
    # What PyTorch adds at the end may be more than what one stride allows: zeros are as good, and then the bias.
    whole = convolve(data, weight, None, strides, 0, 0, group, dilations)
    whole = F.pad(whole, [edge for added in reversed(extra) for edge in (0, added)])
    picks = [slice(low, size - high) for low, high, size in zip(before, after, whole.shape[2:], strict=True)]
    result: Tensor = whole[(slice(None), slice(None), *picks)]
    return result if bias is None else torch.add(result, bias.reshape(-1, *(1,) * rank))


def _crops(longest: list[int], same: list[int], attributes: Attributes) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """How much of a transposed convolution is cut off at each side."""
    rank, mode = len(longest), text(attributes, "auto_pad", "NOTSET")
    if "output_shape" not in attributes and not mode.startswith("SAME"):
        pads = tuple(attributes.get("pads", (0,) * (2 * rank))) if mode == "NOTSET" else (0,) * (2 * rank)
        return pads[:rank], pads[rank:]
    wanted = tuple(attributes.get("output_shape", same))[-rank:]
    totals = [size - out for size, out in zip(longest, wanted, strict=True)]
    if min(totals) < 0:
        raise UnsupportedError("ConvTranspose to a shape with more than one stride of zeros")
    small, large = tuple(total // 2 for total in totals), tuple(total - total // 2 for total in totals)
    return (small, large) if mode == "SAME_UPPER" else (large, small)


def _global_max(values: Values, attributes: Attributes) -> Tensor:  # noqa: ARG001 (every operator has this form)
    return torch.amax(values[0], tuple(range(2, values[0].dim())), keepdim=True)


def _instance_normalization(values: Values, attributes: Attributes) -> Tensor:
    data, scale, bias = values
    return F.instance_norm(data, weight=scale, bias=bias, eps=attributes.get("epsilon", 1e-5))


def _layer_normalization(values: Values, attributes: Attributes) -> Tensor:
    data, scale, bias = (*values, None)[:3]
    shape, epsilon = data.shape[attributes.get("axis", -1) :], attributes.get("epsilon", 1e-5)
    if scale.shape == shape and (bias is None or bias.shape == shape):
        return F.layer_norm(data, shape, scale, bias, epsilon)
    result = F.layer_norm(data, shape, eps=epsilon) * scale
    return result if bias is None else torch.add(result, bias)


def _group_normalization(values: Values, attributes: Attributes) -> Tensor:
    data, scale, bias = values
    groups, channels = attributes["num_groups"], data.shape[1]
    if scale.shape[0] != channels:  # before operator set 21, one value for each group
        scale, bias = (part.repeat_interleave(channels // groups) for part in (scale, bias))
    return F.group_norm(data, groups, scale, bias, attributes.get("epsilon", 1e-5))


LAYERS: dict[str, Operator] = {
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_normalization,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average,
    "GlobalMaxPool": _global_max,
    "GroupNormalization": _group_normalization,
    "InstanceNormalization": _instance_normalization,
    "LRN": _local_response,
    "LayerNormalization": _layer_normalization,
    "MatMul": plain(torch.matmul),
    "MaxPool": _max_pool,
}

OPERATORS: dict[str, Operator] = {**ARITHMETIC, **ARRAYS, **LAYERS, **RECURRENT, **RESIZING}
