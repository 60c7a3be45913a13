"""Take initializers out of the graph's inputs, as files of ONNX IR version 3 list them.

A runtime must assume that such a weight may be replaced at every call, and then folds and packs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir.passes.common as ir_passes

if TYPE_CHECKING:
    import onnx_ir as ir

LABEL = "exact"


def apply(model: ir.Model) -> str:
    """Freeze in place; the inputs that are left are the ones a caller must give."""
    before = len(model.graph.inputs)
    ir_passes.RemoveInitializersFromInputsPass()(model)
    frozen = before - len(model.graph.inputs)
    model.ir_version = max(model.ir_version, 4)
    return f"froze {frozen} weight{'s' if frozen != 1 else ''} that the file lists as inputs" if frozen else ""
