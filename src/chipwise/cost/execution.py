"""What really runs of a network's operations under a profile: casts, biases, merged neighbours, training's passes.

>>> from chipwise.core.profile import Profile
>>> eager = Profile("p", "gpu", "torch", "inference", "fp16", False, {}, techniques=("amp",), widths=(2, 4))
>>> [op.kind for op in planned([Op("mm", 2.0, 4, 2, 4, (1, 1, 1, 1)), Op("ln", read_bytes=4, write_bytes=4)], eager)]
['cast', 'mm', 'cast', 'ln']
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from chipwise.core.profile import Profile
from chipwise.cost.ops import CONVOLUTIONS, ON_IMAGES, PRODUCTS, TRACE_BYTES, Op

_BIASED = frozenset({"c1", "ck", "grp", "c1l", "ckl", "grpl"})
# What a fusing compiler merges with its neighbours; the first class named here that a chain holds is the chain's.
STREAMS = ("sm", "lnc", "gn", "ln", "bn", "ew2", "ewb", "ew", "cast", "cp")
# Of the work of convolutions, where channels first is expected to be faster: (1 - 0.8) / (1.358 - 0.8) there.
_GROUPED_SHARE = 0.36
# What streams alike once it is compiled.
_MERGED = {"lnc": "ln", "gn": "ln", "ew2": "ew", "ewb": "ew", "cast": "ew"}
_NORMS = ("ln", "lnc", "gn", "bn", "cast")
_TRAINING_PASSES = 3.0  # forward, gradient of inputs, gradient of weights; a profile's shares absorb the rest
# Gradient read, momentum and weight read and written, in float32.
_OPTIMIZER_BYTES = 20.0
_OPTIMIZER_TENSORS = 1  # PyTorch updates many tensors in one launch


def planned(ops: Sequence[Op], profile: Profile) -> list[Op]:
    """What really runs under `profile`: attention taken apart, casts added, streams merged, training's passes.

    Args:
        ops: eager operations in 2-byte values.
        profile: says how they are run.
    """
    narrow, wide = profile.widths
    weights = sum(op.weight_bytes for op in ops) / TRACE_BYTES
    if profile.attention == "plain":
        ops = [part for op in ops for part in attention_parts(op)]
    ops = laid_out(_groups_told(ops), fused=profile.fused and profile.kind == "gpu")
    if profile.kind == "gpu" and not profile.fused:
        ops = _biases_added(ops)
    ops = refined(ops)
    if wide > narrow:
        ops = mixed(ops)
    elif narrow != TRACE_BYTES:
        ops = [_widened(op, narrow / TRACE_BYTES) for op in ops]
    if profile.fused:
        ops = merged(ops)
    if profile.phase == "training":
        ops = trained(ops, weights)
    return list(ops)


def attention_parts(op: Op) -> list[Op]:
    """Attention as two products, a scaling and a softmax; any other operation as it is."""
    if op.kind != "sdpa":
        return [op]
    queries, keys, depth, heads = op.dims
    scores = TRACE_BYTES * queries * keys * heads
    q_bytes, k_bytes = TRACE_BYTES * queries * depth * heads, TRACE_BYTES * keys * depth * heads
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


def _groups_told(ops: Sequence[Op]) -> list[Op]:
    """Norms over groups of an image's channels (`gn`), which leave its layout alone, apart from those over channels.

    The former stand where batch-norm would: an activation follows at once.
    """
    found, last = [], ""
    for op, after in zip(ops, [*ops[1:], Op("")], strict=True):
        last = op.kind if op.kind in PRODUCTS else last
        unary = after.kind == "ew" and after.read_bytes == after.write_bytes == op.write_bytes
        found.append(replace(op, kind="gn") if op.kind == "ln" and last in ON_IMAGES and unary else op)
    return found


def _biases_added(ops: Sequence[Op]) -> list[Op]:
    """Biases of convolutions as kernels of their own, as cuDNN leaves them to PyTorch; depthwise kernels add theirs."""
    found = []
    for op in ops:
        found.append(op)
        _, n, k, groups = op.dims
        weights = TRACE_BYTES * n * k * groups
        if op.kind in _BIASED and op.weight_bytes > weights > 0:
            moved, bias = op.write_bytes, op.weight_bytes - weights
            found.append(Op("ewb", read_bytes=moved, weight_bytes=bias, write_bytes=moved, layer=op.layer))
    return found


def refined(ops: Sequence[Op]) -> list[Op]:
    """Classes told apart by what stands around them; streams take rows and channels of the product before them."""
    found: list[Op] = []
    last = Op("")
    for op in ops:
        if op.kind in PRODUCTS:
            last = op
        if op.kind in PRODUCTS or op.kind == "ewb":
            found.append(op)
            continue
        kind = op.kind
        if kind == "ln" and last.kind in ON_IMAGES:
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
    return op.weight_bytes > 0 or op.read_bytes > 1.0001 * op.write_bytes


def mixed(ops: Sequence[Op]) -> list[Op]:
    """Automatic mixed precision: products in 2-byte values, normalizations and softmax in 4-byte ones, casts between.

    Weights are kept in 4 bytes and cast at every step. Other operations take the wider of what they read: a tensor and
    a weight (a position, a scale of a layer) give 4 bytes until the next product, and so does a sum with what became
    wide.
    """
    found: list[Op] = []
    width, kept = 2, 2  # of the last value; of what is carried on beside it
    last = ""
    for op in ops:
        last, bias = op.kind, op.kind == "ewb" and last in _BIASED  # convolutions' biases are cast as their weights are
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
        elif op.kind == "ewb" and op.weight_bytes and width == 2 and not bias:
            width = 4
            found.append(replace(op, weight_bytes=2 * op.weight_bytes, write_bytes=2 * op.write_bytes))
        elif op.kind == "ew2":
            first, rest = op.write_bytes * width / 2, (op.read_bytes - op.write_bytes) * kept / 2
            width = kept = max(width, kept)
            found.append(replace(op, read_bytes=first + rest, write_bytes=op.write_bytes * width / 2))
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
        streams = op.kind in STREAMS and not (op.kind == "cp" and last in ON_IMAGES)
        if chain and not (streams and op.read_bytes >= 0.99 * chain[-1].write_bytes):
            found.append(_chained(chain))
            chain = []
        if streams:
            chain.append(op)
        else:
            found.append(op)
    return [*found, _chained(chain)] if chain else found


def trained(ops: Sequence[Op], weights: float) -> list[Op]:
    """A training step: every operation's passes, and one update of so many weights."""
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
    return [*found, Op("opt", read_bytes=_OPTIMIZER_BYTES * weights, layer="", launches=_OPTIMIZER_TENSORS)]


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
