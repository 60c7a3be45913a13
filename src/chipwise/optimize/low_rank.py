"""Layers as matrices, and matrices as products of two thin ones: what `split_low_rank` and `factor_low_rank` share.

>>> thin = thin_factors(np.outer(np.arange(1.0, 9), np.arange(1.0, 7)), limit=3)
>>> thin[0].shape, thin[1].shape
((8, 1), (1, 6))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from chipwise.optimize.rewrite import add_weights, floats, integer, is_op, swap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[Any]

_SMALL = 1024  # a side up to which the whole decomposition takes less than a second
_ROUNDING = 1e-7  # singular values below this share of the largest are what rounding to float32 leaves
_LEFT = 1e-6  # of the norm: more than this means that the search for the range missed something
_MAX_WORK = 4e11  # multiply-adds of a decomposition, half a minute or so


def matrix_of(node: ir.Node) -> Matrix | None:
    """The constant weights of a layer as [inputs, outputs]; None for other nodes, and convolutions with groups."""
    weights = floats(node.inputs[1]) if len(node.inputs) > 1 else None
    if weights is None or node.inputs[0] is None:
        return None
    if is_op(node, "MatMul") and weights.ndim == 2:
        return weights
    if is_op(node, "Gemm") and weights.ndim == 2 and not integer(node, "transA", 0):
        return weights.T if integer(node, "transB", 0) else weights
    if is_op(node, "Conv") and weights.ndim > 2 and integer(node, "group", 1) == 1:
        return weights.reshape(len(weights), -1).T
    return None


def put_factors(graph: ir.Graph, node: ir.Node, left: Matrix, right: Matrix) -> None:
    """Put two layers in the place of one whose matrix is `left @ right`; the first has no bias."""
    first_weights, second_weights = left, right
    weights = floats(node.inputs[1])
    assert weights is not None, "matrix_of read it"
    kind = "MatMul"
    attributes: list[ir.Attr] = []
    if node.op_type == "Conv":
        kind = "Conv"
        first_weights = left.T.reshape(left.shape[1], *weights.shape[1:])
        second_weights = right.T.reshape(right.shape[1], right.shape[0], *(1,) * (weights.ndim - 2))
        attributes = list(node.attributes.values())
    elif integer(node, "transB", 0):
        second_weights = right.T
    inputs = [node.inputs[0], add_weights(graph, first_weights.astype(weights.dtype), "left")]
    first = ir.Node("", kind, inputs, attributes)
    rest = [] if node.op_type == "Conv" else list(node.attributes.values())
    second = [first.outputs[0], add_weights(graph, second_weights.astype(weights.dtype), "right"), *node.inputs[2:]]
    swap(graph, node, [node], [first, ir.Node("", node.op_type, second, rest)])


def thin_factors(matrix: Matrix, limit: int, energy: float | None = None) -> tuple[Matrix, Matrix] | None:
    """Two factors of a matrix, of the smallest rank that will do.

    Wide matrices are searched with random vectors, twice as many each time (Halko, Martinsson, Tropp 2011, algorithm
    4.3 with one power iteration), so that the time goes with the rank.

    Args:
        matrix: [m, n], finite or not.
        limit: the largest rank that is of use.
        energy: the share of the sum of squares to keep; None to keep all but what rounding to float32 left.

    Returns:
        [m, rank] and [rank, n]; None where that takes more than `limit`.
    """
    if limit < 1 or not np.isfinite(matrix).all() or not matrix.any():
        return None
    full = matrix.astype(np.float64) if energy is None else matrix
    if min(full.shape) <= _SMALL:
        return _cut(np.linalg.svd(full, full_matrices=False), full, limit, energy)
    tried = 32
    while True:
        tried = min(tried * 2, *full.shape)
        if 3.0 * full.size * tried > _MAX_WORK:
            return None
        basis = _range(full, tried)
        inner, sizes, right = np.linalg.svd(basis.T @ full, full_matrices=False)
        found = _cut((basis @ inner, sizes, right), full, limit, energy)
        if found is not None or tried >= limit + 1 or tried == min(full.shape):
            return found


def _range(full: Matrix, columns: int) -> Matrix:
    rng = np.random.default_rng(0)
    probe = full @ rng.standard_normal((full.shape[1], columns)).astype(full.dtype)
    probe = full @ (full.T @ np.linalg.qr(probe)[0])
    basis: Matrix = np.linalg.qr(probe)[0]
    return basis


def _cut(
    parts: tuple[Matrix, Matrix, Matrix], full: Matrix, limit: int, energy: float | None
) -> tuple[Matrix, Matrix] | None:
    """Keep the largest singular values that are needed, half of each on either side."""
    left, sizes, right = parts
    whole = float(np.square(full, dtype=np.float64).sum())
    kept = np.cumsum(np.square(sizes, dtype=np.float64))
    if energy is None:
        rank = int((sizes > _ROUNDING * sizes[0]).sum())
    else:
        rank = int(np.searchsorted(kept, energy * whole * (1 - 1e-12))) + 1
    if rank > min(limit, len(sizes)):
        return None
    root = np.sqrt(sizes[:rank])
    thin = left[:, :rank] * root, root[:, None] * right[:rank]
    if energy is None and np.linalg.norm(thin[0] @ thin[1] - full) > _LEFT * np.sqrt(whole):
        return None
    return thin


def surely_full(matrix: Matrix, rank: int) -> bool:
    """A quick look whether the rank is larger than `rank`, so that most networks cost nothing.

    So many rows are independent when the Gram matrix of theirs has a Cholesky factor without a small pivot. Rows and
    columns are taken evenly; True is sure, False is not.
    """
    rows, columns = matrix.shape
    wanted = rank + 1
    if wanted > min(rows, columns):
        return False
    wide = min(columns, wanted + max(wanted // 4, 16))
    block = matrix[np.linspace(0, rows - 1, wanted).astype(int)][:, np.linspace(0, columns - 1, wide).astype(int)]
    block = block.astype(np.float32)
    sizes = np.linalg.norm(block, axis=1)
    if not np.isfinite(sizes).all() or not sizes.all():
        return False
    block /= sizes[:, None]
    try:
        pivots = np.diagonal(np.linalg.cholesky(block @ block.T))
    except np.linalg.LinAlgError:
        return False
    return bool(pivots.min() > 0.01)
