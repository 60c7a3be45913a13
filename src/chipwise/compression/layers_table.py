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
    from collections.abc import Mapping

    import onnx_ir as ir

    from chipwise.core.ledger import Ledger

_RUN_BITS = {4: 8, 2: 5}  # of a position, by the rank of the weight: convolutions and matrices, as published
_FLOAT_BITS = 32


def layer_rows(
    before: ir.Model, after: ir.Model, ledger: Ledger, usual: int, chosen: Mapping[str, int] | None = None
) -> tuple[CompressedLayer, ...]:
    """A row for each layer with weights.

    Args:
        before: the source's graph.
        after: the compressed one, whose layers are some of it, in the same order.
        ledger: of the file, whose tensors stand in the graph's order.
        usual: bits of a weight's value; 32 where all values were kept, and then sizes are of the file's coder alone.
        chosen: those of layers that have others, by initializer.
    """
    of_layer = chosen or {}
    in_order = list(of_layer.values())
    source, small = list(parameters(before)[0].items()), parameters(after)[0]
    matched = len(source) == len(small)
    spent = [row for row in ledger.rows if len(row.shape) > 1]
    rows = []
    for number, (own, values) in enumerate(small.items()):
        # A layer that lost channels since has another name.
        bits = in_order[number] if len(in_order) == len(small) else of_layer.get(own, usual)
        kept = int(np.count_nonzero(values))
        had = source[number][1].size if matched else 0
        name = source[number][0] if matched else own
        took = spent[number].size_bytes if number < len(spent) else 0
        if bits == _FLOAT_BITS:
            rows.append(CompressedLayer(name, tuple(values.shape), had, kept, bits, 0, *(values.nbytes,) * 3, took))
            continue
        price = huffman_bits(_symbols(values), _RUN_BITS.get(values.ndim, 5))
        run_bits = price.run_bits
        rows.append(
            CompressedLayer(
                name=name,
                shape=tuple(values.shape),
                before=had,
                kept=kept,
                bits=bits,
                index_bits=run_bits,
                pruned_bytes=_bytes(price.stored * (32 + run_bits)),
                quantized_bytes=_bytes(price.stored * (bits + run_bits)) + 4 * 2**bits,
                huffman_bytes=_bytes(price.total) + 4 * 2**bits,
                file_bytes=took,
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
