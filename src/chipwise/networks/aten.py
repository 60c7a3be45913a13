"""torch's basic operators in ONNX terms, with their work.

>>> import torch
>>> describe(torch.ops.aten.relu.default, (torch.ones(4),), [torch.ones(4)]).name
'Relu'
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from chipwise.core.layer import Shape
from chipwise.core.work import work

_Shapes = list[Shape | None]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operator: its ONNX name, its FLOPs (None when not known), and how many tensors it gives."""

    name: str
    flops: int | None
    results: int


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# aten name -> ONNX name, for those whose work follows from the shapes of their tensors in order.
_NAMES = {
    "_adaptive_avg_pool2d": "GlobalAveragePool",
    "_log_softmax": "LogSoftmax",
    "_native_batch_norm_legit": "BatchNormalization",
    "_native_batch_norm_legit_no_training": "BatchNormalization",
    "_softmax": "Softmax",
    "adaptive_max_pool2d": "GlobalMaxPool",
    "add": "Add",
    "amax": "ReduceMax",
    "bmm": "MatMul",
    "cat": "Concat",
    "clamp": "Clip",
    "cudnn_batch_norm": "BatchNormalization",
    "div": "Div",
    "elu": "Elu",
    "embedding": "Gather",
    "gelu": "Gelu",
    "hardswish": "HardSwish",
    "hardtanh": "Clip",
    "index": "Gather",
    "index_select": "Gather",
    "leaky_relu": "LeakyRelu",
    "mean": "ReduceMean",
    "mm": "MatMul",
    "mul": "Mul",
    "native_batch_norm": "BatchNormalization",
    "native_dropout": "Dropout",
    "native_group_norm": "GroupNormalization",
    "native_layer_norm": "LayerNormalization",
    "pixel_shuffle": "DepthToSpace",
    "pixel_unshuffle": "SpaceToDepth",
    "pow": "Pow",
    "prelu": "PRelu",
    "_prelu_kernel": "PRelu",
    "_safe_softmax": "Softmax",
    "rsub": "Sub",
    "relu": "Relu",
    "select": "Gather",
    "sigmoid": "Sigmoid",
    "silu": "Swish",
    "sub": "Sub",
    "sum": "ReduceSum",
    "tanh": "Tanh",
    "view": "Reshape",
    "_unsafe_view": "Reshape",
    "reshape": "Reshape",
    "permute": "Transpose",
    "transpose": "Transpose",
    "t": "Transpose",
}
_POOLS = _names("avg_pool1d avg_pool2d avg_pool3d max_pool2d_with_indices max_pool3d_with_indices")
# Bookkeeping that is part of another operator, or makes constants: not shown.
_HIDDEN = _names(
    "alias arange clone copy detach empty empty_like expand fill full lift_fresh lift_fresh_copy ones "
    "ones_like t scalar_tensor zero zeros zeros_like _to_copy is_same_size new_empty new_zeros resize_"
)
_MOVED = _names(
    "as_strided constant_pad_nd flip gather reflection_pad2d repeat replication_pad2d roll scatter slice_scatter split "
    "stack where"
)

# The others are masks, indices or statistics for the backward pass.
_ONE_RESULT = ("_norm", "max_pool", "dropout", "scaled_dot_product", "_prelu")


def describe(func: Any, args: Sequence[Any], results: Sequence[Tensor]) -> Operation | None:
    """Name one call of an aten operator and count its work.

    Args:
        func: a torch.ops.aten overload.
        args: its positional arguments.
        results: the tensors that it gave.

    Returns:
        None for bookkeeping that nobody counts as an operation.
    """
    name = func.name().partition("::")[2].partition(".")[0].removesuffix("_")
    if name in _HIDDEN or not results:
        return None
    made = [tuple(map(int, result.shape)) for result in results]
    given = [tuple(map(int, value.shape)) if isinstance(value, Tensor) else None for value in args]
    if "scaled_dot_product" in name:
        counted = _attention(given)
    elif name in _NAMES:
        title = "GlobalAveragePool" if _is_global_mean(name, args) else _NAMES[name]
        counted = title, work(title, given if given and given[0] else made, made, {})
    else:
        counted = _special(name, args, given, made) or _tagged(name, func, given, made)
    return Operation(*counted, 1 if any(mark in name for mark in _ONE_RESULT) else len(results))


def recurrent(layer: nn.RNNBase, given: Sequence[int]) -> Operation:
    """All that a recurrent layer does, which torch takes apart into hundreds of operators.

    Args:
        layer: an nn.LSTM, nn.GRU or nn.RNN.
        given: shape of its input, batch and steps in any order: [N, T, F] or [T, F].
    """
    kind = layer.mode.partition("_")[0]
    directions = 2 if layer.bidirectional else 1
    rows = layer.get_parameter("weight_ih_l0").shape[0]
    steps, total = (math.prod(given[:-1]), 1), 0
    for place in range(layer.num_layers):
        features = layer.input_size if place == 0 else directions * layer.hidden_size
        made = (directions, rows, features), (directions, rows, layer.hidden_size)
        shapes = [(*steps, features), *made, *([(directions, 2 * rows)] if layer.bias else [])]
        total += work(kind, shapes, [tuple(given)], {}) or 0
    return Operation(kind, total, 1)


def _special(name: str, args: Sequence[Any], given: _Shapes, made: list[Shape]) -> tuple[str, int | None] | None:
    """Operators whose arguments say more than their shapes."""
    title, shapes = "", given
    attributes: dict[str, object] = {}
    if name in ("convolution", "_convolution"):
        title = "ConvTranspose" if args[6] else "Conv"
    elif name == "addmm":
        title, shapes = "Gemm", [given[1], given[2], given[0]]
    elif name in _POOLS:
        title = "AveragePool" if name.startswith("avg") else "MaxPool"
        attributes = {"kernel_shape": _kernel(args[1], len(made[0]) - 2)}
    elif name.startswith("upsample_"):
        mode = "cubic" if "bicubic" in name else "linear" if "linear" in name else "nearest"
        title, attributes = "Resize", {"mode": mode}
    return (title, work(title, shapes[:3], made, attributes)) if title else None


def _is_global_mean(name: str, args: Sequence[Any]) -> bool:
    """What adaptive pooling to 1 x 1 becomes: the mean over both axes of a picture, which are kept."""
    if name != "mean" or len(args) < 3 or args[0].ndim != 4 or not args[2]:
        return False
    return sorted(axis % 4 for axis in args[1]) == [2, 3]


def _attention(given: _Shapes) -> tuple[str, int | None]:
    """Two products and a softmax over [..., L, S] scores."""
    query, key = given[0], given[1]
    if query is None or key is None:
        return "Attention", None
    return "Attention", math.prod(query[:-1]) * key[-2] * (4 * query[-1] + 5)


def _tagged(name: str, func: Any, given: _Shapes, made: list[Shape]) -> tuple[str, int | None]:
    """Other operators, by what torch says about them."""
    title = "".join(part.capitalize() for part in name.strip("_").split("_"))
    if name in _MOVED or func.is_view:
        return title, 0
    if torch.Tag.pointwise in func.tags:
        return title, math.prod(made[0])
    first = given[0] if given else None
    return title, math.prod(first) if torch.Tag.reduction in func.tags and first else None


def _kernel(value: Any, axes: int) -> list[int]:
    sizes = list(value)
    return sizes * axes if len(sizes) == 1 else sizes
