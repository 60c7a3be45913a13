"""Layer rows as operations, each with its class, traffic and dimensions.

A row of the layer table may be several operations (an activation is folded into it) or none (a reshape). Run eagerly,
each is priced; `cost.execution` says what a compiler, mixed precision or training make of them.

Classes: `c1` 1x1 convolution, `ck` larger, `grp` grouped, `dw` depthwise, `mm` product with weights, `mm_nn` with
weights kept input-major, `bmm` of two activations, `sdpa` attention, `bn`, `ln` normalizations, `sm` softmax, `ew`
elementwise, `cp` copies, `red` reductions and pooling, `fft`, `cast` between formats, `opt` the optimizer. Some are
told apart by what stands around them: `ew2` of two tensors, `ewb` of a tensor and a smaller one, `lnc` a norm over the
channels of an image, `gn` over groups of them, and convolutions where channels are last in memory (`c1l`, `ckl`,
`grpl`, `dwl`).

>>> from chipwise.core.layer import Layer
>>> conv = Layer("c", "Conv", ((1, 8, 4, 4),), ((1, 16, 4, 4),), flops=4096, read_bytes=1024, write_bytes=1024,
...              activation="Relu", kernel=(1, 1))
>>> [(op.kind, op.dims) for op in operations([conv])]
[('c1', (16.0, 16.0, 8.0, 1)), ('ew', (0, 0, 0, 0))]
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from chipwise.core.formats import ROW_BYTES
from chipwise.core.layer import Layer

Dims = tuple[float, float, float, float]

CONVOLUTIONS = frozenset({"c1", "ck", "grp", "dw"})
ON_IMAGES = frozenset({*CONVOLUTIONS, "c1l", "ckl", "grpl", "dwl"})
PRODUCTS = frozenset({*ON_IMAGES, "mm", "mm_nn", "bmm", "sdpa"})
# Classes that a profile may leave out, and what they are priced as then.
COARSER = {
    **{f"{kind}l": kind for kind in CONVOLUTIONS},
    "lnc": "ln",
    "gn": "ln",
    "ew2": "ew",
    "ewb": "ew",
    "sm": "ln",
    "cast": "cp",
    "grp": "ck",
    "c1": "ck",
    "ck": "mm",
    "mm_nn": "mm",
}

TRACE_BYTES = 2  # operations are kept in 2-byte values until a profile says otherwise

_VIEWS = frozenset({"Reshape", "Flatten", "Identity", "Unsqueeze", "Squeeze", "Dropout", "Constant", "Shape", "Cast"})
_KINDS = {
    "bn": ("BatchNormalization",),
    "ln": (
        "LayerNormalization",
        "GroupNormalization",
        "InstanceNormalization",
        "RMSNormalization",
        "SimplifiedLayerNormalization",
        "LRN",
        "LpNormalization",
        "MeanVarianceNormalization",
    ),
    "sm": ("Softmax", "LogSoftmax", "Hardmax"),
    "red": (
        *("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LpPool", "GlobalLpPool", "ReduceMean"),
        *("ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare"),
        *("ReduceLogSumExp", "ArgMax", "ArgMin", "TopK", "CumSum", "NonMaxSuppression", "MaxUnpool", "MaxRoiPool"),
        "RoiAlign",
    ),
    "cp": (
        *("Concat", "Split", "Slice", "Transpose", "Pad", "Resize", "Upsample", "Gather", "GatherND", "Scatter"),
        *("GatherElements", "ScatterND", "ScatterElements", "Expand", "Tile", "DepthToSpace", "SpaceToDepth"),
        *("ReverseSequence", "GridSample", "OneHot", "Compress", "Unique", "Reorg"),
    ),
    "fft": ("DFT", "STFT"),
    "sdpa": ("Attention", "ScaledDotProductAttention", "MultiHeadAttention"),
}
_KIND_OF = {op: kind for kind, ops in _KINDS.items() for op in ops}
_CONVOLUTIONS = frozenset({"Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "DeformConv"})
_MATRIX = frozenset({"Gemm", "MatMul", "MatMulInteger", "QLinearMatMul", "Linear", "Einsum"})
RECURRENT = {"LSTM": 4, "GRU": 3, "RNN": 1}  # and how many gates each has


@dataclass(frozen=True, slots=True)
class Op:
    """One operation of one step.

    Attributes:
        kind: class of work.
        flops: 1 multiply-add = 2.
        read_bytes: activations read; weight_bytes: weights read; write_bytes: written.
        dims: m, n, k, groups of a product (of all items of the batch); zeros for others.
        layer: name of the row it belongs to.
        launches: kernels in a row that it takes.
        known: False where only its traffic is known.
    """

    kind: str
    flops: float = 0.0
    read_bytes: float = 0.0
    weight_bytes: float = 0.0
    write_bytes: float = 0.0
    dims: Dims = (0, 0, 0, 0)
    layer: str = ""
    launches: int = 1
    known: bool = True


def operations(layers: Iterable[Layer]) -> list[Op]:
    """The operations of layer rows, eagerly run, in 2-byte values; views cost nothing and are left out."""
    found: list[Op] = []
    for layer in layers:
        if layer.op not in _VIEWS:
            found.append(_operation(layer))
        if layer.activation:
            kind = _KIND_OF.get(layer.activation, "ew")
            moved = sum(map(math.prod, layer.outputs)) * float(TRACE_BYTES)
            found.append(Op(kind, read_bytes=moved, write_bytes=moved, layer=layer.name))
    return found


def _operation(layer: Layer) -> Op:
    values = sum(map(math.prod, layer.inputs))
    share = TRACE_BYTES / ROW_BYTES
    activations = min(float(TRACE_BYTES * values), share * layer.read_bytes) if layer.read_bytes else 0.0
    kind, dims, launches = _shape_of(layer)
    return Op(
        kind,
        flops=float(layer.flops),
        read_bytes=activations,
        weight_bytes=share * layer.read_bytes - activations,
        write_bytes=share * layer.write_bytes,
        dims=dims,
        layer=layer.name,
        launches=launches,
        known=layer.known,
    )


def _shape_of(layer: Layer) -> tuple[str, Dims, int]:
    """Class, dimensions and kernels in a row of a layer."""
    if layer.op in _CONVOLUTIONS and layer.outputs and layer.inputs:
        return _convolution(layer)
    if layer.op in _MATRIX and layer.outputs and layer.inputs:
        return _product(layer)
    if layer.op in RECURRENT and layer.inputs:
        steps, items = steps_and_items(layer)
        width = layer.outputs[0][-1] if layer.outputs and layer.outputs[0] else 1
        return "mm", (items, RECURRENT[layer.op] * width, width, 1), 2 * max(steps, 1)
    return _KIND_OF.get(layer.op, "ew"), (0, 0, 0, 0), 1


def steps_and_items(layer: Layer) -> tuple[int, int]:
    """How many steps a recurrent layer takes one after another, and how many items take each together.

    Rows of torch's layers have items first, as `batch_first` has it; ONNX has steps first and gives one axis more, for
    directions.
    """
    shape = layer.inputs[0]
    if len(shape) < 3:
        return (shape[0] if shape else 1), 1
    first, second = shape[:2]
    items_first = bool(layer.outputs) and len(layer.outputs[0]) == 3 and layer.outputs[0][:2] == shape[:2]
    return (second, first) if items_first else (first, second)


def _convolution(layer: Layer) -> tuple[str, Dims, int]:
    image, result = layer.inputs[0], layer.outputs[0]
    channels, area = image[1] if len(image) > 1 else 1, math.prod(layer.kernel)
    groups = max(layer.groups, 1)
    transposed = layer.op == "ConvTranspose"
    m = math.prod(image if transposed else result) / max(channels if transposed else result[1], 1)
    n, k = result[1] / groups, area * channels / groups
    if transposed:
        n, k = area * result[1] / groups, channels / groups
    if groups > 1 and groups == channels:
        return "dw", (m, n, k, groups), 1
    kind = "grp" if groups > 1 else "c1" if area == 1 else "ck"
    return kind, (m, n, k, groups), 1


def _product(layer: Layer) -> tuple[str, Dims, int]:
    left, result = layer.inputs[0], layer.outputs[0]
    k, n = (left[-1] if left else 1), (result[-1] if result else 1)
    if layer.op == "MatMul" and len(layer.inputs) > 1:
        rows = result[-2] if len(result) > 1 else 1
        return "bmm", (rows, n, k, max(math.prod(result[:-2]), 1)), 1
    return "mm", (math.prod(result) / max(n, 1), n, k, 1), 1
