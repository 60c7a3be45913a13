"""Layer rows as the operations that software really runs, each with its class, traffic and dimensions.

A row of the layer table may be several operations (an activation is folded into it) or none (a reshape). Run eagerly,
each is priced; compiled code merges neighbours that only stream data; mixed precision adds casts; training runs
everything about three times and updates the weights. `planned` applies what a profile asks for, in that order.

Classes: `c1` 1x1 convolution, `ck` larger, `grp` grouped, `dw` depthwise, `mm` product with weights, `mm_nn` with
weights kept input-major, `bmm` of two activations, `sdpa` attention, `bn`, `ln` normalizations, `sm` softmax, `ew`
elementwise, `cp` copies, `red` reductions and pooling, `fft`, `cast` between formats, `opt` the optimizer. `refined`
tells some apart by what stands around them: `ew2` of two tensors, `ewb` of a tensor and a smaller one, `lnc` a norm
over the channels of an image, and convolutions where channels are last in memory (`c1l`, `ckl`, `grpl`, `dwl`).

>>> from chipwise.core.layer import Layer
>>> conv = Layer("c", "Conv", ((1, 8, 4, 4),), ((1, 16, 4, 4),), flops=4096, read_bytes=1024, write_bytes=1024,
...              activation="Relu", kernel=(1, 1))
>>> [(op.kind, op.dims) for op in operations([conv])]
[('c1', (16.0, 16.0, 8.0, 1)), ('ew', (0, 0, 0, 0))]
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from chipwise.core.layer import Layer
from chipwise.core.profile import Profile

Dims = tuple[float, float, float, float]

CONVOLUTIONS = frozenset({"c1", "ck", "grp", "dw"})
_ON_IMAGES = frozenset({*CONVOLUTIONS, "c1l", "ckl", "grpl", "dwl"})
PRODUCTS = frozenset({*_ON_IMAGES, "mm", "mm_nn", "bmm", "sdpa"})
# What a fusing compiler merges with its neighbours; the first class named here that a chain holds is the chain's.
STREAMS = ("sm", "lnc", "ln", "bn", "ew2", "ewb", "ew", "cast", "cp")
# Of the work of convolutions, where channels first is expected to be faster: (1 - 0.8) / (1.358 - 0.8) there.
_GROUPED_SHARE = 0.36
# What streams alike once it is compiled.
_MERGED = {"lnc": "ln", "ew2": "ew", "ewb": "ew", "cast": "ew"}
_NORMS = ("ln", "lnc", "bn", "cast")
# Classes that a profile may leave out, and what they are priced as then.
COARSER = {
    **{f"{kind}l": kind for kind in CONVOLUTIONS},
    "lnc": "ln",
    "ew2": "ew",
    "ewb": "ew",
    "sm": "ln",
    "cast": "cp",
    "grp": "ck",
    "c1": "ck",
    "ck": "mm",
    "mm_nn": "mm",
}

_ROW_BYTES = 4  # layer rows hold float32 bytes
_TRACE_BYTES = 2  # operations are kept in 2-byte values until a profile says otherwise
_TRAINING_PASSES = 3.0  # forward, gradient of inputs, gradient of weights; a profile's shares absorb the rest
# Gradient read, momentum and weight read and written, in float32.
_OPTIMIZER_BYTES = 20.0
_OPTIMIZER_TENSORS = 1  # PyTorch updates many tensors in one launch

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
_RECURRENT = {"LSTM": 4, "GRU": 3, "RNN": 1}


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
            moved = sum(map(math.prod, layer.outputs)) * float(_TRACE_BYTES)
            found.append(Op(kind, read_bytes=moved, write_bytes=moved, layer=layer.name))
    return found


def planned(ops: Sequence[Op], profile: Profile) -> list[Op]:
    """What really runs under `profile`: attention taken apart, casts added, streams merged, training's passes.

    Args:
        ops: eager operations in 2-byte values.
        profile: says how they are run.
    """
    narrow, wide = profile.widths
    if profile.attention == "plain":
        ops = [part for op in ops for part in attention_parts(op)]
    ops = laid_out(ops, fused=profile.fused and profile.kind == "gpu")
    ops = refined(ops)
    if wide > narrow:
        ops = mixed(ops)
    elif narrow != _TRACE_BYTES:
        ops = [_widened(op, narrow / _TRACE_BYTES) for op in ops]
    if profile.fused:
        ops = merged(ops)
    if profile.phase == "training":
        ops = trained(ops)
    return list(ops)


def attention_parts(op: Op) -> list[Op]:
    """Attention as two products, a scaling and a softmax; any other operation as it is."""
    if op.kind != "sdpa":
        return [op]
    queries, keys, depth, heads = op.dims
    scores = _TRACE_BYTES * queries * keys * heads
    q_bytes, k_bytes = _TRACE_BYTES * queries * depth * heads, _TRACE_BYTES * keys * depth * heads
    half = op.flops / 2
    return [
        Op("bmm", half, q_bytes + k_bytes, 0.0, scores, (queries, keys, depth, heads), op.layer),
        Op("ew", 0.0, scores, 0.0, scores, layer=op.layer),
        Op("sm", 0.0, scores, 0.0, scores, layer=op.layer),
        Op("bmm", half, scores + k_bytes, 0.0, q_bytes, (queries, depth, keys, heads), op.layer),
    ]


def laid_out(ops: Sequence[Op], *, fused: bool) -> list[Op]:
    """Convolutions told apart by the layout of their input where nobody asked for one.

    Eagerly, a norm over the channels of an image leaves them last in memory from there on. A compiler puts them last
    everywhere on a GPU unless grouped convolutions do much of the work (torch/_inductor/graph.py, decide_layout_opt).
    """
    if fused:
        work = sum(op.flops for op in ops if op.kind in CONVOLUTIONS)
        grouped = sum(op.flops for op in ops if op.kind == "grp")
        last = grouped <= _GROUPED_SHARE * work
        return [replace(op, kind=f"{op.kind}l") if last and op.kind in CONVOLUTIONS else op for op in ops]
    found, normed = [], False
    for op in ops:
        normed = normed or op.kind == "ln"
        found.append(replace(op, kind=f"{op.kind}l") if normed and op.kind in CONVOLUTIONS else op)
    return found


def refined(ops: Sequence[Op]) -> list[Op]:
    """Classes told apart by what stands around them; streams take rows and channels of the product before them."""
    found: list[Op] = []
    last = Op("")
    for op in ops:
        if op.kind in PRODUCTS:
            last = op
            found.append(op)
            continue
        kind = op.kind
        if kind == "ln" and last.kind in _ON_IMAGES:
            kind = "lnc"
        elif kind == "ew":
            kind = "ew2" if op.read_bytes > 1.5 * op.write_bytes else "ewb" if _broadcasts(op) else "ew"
        m, n, _, groups = last.dims
        alike = max(op.read_bytes, op.write_bytes) < 2.5 * last.write_bytes
        same = alike and min(op.read_bytes, op.write_bytes) > 0.4 * last.write_bytes
        wide = n if last.kind == "bmm" else n * groups
        found.append(replace(op, kind=kind, dims=(m, wide, 0, 1) if same else op.dims))
    return found


def _broadcasts(op: Op) -> bool:
    return op.read_bytes > 1.0001 * op.write_bytes


def mixed(ops: Sequence[Op]) -> list[Op]:
    """Automatic mixed precision: products in 2-byte values, normalizations and softmax in 4-byte ones, casts between.

    Weights are kept in 4 bytes and cast at every step. Additions take the wider of what they read: in networks with
    layer norms, an operation of two tensors (or of a tensor and a 4-byte weight) stays wide until the next product.
    """
    normed = any(op.kind in ("ln", "lnc") for op in ops)
    found: list[Op] = []
    width = 2
    for op in ops:
        if op.kind in PRODUCTS:
            if width == 4:
                found.append(Op("cast", read_bytes=2 * op.read_bytes, write_bytes=op.read_bytes, layer=op.layer))
            if op.weight_bytes:
                cast = Op("cast", read_bytes=2 * op.weight_bytes, write_bytes=op.weight_bytes, layer=op.layer)
                found.append(cast)
            width = 2
            found.append(op)
        elif op.kind in ("ln", "lnc", "sm"):
            if width == 2:
                found.append(Op("cast", read_bytes=op.read_bytes, write_bytes=2 * op.read_bytes, layer=op.layer))
            width = 4
            found.append(_widened(op, 2))
        elif op.kind in ("ew2", "ewb") and normed:
            first = op.write_bytes * width / 2
            rest = 2 * (op.read_bytes - op.write_bytes)
            width = 4
            found.append(replace(op, read_bytes=first + rest, write_bytes=2 * op.write_bytes))
        else:
            found.append(_widened(op, width / 2))
    return found


def merged(ops: Sequence[Op]) -> list[Op]:
    """Neighbours that only stream data, as one kernel that reads its inputs and writes its result once.

    Reductions over images stay alone, and so do copies among convolutions, which are concatenations.
    """
    found: list[Op] = []
    chain: list[Op] = []
    last = ""
    for op in ops:
        last = op.kind if op.kind in PRODUCTS else last
        streams = op.kind in STREAMS and not (op.kind == "cp" and last in _ON_IMAGES)
        if chain and not (streams and op.read_bytes >= 0.99 * chain[-1].write_bytes):
            found.append(_chained(chain))
            chain = []
        if streams:
            chain.append(op)
        else:
            found.append(op)
    return [*found, _chained(chain)] if chain else found


def trained(ops: Sequence[Op]) -> list[Op]:
    """A training step: every operation's passes, and one update of all weights."""
    passes = _TRAINING_PASSES
    found = [
        replace(
            op,
            flops=passes * op.flops,
            read_bytes=passes * op.read_bytes,
            weight_bytes=passes * op.weight_bytes,
            write_bytes=passes * op.write_bytes,
            launches=int(passes) * op.launches,
        )
        for op in ops
    ]
    values = sum(op.weight_bytes for op in ops) / _TRACE_BYTES
    return [*found, Op("opt", read_bytes=_OPTIMIZER_BYTES * values, layer="", launches=_OPTIMIZER_TENSORS)]


def _chained(chain: Sequence[Op]) -> Op:
    extra = sum(max(0.0, after.read_bytes - before.write_bytes) for before, after in pairwise(chain))
    kind = min((_MERGED.get(op.kind, op.kind) for op in chain), key=STREAMS.index)
    return Op(
        kind,
        read_bytes=chain[0].read_bytes + extra,
        weight_bytes=sum(op.weight_bytes for op in chain),
        write_bytes=chain[-1].write_bytes + sum(_kept_bytes(*pair) for pair in pairwise(chain)),
        dims=chain[0].dims,
        layer=chain[-1].layer,
        known=all(op.known for op in chain),
    )


def _kept_bytes(op: Op, after: Op) -> float:
    """What a merged kernel also writes between two of its parts: a sum before a norm goes on beside it."""
    return op.write_bytes if op.kind == "ew2" and after.kind in _NORMS else 0.0


def _widened(op: Op, factor: float) -> Op:
    if factor == 1:
        return op
    return replace(
        op,
        read_bytes=factor * op.read_bytes,
        weight_bytes=factor * op.weight_bytes,
        write_bytes=factor * op.write_bytes,
    )


def _operation(layer: Layer) -> Op:
    values = sum(map(math.prod, layer.inputs))
    share = _TRACE_BYTES / _ROW_BYTES
    activations = min(float(_TRACE_BYTES * values), share * layer.read_bytes) if layer.read_bytes else 0.0
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
    if layer.op in _RECURRENT and layer.inputs:
        steps = layer.inputs[0][0] if layer.inputs[0] else 1
        width = layer.outputs[0][-1] if layer.outputs and layer.outputs[0] else 1
        per = math.prod(layer.inputs[0][1:-1]) if len(layer.inputs[0]) > 2 else 1
        return "mm", (per, _RECURRENT[layer.op] * width, width, 1), 2 * max(steps, 1)
    return _KIND_OF.get(layer.op, "ew"), (0, 0, 0, 0), 1


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
