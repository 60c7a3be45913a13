"""What symbols of sparse networks cost under each coder, against the ideal of the model and against general packers.

    python benchmarks/entropy_coders.py
    python benchmarks/entropy_coders.py --prototxt deploy.prototxt --net compressed_SqueezeNet.net

Two kinds of symbols: tables made by seed like LeNet-5 after hard pruning (rows, channels and columns of other density),
and, where its files are given, those of the published Deep Compression SqueezeNet. zstd -19, bz2 and lzma get a
byte a symbol, all tensors in one piece. The Huffman price is that of the published recipe (distances of 4, 5 or 8 bits,
whichever is the shortest for the tensor), code tables included. The last line on stdout is one JSON document. Exit code
1 when a coder is more than 2% above the ideal of its model, or not better than zstd and bz2.
"""

from __future__ import annotations

import bz2
import lzma
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from chipwise.codec.block_coder import decode_blocks, encode_blocks, ideal_bits
from chipwise.codec.huffman import huffman_bits
from chipwise.codec.queue_coder import has_constriction
from chipwise.codec.range_coder import IdealLength, RangeDecoder, RangeEncoder
from chipwise.codec.small_tensor import from_values
from chipwise.codec.symbol_coder import code_symbols, layout_of
from chipwise.networks.load import load
from document import command_line, give, here

Table = NDArray[np.int32]
_SLOW = 40_000  # symbols: of SqueezeNet, only tensors up to this size go through the reference coder
_WORST = 1.02  # of the ideal


def main() -> int:
    """Price everything."""
    parser = command_line(__doc__)
    parser.add_argument("--prototxt", type=Path)
    parser.add_argument("--net", type=Path)
    asked = parser.parse_args()
    sets = {"lenet-like": lenet_like()}
    if asked.net is not None:
        sets["squeezenet"] = squeezenet(asked.prototxt, asked.net)
    found: dict[str, Any] = {}
    ok = True
    for name, tables in sets.items():
        small = [table for table in tables if name == "lenet-like" or table.size <= _SLOW]
        rows = {"reference": priced(small, reference)}
        if has_constriction():
            rows["blocks"] = priced(tables, blocks)
        found[name] = rows
        for row in rows.values():
            best = min(row["others_bytes"][other] for other in ("zstd-19", "bz2"))
            ok &= row["bytes"] * 8 <= _WORST * row["ideal_bits"] and row["bytes"] < best
    give("entropy_coders", {"ok": ok, "sets": found, **here()}, asked.output)
    return 0 if ok else 1


def lenet_like(seed: int = 0) -> list[Table]:
    """Four tables of LeNet-5's shapes and 3-bit symbols: log-odds are a row's plus a channel's plus a column's."""
    draw = np.random.default_rng(seed)
    made = []
    for shape, share in (((20, 1, 5, 5), 0.35), ((50, 20, 5, 5), 0.06), ((500, 800), 0.008), ((10, 500), 0.12)):
        rows, columns = shape[0], int(np.prod(shape[1:]))
        period = 25 if len(shape) == 4 else 16 if columns == 800 else 1
        odds = 1.2 * draw.standard_normal((rows, 1)) + 0.7 * draw.standard_normal(columns)
        odds = odds + np.repeat(draw.standard_normal(-(-columns // period)), period)[:columns]
        low, high = -30.0, 10.0
        for _ in range(60):  # the intercept at which the mean density is the one that is wanted
            middle = (low + high) / 2
            low, high = (middle, high) if (1 / (1 + np.exp(-odds - middle))).mean() < share else (low, middle)
        kept = draw.random((rows, columns)) < 1 / (1 + np.exp(-odds - low))
        sizes = np.minimum(draw.geometric(0.7, (rows, columns)), 3)
        made.append((kept * sizes * draw.choice((-1, 1), (rows, columns))).astype(np.int32).reshape(shape))
    return made


def squeezenet(prototxt: Path, net: Path) -> list[Table]:
    """Symbols of every convolution of the published file."""
    graph = load(str(prototxt), weights=net).graph
    assert graph is not None
    arrays = [value.const_value.numpy() for value in graph.graph.initializers.values() if value.const_value is not None]
    tensors = [from_values("w", array) for array in arrays if array.ndim > 1]
    return [tensor.symbols for tensor in tensors if tensor.symbols is not None]


def reference(tables: list[Table]) -> dict[str, Any]:
    """The context-mixing coder in plain Python."""
    layouts, before = [], [0] * 0
    ideal = IdealLength()
    for table in tables:
        layouts.append(layout_of(table.shape, before))
        _, before = code_symbols(ideal, table.ravel().tolist(), layouts[-1])
    encoder = RangeEncoder()
    started = time.perf_counter()
    for table, layout in zip(tables, layouts, strict=True):
        code_symbols(encoder, table.ravel().tolist(), layout)
    data = encoder.finish()
    written = time.perf_counter()
    decoder = RangeDecoder(data)
    back = [code_symbols(decoder, [0] * table.size, layout)[0] for table, layout in zip(tables, layouts, strict=True)]
    read = time.perf_counter()
    assert all(found == table.ravel().tolist() for found, table in zip(back, tables, strict=True))
    return {"bytes": len(data), "ideal_bits": ideal.bits, "encode_s": written - started, "decode_s": read - written}


def blocks(tables: list[Table]) -> dict[str, Any]:
    """The fast coder, through constriction."""
    flat = [table.reshape(table.shape[0], -1) for table in tables]
    ends = [(max(0, -int(table.min())), max(0, int(table.max()))) for table in flat]
    ideal = sum(ideal_bits(table, *end) for table, end in zip(flat, ends, strict=True))
    started = time.perf_counter()
    words = [encode_blocks(table, *end) for table, end in zip(flat, ends, strict=True)]
    written = time.perf_counter()
    back = [decode_blocks(each, table.shape, *end)[0] for each, table, end in zip(words, flat, ends, strict=True)]
    read = time.perf_counter()
    assert all((found == table).all() for found, table in zip(back, flat, strict=True))
    size = sum(4 * len(each) for each in words)
    return {"bytes": size, "ideal_bits": ideal, "encode_s": written - started, "decode_s": read - written}


def priced(tables: list[Table], coder: Callable[[list[Table]], dict[str, Any]]) -> dict[str, Any]:
    """A coder's numbers with what the others take for the same symbols."""
    found = coder(tables)
    symbols = sum(table.size for table in tables)
    plain = b"".join(table.astype(np.int8 if abs(table).max() < 128 else np.int16).tobytes() for table in tables)
    others = {
        "huffman": sum(min(huffman_bits(table, bits).total for bits in (4, 5, 8)) for table in tables) // 8,
        "zstd-19": len(zstandard.ZstdCompressor(level=19).compress(plain)),
        "bz2": len(bz2.compress(plain, 9)),
        "lzma": len(lzma.compress(plain, preset=9 | lzma.PRESET_EXTREME)),
    }
    return {
        "symbols": symbols,
        "nonzero": int(sum((table != 0).sum() for table in tables)),
        **found,
        "bits_per_symbol": 8 * found["bytes"] / symbols,
        "over_ideal": 8 * found["bytes"] / found["ideal_bits"],
        "decode_symbols_per_s": symbols / found["decode_s"],
        "decode_mb_per_s_of_float32": 4e-6 * symbols / found["decode_s"],
        "others_bytes": others,
        "times_smaller_than": {name: size / found["bytes"] for name, size in others.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
