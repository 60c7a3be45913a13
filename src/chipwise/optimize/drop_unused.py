"""Remove nodes, functions, initializers and opset imports that nothing reads, and merge equal initializers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir.passes.common as ir_passes

if TYPE_CHECKING:
    import onnx_ir as ir

LABEL = "exact"


def apply(model: ir.Model) -> str:
    """Drop the unused, in place."""
    before = len(model.graph) + len(model.graph.initializers)
    ir_passes.DeduplicateInitializersPass()(model)
    ir_passes.RemoveUnusedNodesPass()(model)
    ir_passes.RemoveUnusedFunctionsPass()(model)  # type: ignore[no-untyped-call]
    ir_passes.RemoveUnusedOpsetsPass()(model)
    gone = before - len(model.graph) - len(model.graph.initializers)
    return f"dropped {gone} unused value{'s' if gone != 1 else ''}" if gone > 0 else ""
