"""Remove what does nothing in inference: Identity, Dropout, a second Relu, casts and transposes that change nothing.

A Dropout whose training input may be true, or whose mask is read, is left alone. The cast and transpose rules are
onnxscript's.
"""

from __future__ import annotations

import onnx_ir as ir
import onnx_ir.passes.common as ir_passes
from onnxscript.rewriter import RewriteRuleSet
from onnxscript.rewriter.rules.common import no_op_cast_rule, no_op_transpose_rule

from chipwise.optimize.rewrite import bypass, is_op

LABEL = "exact"


def apply(model: ir.Model) -> str:
    """Drop the no-ops in place; the number of nodes never grows."""
    before = len(model.graph)
    for node in list(model.graph):
        if node.op_type == "Dropout" and node.domain == "" and _is_inference(node):
            same = ir.node("Identity", [node.inputs[0]])
            ir.convenience.replace_nodes_and_values(
                model.graph, node, [node], [same], [node.outputs[0]], [same.outputs[0]]
            )
        elif is_op(node, "Relu") and node.inputs[0] is not None and is_op(node.inputs[0].producer(), "Relu"):
            bypass(model.graph, node, node.inputs[0])  # as is left of a residual block that is gone
    RewriteRuleSet([no_op_cast_rule, no_op_transpose_rule]).apply_to_model(model)
    ir_passes.IdentityEliminationPass()(model)
    ir_passes.RemoveUnusedNodesPass()(model)
    gone = before - len(model.graph)
    return f"dropped {gone} no-op{'s' if gone != 1 else ''}" if gone > 0 else ""


def _is_inference(node: ir.Node) -> bool:
    """Before opset 12 a Dropout has no training input; since then it is off unless a third input says otherwise."""
    if len(node.outputs) > 1 and (node.outputs[1].uses() or node.outputs[1].is_graph_output()):
        return False
    training = node.inputs[2] if len(node.inputs) > 2 else None
    if training is None:
        return True
    constant = ir.convenience.get_const_tensor(training)
    return constant is not None and not constant.numpy().any()
