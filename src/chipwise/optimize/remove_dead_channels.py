"""Remove channels that are constant whatever the input, and channels that nothing reads.

Pruning leaves channels whose weights are zero; runtimes multiply with them all the same. A channel that is always the
same value (carried through normalization, activations and pools) goes into the bias of what reads it; one that is only
multiplied with zeros just goes. Both go from all tensors at once that can only be narrowed together: partners of a
residual sum, parts of a concatenation, groups, blocks of features behind a flattened picture.

    Conv 64 -> BatchNorm -> Relu -> Conv   =>   Conv 40 -> BatchNorm -> Relu -> Conv     24 filters were zero
    x + (Conv of zeros)                    =>   x + constant

A constant c that is not zero is no constant summand behind a convolution that pads with zeros: there one such channel
stands for all of them. Liveness as in a compiler's dead-code elimination (Kennedy 1981); grouping as in Fang et al.
2023, "DepGraph: Towards Any Structural Pruning".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as ir_passes

from chipwise.optimize.channels import Channels, dependent, trace
from chipwise.optimize.narrow_channels import narrow
from chipwise.optimize.rewrite import add_weights, bypass, constant, is_op

if TYPE_CHECKING:
    from numpy.typing import NDArray

LABEL = "close"
_MAX_ROUNDS = 100
_NUMPY = {ir.DataType.FLOAT: np.float32, ir.DataType.DOUBLE: np.float64}


def apply(model: ir.Model, step: int = 1) -> str:
    """Remove dead channels in place, until nothing more dies.

    Args:
        model: whose main graph is changed.
        step: each layer keeps a multiple of so many channels, or all it had: the widths that this machine is fast at.
    """
    if any(value.shape is None for node in model.graph for value in node.outputs):
        ir_passes.ShapeInferencePass(check_type=False, strict_mode=False)(model)
    removed = settled = total = 0
    for number in range(_MAX_ROUNDS):
        channels = trace(model)
        if not number:
            total = sum(len(layer.targets) for layer in channels.layers)
        found = _replace_constants(model.graph, channels)
        if found:
            settled += found
            ir_passes.RemoveUnusedNodesPass()(model)
            continue
        gone = narrow(model.graph, channels, kept(channels, step))
        removed += gone
        if not gone:
            break
    done = [f"removed {removed} of {total} channels that are always the same or never read"] if removed else []
    done += [f"replaced {settled} tensor{'s' if settled > 1 else ''} that never change"] if settled else []
    return ", ".join(done)


def kept(channels: Channels, step: int = 1) -> NDArray[np.bool_]:
    """By number: the channels that stay, those that an output depends on and as few others as shapes ask for."""
    live = dependent(channels)
    if live.all():
        return live
    several = [each.ids for each in channels.slices.values() if each.axes]
    before = -1
    while before != (before := int(live.sum())):
        for ids in several:
            _keep_box(live, ids)
        for layer in channels.layers:
            parts = layer.weights.shape[0]
            if parts > 1:
                _keep_groups(live, layer.sources.reshape(parts, -1), layer.targets.reshape(parts, -1))
            width = int(live[layer.targets].sum())
            _revive(live, layer.targets, min(-(-max(width, 1) // step) * step, len(layer.targets)))
    return live


def _keep_box(live: NDArray[np.bool_], ids: NDArray[np.int64]) -> None:
    """At least one slice; where several axes tell slices apart, the same places in each row."""
    stays = live[ids]
    if not stays.any():
        live[ids.flat[0]] = True
        stays = live[ids]
    if sum(size > 1 for size in ids.shape) > 1:
        box = np.ones(ids.shape, bool)
        for axis in range(ids.ndim):
            box &= stays.any(axis=tuple(each for each in range(ids.ndim) if each != axis), keepdims=True)
        live[ids[box]] = True


def _keep_groups(live: NDArray[np.bool_], sources: NDArray[np.int64], targets: NDArray[np.int64]) -> None:
    """As many inputs in each group that stays, and as many outputs."""
    stay = live[sources].any(axis=1) | live[targets].any(axis=1)
    for ids in (sources, targets):
        width = max(int(live[ids[stay]].sum(axis=1).max(initial=0)), 1)
        for row in ids[stay]:
            _revive(live, row, width)


def _revive(live: NDArray[np.bool_], ids: NDArray[np.int64], width: int) -> None:
    """Keep some that could go, the first ones, until there are so many."""
    while (missing := width - int(live[ids].sum())) > 0:
        dead = ids[~live[ids]]
        live[dead[:missing]] = True


def _replace_constants(graph: ir.Graph, channels: Channels) -> int:
    """Read a constant instead of a partner that never changes, as a residual branch of zeros."""
    found = 0
    for node in list(graph):
        if not is_op(node, "Add", "Sub", "Mul", "Div") or len(node.inputs) != 2:
            continue
        for index, value in enumerate(node.inputs):
            other = node.inputs[1 - index]
            if value is None or other is None or value not in channels.slices or constant(value) is not None:
                continue
            known = channels.slices[value].constant
            if np.isnan(known).any() or value.dtype not in _NUMPY or not _same_shape(value, other):
                continue
            if (index or node.op_type == "Add") and node.op_type in ("Add", "Sub") and not known.any():
                bypass(graph, node, other)
            else:
                node.replace_input_with(index, add_weights(graph, known.astype(_NUMPY[value.dtype]), "never_changes"))
            found += 1
            break
    return found


def _same_shape(value: ir.Value, other: ir.Value) -> bool:
    """True when broadcasting one dimension of `value` can only give what `other` is."""
    if value.shape is None or other.shape is None or len(value.shape) != len(other.shape):
        return False
    pairs = zip(value.shape, other.shape, strict=True)
    return all(left == right and getattr(left, "value", left) is not None for left, right in pairs)
