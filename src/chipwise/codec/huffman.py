"""Canonical Huffman codes, and the published three-stage recipe priced with them.

Han, Mao and Dally (ICLR 2016, "Deep Compression") store a sparse tensor as two streams: the codebook symbols of the
values that are left, and the distance of each to the one before in a few bits, with a filler zero where it is longer.
Both streams are Huffman coded. This is the yardstick for the context-modelled coder of `.cwz` files.

>>> code = lengths([0, 0, 0, 1, 2], 3)
>>> code, decode(encode([0, 2, 1], code), code, 3)
([1, 2, 2], [0, 2, 1])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chipwise.core.errors import InputError

LONGEST = 24  # bits of a code; longer ones would never pay
_LENGTH_BITS = 5  # what a table spends on the length of each symbol's code


def lengths(symbols: Sequence[int], size: int, longest: int = LONGEST) -> list[int]:
    """Lengths of the best code in which no word is longer than `longest`; 0 for symbols that do not occur.

    Args:
        symbols: each 0..size-1.
        size: of the alphabet.
        longest: bits; 2 to that power must reach the number of symbols that occur.

    Package-merge (Larmore and Hirschberg, JACM 1990): exact, also where the limit binds.
    """
    counts = np.bincount(np.asarray(symbols, np.int64), minlength=size).tolist()
    used = sorted((count, symbol) for symbol, count in enumerate(counts) if count)
    found = [0] * size
    if len(used) == 1:
        found[used[0][1]] = 1
    if len(used) < 2:
        return found
    if len(used) > 1 << longest:
        raise InputError(f"{len(used)} symbols have no codes of {longest} bits")
    leaves = [(count, (symbol,)) for count, symbol in used]
    packages: list[tuple[int, tuple[int, ...]]] = []
    for _ in range(longest):
        merged = sorted([*leaves, *packages], key=lambda each: each[0])
        packages = [
            (one[0] + other[0], one[1] + other[1]) for one, other in zip(merged[::2], merged[1::2], strict=False)
        ]
    for _, held in packages[: len(used) - 1]:
        for symbol in held:
            found[symbol] += 1
    return found


def codes(code_lengths: Sequence[int]) -> dict[int, tuple[int, int]]:
    """The canonical code: symbol to (word, bits), shorter words first, then smaller symbols."""
    words: dict[int, tuple[int, int]] = {}
    word, before = 0, 0
    for bits, symbol in sorted((bits, symbol) for symbol, bits in enumerate(code_lengths) if bits):
        word <<= bits - before
        words[symbol] = (word, bits)
        word, before = word + 1, bits
    return words


def encode(symbols: Sequence[int], code_lengths: Sequence[int]) -> bytes:
    """Write symbols, first bit highest; zeros fill the last byte.

    Raises:
        KeyError: a symbol has no code.
    """
    words = codes(code_lengths)
    pairs = [words[symbol] for symbol in symbols]
    text = "".join(f"{word:0{bits}b}" for word, bits in pairs)
    padded = text + "0" * (-len(text) % 8)
    return int(padded, 2).to_bytes(len(padded) // 8, "big") if padded else b""


def decode(data: bytes, code_lengths: Sequence[int], count: int) -> list[int]:
    """Read `count` symbols.

    Raises:
        InputError: the data end too early, or hold a word that is in no code.
    """
    symbols = {(bits, word): symbol for symbol, (word, bits) in codes(code_lengths).items()}
    longest = max(code_lengths, default=0)
    found: list[int] = []
    word = bits = 0
    ahead = (byte >> (7 - place) & 1 for byte in data for place in range(8))
    while len(found) < count:
        bit = next(ahead, None)
        if bit is None or bits >= longest:
            raise InputError("the Huffman codes end too early or are damaged")
        word, bits = word << 1 | bit, bits + 1
        symbol = symbols.get((bits, word))
        if symbol is not None:
            found.append(symbol)
            word = bits = 0
    return found


def to_runs(symbols: NDArray[np.integer], run_bits: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split a sparse tensor into distances and values, as the recipe stores it.

    Args:
        symbols: any shape; 0 is the exact zero.
        run_bits: of a distance; one of 2^run_bits positions ahead can be reached.

    Returns:
        Zeros before each stored value (0..2^run_bits - 1), and the values, fillers (0) among them.
    """
    flat = np.asarray(symbols, np.int64).ravel()
    places = np.flatnonzero(flat)
    gaps = np.diff(places, prepend=-1) - 1
    reach = 1 << run_bits
    fillers = gaps // reach
    ends = np.cumsum(fillers + 1) - 1
    runs = np.full(int(ends[-1]) + 1 if len(ends) else 0, reach - 1, np.int64)
    values = np.zeros(len(runs), np.int64)
    runs[ends], values[ends] = gaps % reach, flat[places]
    return runs, values


def from_runs(runs: NDArray[np.int64], values: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Put the tensor together again.

    Raises:
        InputError: a value lies past its end.
    """
    flat = np.zeros(int(np.prod(shape)), np.int64)
    places = np.cumsum(runs + 1) - 1
    if len(places) and places[-1] >= flat.size:
        raise InputError("a value lies past the end of its tensor")
    flat[places] = values
    return flat.reshape(shape)


@dataclass(frozen=True, slots=True)
class HuffmanPrice:
    """Bits of a tensor under the recipe: of the values, of the distances, and of both code tables.

    `stored` counts the values with the fillers among them.
    """

    values: int
    indices: int
    tables: int
    stored: int
    run_bits: int

    @property
    def total(self) -> int:
        """All bits."""
        return self.values + self.indices + self.tables


def huffman_bits(symbols: NDArray[np.integer], run_bits: int = 5) -> HuffmanPrice:
    """What the published recipe spends on a tensor of symbols, 0 the exact zero; other symbols any integers.

    The paper takes distances of 8 bits for convolutions and 5 for fully connected layers (its SqueezeNet file: 4).
    """
    runs, values = to_runs(symbols, run_bits)
    kinds, ranks = np.unique(values, return_inverse=True)
    spent = []
    for stream, size in ((ranks, len(kinds)), (runs, 1 << run_bits)):
        code = lengths(stream.tolist(), size)
        spent.append(int(np.dot(np.bincount(stream, minlength=size), code)) if len(stream) else 0)
    tables = _LENGTH_BITS * (len(kinds) + (1 << run_bits))
    return HuffmanPrice(spent[0], spent[1], tables, len(values), run_bits)
