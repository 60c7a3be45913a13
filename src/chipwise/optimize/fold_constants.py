"""Compute now whatever depends on no input: shape arithmetic, reshaped weights, constant branches.

onnxscript's folding, bounded: nothing larger than 4 MiB is made out of something small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir.passes.common as ir_passes
from onnxscript.optimizer import fold_constants_ir

if TYPE_CHECKING:
    import onnx_ir as ir

LABEL = "exact"
_MAX_OUTPUT_ELEMENTS = 1 << 20


def apply(model: ir.Model) -> str:
    """Fold constants in place; constants become initializers, so that later passes see them."""
    before = len(model.graph)
    fold_constants_ir(model, onnx_shape_inference=True, output_size_limit=_MAX_OUTPUT_ELEMENTS)
    ir_passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    ir_passes.RemoveUnusedNodesPass()(model)
    gone = before - len(model.graph)
    return f"folded {gone} constant node{'s' if gone != 1 else ''}" if gone > 0 else ""
