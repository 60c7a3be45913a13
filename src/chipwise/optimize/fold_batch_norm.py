"""Fold batch normalization into the layers before it, or into all that read it.

BN(x) = x * s + t, with s = gamma / sqrt(var + eps) and t = beta - mean * s (Jacob et al. 2018, section 3.2).

    Conv, ConvTranspose, Gemm, MatMul [+ Add] -> BN   =>  W s, b s + t    also from behind a MaxPool, AveragePool, ...
    BN -> Conv, Gemm, MatMul                          =>  W s, b + W t    a padded Conv only where t is zero
    Concat(Conv, Conv) -> BN                          =>  each takes its channels
    BN -> BN                                          =>  BN

One that is neither stays: a multiplication and an addition in its place are no faster. onnxscript's rules for this are
not used: they fold what is in training, ignore `spatial`, mix element types and know none but the first line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from chipwise.optimize.affine import Affine, rank_of
from chipwise.optimize.rescale import ahead, behind, commit
from chipwise.optimize.rewrite import bypass, is_op
from chipwise.optimize.scalable_layers import norm_of, scalable

if TYPE_CHECKING:
    import onnx_ir as ir

LABEL = "close"


def apply(model: ir.Model) -> str:
    """Fold every batch normalization that can be folded, in place."""
    graph = model.graph
    norms = [node for node in graph if is_op(node, "BatchNormalization")]
    folded = sum(_fold(graph, node) for node in norms)
    return f"folded {folded} batch-norm{'s' if folded != 1 else ''} into layers around" if folded else ""


def _fold(graph: ir.Graph, node: ir.Node) -> bool:
    x = node.inputs[0] if scalable(node) is not None else None
    rank = rank_of(x)
    if x is None or rank is None or rank < 2:
        return False
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        scale, shift = norm_of(node)
    if not (np.isfinite(scale).all() and np.isfinite(shift).all()):
        return False
    affine = Affine.of(scale, shift, rank - 2)
    if commit(graph, behind(x, affine)):
        now = node.inputs[0]  # an addition may stand behind what was x
        assert now is not None, "a batch normalization reads something"
        bypass(graph, node, now)
        return True
    if commit(graph, ahead(node.outputs[0], affine, graph)):
        bypass(graph, node, x)
        return True
    return False
