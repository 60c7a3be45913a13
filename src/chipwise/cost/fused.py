"""Which layers run as one kernel where layers are fused: ONNX Runtime and OpenVINO fold alike in what matters here.

A batch normalization behind a convolution becomes part of its weights; an addition behind one becomes its start value;
an activation costs nothing beside what it follows; views cost nothing at all.

>>> from chipwise.core.layer import Layer
>>> shape = (1, 8, 4, 4)
>>> rows = [Layer("c", "Conv", (shape,), (shape,), flops=9216, kernel=(3, 3)),
...         Layer("n", "BatchNormalization", (shape,), (shape,), flops=256, after=("c",), activation="Relu")]
>>> [(kernel.kind, kernel.names) for kernel in kernels(rows)]
[('conv', ('c', 'n'))]
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from chipwise.core.layer import Layer, Shape

VIEWS = frozenset({"Reshape", "Flatten", "Identity", "Dropout", "Squeeze", "Unsqueeze"})
_ACTIVATIONS = frozenset({"Relu", "Clip", "LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Elu", "PRelu"})
_KINDS = {
    "ConvTranspose": "transposed",
    "Gemm": "linear",
    "MatMul": "matmul",
    "MaxPool": "pool",
    "AveragePool": "pool",
    "GlobalAveragePool": "mean",
    "GlobalMaxPool": "mean",
    "ReduceMean": "mean",
    "BatchNormalization": "scale",
    "Concat": "concat",
    "Softmax": "softmax",
    "LogSoftmax": "softmax",
    "LayerNormalization": "norm",
    "GroupNormalization": "norm",
    "InstanceNormalization": "norm",
    **dict.fromkeys(("Transpose", "Slice", "Gather", "Pad", "Resize", "DepthToSpace", "SpaceToDepth", "Split"), "move"),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Sum", "Max", "Min", "Pow"), "add"),
    **dict.fromkeys(_ACTIVATIONS | {"Gelu", "Erf", "Exp", "Sqrt", "Neg", "Softplus", "Mish", "Cast"}, "scale"),
}
_CONVOLUTIONS = frozenset({"conv", "pointwise", "depthwise", "grouped", "transposed"})
# Channels are worked on in groups of so many on processors with 512-bit vectors; a part of a group costs a whole one.
_LANES = 16


@dataclass(frozen=True, slots=True)
class Kernel:
    """Layers that run as one.

    Attributes:
        names: of the layers, in order; the first one does the work.
        kind: class of work: "conv" (dense, a window beyond 1x1), "pointwise", "depthwise", "grouped", "transposed",
            "linear" (by weights), "matmul" (of two activations; with the softmax and the second product of attention),
            "pool", "mean", "add", "scale", "concat", "softmax", "norm", "move", "other" (nothing is known of it).
        flops: 1 multiply-add = 2.
        values: read and written, weights among them; in numbers, not bytes.
        sizes: what the speed depends on; see `sizes_of`.
    """

    names: tuple[str, ...]
    kind: str
    flops: float
    values: float
    sizes: tuple[float, ...]


def kernels(layers: Sequence[Layer]) -> tuple[Kernel, ...]:
    """Group the rows of a network into what is run at once; views are left out.

    Args:
        layers: in the order they run; `after` says what each reads.
    """
    readers = Counter(name for layer in layers for name in layer.after)
    found: list[Kernel] = []
    owner: dict[str, int] = {}  # row: the kernel that makes what it gives
    taken: set[int] = set()  # kernels whose activation is set: nothing more folds into them
    for layer in layers:
        producers = [owner[name] for name in layer.after if name in owner and readers[name] == 1]
        if layer.op in VIEWS:
            if layer.after and layer.after[0] in owner:
                owner[layer.name] = owner[layer.after[0]]
            continue
        into = _host(layer, found, producers, taken)
        if into is None:
            owner[layer.name] = len(found)
            found.append(_kernel(layer))
        else:
            owner[layer.name] = into
            host = found[into]
            extra = math.prod(layer.outputs[0]) if kind_of(layer) == "add" else 0
            found[into] = replace(host, names=(*host.names, layer.name), values=host.values + extra)
        if layer.activation or layer.op in _ACTIVATIONS:
            taken.add(owner[layer.name])
    return tuple(found)


def _host(layer: Layer, found: Sequence[Kernel], producers: Sequence[int], taken: set[int]) -> int | None:
    """The kernel that `layer` becomes part of: the last one that makes an input of it and nobody else reads."""
    kind = kind_of(layer)
    free = [index for index in producers if index not in taken and found[index].kind in _CONVOLUTIONS]
    if layer.op == "Softmax" or kind == "matmul":  # attention: product, softmax, product
        return max((index for index in producers if found[index].kind == "matmul"), default=None)
    if layer.op == "BatchNormalization" or (kind == "add" and layer.op in ("Add", "Sum")):
        return max(free, default=None)
    if layer.op in _ACTIVATIONS:
        return max((index for index in producers if index not in taken), default=None)
    return None


def _kernel(layer: Layer) -> Kernel:
    values = sum(math.prod(shape) for shape in (*layer.inputs, *layer.outputs)) + layer.parameters
    return Kernel((layer.name,), kind_of(layer), float(layer.flops), float(values), sizes_of(layer))


def kind_of(layer: Layer) -> str:
    """The class of work of one row."""
    if layer.op == "Conv":
        if layer.groups > 1:
            return "depthwise" if layer.groups == _read_channels(layer) else "grouped"
        return "pointwise" if math.prod(layer.kernel or (1,)) == 1 else "conv"
    if layer.op == "MatMul" and len(layer.inputs) == 1:
        return "linear"
    return _KINDS.get(layer.op, "other")


def sizes_of(layer: Layer) -> tuple[float, ...]:
    """What the speed of a row depends on, each at least 1.

    Products and convolutions: places in the output (batch among them), channels that each sums over, channels of the
    output, places in the window, step of the window, and how much the work grows where channels fill up groups.
    Everything else: values read and written, channels, places in the
    window.
    """
    result: Shape = layer.outputs[0] if layer.outputs else (1,)
    window, step = math.prod(layer.kernel or (1,)), math.prod(layer.stride or (1,))
    if kind_of(layer) in ("linear", "matmul"):
        depth = layer.inputs[0][-1] if layer.inputs else 1
        sizes = math.prod(result[:-1]), depth, result[-1], 1, 1, 1
        return tuple(float(max(1, size)) for size in sizes)
    channels = result[1] if len(result) > 1 else 1
    if layer.op in ("Conv", "ConvTranspose"):
        places = math.prod(result) // max(1, channels)
        depth = _read_channels(layer) // layer.groups
        filled = _filled(channels) * (_filled(depth) if layer.groups == 1 and depth > _LANES // 2 else 1)
        return tuple(float(max(1, size)) for size in (places, depth, channels, window, step, filled))
    values = sum(math.prod(shape) for shape in (*layer.inputs, *layer.outputs))
    return tuple(float(max(1, size)) for size in (values, channels, window))


def _read_channels(layer: Layer) -> int:
    """0 where the shape of what it reads is not known."""
    return layer.inputs[0][1] if layer.inputs and len(layer.inputs[0]) > 1 else 0


def _filled(channels: int) -> float:
    return math.ceil(channels / _LANES) * _LANES / max(1, channels)
