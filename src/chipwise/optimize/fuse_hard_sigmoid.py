"""clip(x + 3, 0, 6) / 6 becomes HardSigmoid: one operator in the place of three.

ONNX Runtime is 1.2 to 1.3 times faster with it, OpenVINO up to 1.15 times slower: so it is kept only where it was
measured. The formula is found in any order of its factors, with a division or a multiplication.
"""

from __future__ import annotations

import onnx_ir as ir

from chipwise.optimize.fuse_activations import hard_gate
from chipwise.optimize.products import product, replace

LABEL = "close"
_MIN_OPSET = 11  # before, the bounds of Clip were attributes


def apply(model: ir.Model) -> str:
    """Fuse in place."""
    if model.opset_imports.get("", 0) < _MIN_OPSET:
        return ""
    done = sum(_fuse(model.graph, node) for node in reversed(list(model.graph)) if node.op_type in ("Mul", "Div"))
    return f"joined formulas into {done} HardSigmoid" if done else ""


def _fuse(graph: ir.Graph, node: ir.Node) -> bool:
    if node.graph is None or node.domain not in ("", "ai.onnx") or node.outputs[0].dtype != ir.DataType.FLOAT:
        return False
    found = product(node.outputs[0])
    gate = hard_gate(found.over[0]) if found.is_times(1 / 6, 1) else None
    if gate is None:
        return False
    made = ir.node("HardSigmoid", [gate[0]], attributes={"alpha": 1 / 6, "beta": 0.5})
    return replace(graph, (*found.nodes, *gate[1]), [made])
