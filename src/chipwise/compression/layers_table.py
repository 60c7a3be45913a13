"""The published table of a compressed network, layer by layer: weights left, bits, bytes after each stage.

Columns as in S. Han, H. Mao, W. Dally, "Deep compression", ICLR 2016, tables 2 to 5.

>>> _bytes(9)
2
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from chipwise.codec.huffman import huffman_bits
from chipwise.codec.small_tensor import from_values
from chipwise.core.compression import CompressedLayer
from chipwise.training.trainable import parameters

if TYPE_CHECKING:
    import onnx_ir as ir

    from chipwise.core.ledger import Ledger

_RUN_BITS = {4: 8, 2: 5}  # of a position, by the rank of the weight: convolutions and matrices, as published


def layer_rows(before: ir.Model, after: ir.Model, ledger: Ledger, bits: int) -> tuple[CompressedLayer, ...]:
    """A row for each layer with weights.

    Args:
        before: the source's graph.
        after: the compressed one, whose layers are some of it, in the same order.
        ledger: of the file, whose tensors stand in the graph's order.
        bits: of a weight's value.
    """
    source, small = list(parameters(before)[0].items()), parameters(after)[0]
    matched = len(source) == len(small)
    spent = [row for row in ledger.rows if len(row.shape) > 1]
    rows = []
    for number, (name, values) in enumerate(small.items()):
        price = huffman_bits(_symbols(values), _RUN_BITS.get(values.ndim, 5))
        kept = int(np.count_nonzero(values))
        run_bits = price.run_bits
        rows.append(
            CompressedLayer(
                name=source[number][0] if matched else name,
                shape=tuple(values.shape),
                before=source[number][1].size if matched else 0,
                kept=kept,
                bits=bits,
                index_bits=run_bits,
                pruned_bytes=_bytes(price.stored * (32 + run_bits)),
                quantized_bytes=_bytes(price.stored * (bits + run_bits)) + 4 * 2**bits,
                huffman_bytes=_bytes(price.total) + 4 * 2**bits,
                file_bytes=spent[number].size_bytes if number < len(spent) else 0,
            )
        )
    return tuple(rows)


def _symbols(
    values: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    held = from_values("", values)
    return np.zeros(values.shape, np.int64) if held.symbols is None else held.symbols.astype(np.int64)


def _bytes(bits: int) -> int:
    return math.ceil(bits / 8)
