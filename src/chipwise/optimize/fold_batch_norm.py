"""Fold batch normalization into the convolution or matrix product before it.

W' = W * gamma / sqrt(var + eps), b' = (b - mean) * gamma / sqrt(var + eps) + beta (Jacob et al. 2018, section 3.2).
The rules are onnxscript's; they leave a convolution alone whose weights are shared or whose output has other readers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxscript.rewriter import RewriteRuleSet
from onnxscript.rewriter.rules.common import (
    fuse_batchnorm_into_conv_rule,
    fuse_batchnorm_into_conv_transpose_rule,
    fuse_batchnorm_into_gemm_rule,
)

if TYPE_CHECKING:
    import onnx_ir as ir

LABEL = "close"


def apply(model: ir.Model) -> str:
    """Fold every batch normalization that can be folded, in place."""
    before = _count(model)
    rules = [fuse_batchnorm_into_conv_rule, fuse_batchnorm_into_conv_transpose_rule, fuse_batchnorm_into_gemm_rule]
    RewriteRuleSet(rules).apply_to_model(model)
    folded = before - _count(model)
    return f"folded {folded} batch-norm{'s' if folded != 1 else ''} into the layer before" if folded else ""


def _count(model: ir.Model) -> int:
    return sum(node.op_type == "BatchNormalization" for node in model.graph)
