"""A layer whose weights have less than full rank, but for rounding, becomes two thin layers.

    Gemm 1024 -> 1024 of rank 100  =>  MatMul 1024 -> 100, Gemm 100 -> 1024

Adapters merged into weights that were zero, factorized training whose factors were multiplied for export, and
bottlenecks that were collapsed leave such weights. Only where it takes away at least 30% of the multiply-adds of a
layer that is at least 128 wide on both sides: narrower ones were not faster as two. The rank is that of the weights as
[inputs x kernel, outputs] with singular values below 1e-7 of the largest left out, which is what rounding to float32
adds; the factors give the weights back to 1e-6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chipwise.optimize.low_rank import matrix_of, put_factors, surely_full, thin_factors
from chipwise.optimize.rewrite import shape_of

if TYPE_CHECKING:
    import onnx_ir as ir

LABEL = "close"
_SAVED = 0.3
_MIN_WIDTH = 128


def apply(model: ir.Model) -> str:
    """Split in place."""
    before = after = split = 0
    for node in list(model.graph):
        matrix = matrix_of(node)
        if matrix is None or min(_widths(node, matrix.shape)) < _MIN_WIDTH:
            continue
        limit = int((1 - _SAVED) * matrix.size / sum(matrix.shape))
        factors = None if surely_full(matrix, limit) else thin_factors(matrix, limit)
        if factors is None:
            continue
        put_factors(model.graph, node, *factors)
        before, after, split = before + matrix.size, after + sum(each.size for each in factors), split + 1
    layers = f"{split} layer{'s' if split != 1 else ''} of low rank"
    return f"split {layers}, which leaves {after / before:.0%} of their multiply-adds" if split else ""


def _widths(node: ir.Node, shape: tuple[int, ...]) -> tuple[int, int]:
    """Inputs and outputs, without the kernel."""
    kernel = shape_of(node.inputs[1]) if node.op_type == "Conv" else None
    return (kernel[1] or 0 if kernel is not None else shape[0]), shape[1]
