"""The fast coder of `.cwz` tensors: blocks of rows, each coded at once with chances counted in the blocks before.

It knows less than the reference coder (nothing of neighbours, nothing of the block itself) and is a hundred times
faster through constriction, which codes many symbols a call. Chances are whole numbers, so that the plain decoder of
`queue_coder` reads the same files without it.

>>> import numpy as np
>>> table = np.array([[0, 0, 2, 0], [0, -1, 2, 0]])
>>> words = encode_blocks(table, 1, 2, plain=True)
>>> decode_blocks(words, (2, 4), 1, 2)[0].tolist()
[[0, 0, 2, 0], [0, -1, 2, 0]]
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from chipwise.codec import queue_coder
from chipwise.codec.queue_coder import Batch, Decoder, Words, frequencies
from chipwise.core.errors import InputError

Table = NDArray[np.int32]
FIRST, LARGEST = 512, 16_384  # values of the first block, and of the largest: each is twice the one before
_ROW_CLASSES, _COLUMN_CLASSES = 16, 24  # of density, half a power of two each
_FIRST_SEEN = 32  # sightings that a context begins with, at the density that its class of row stands for
_PRIOR = 8  # sightings that the mean density counts for in a column's
WIDEST = 4096  # symbols of one table


class Flow(Protocol):
    """Either direction: takes the symbols to write, or gives as many as are asked for; places or values."""

    def code(self, symbols: Table, table: list[int], *, places: bool = True) -> Table:
        """Symbols that follow one table of frequencies."""


class _Writing:
    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def code(self, symbols: Table, table: list[int], *, places: bool = True) -> Table:  # noqa: ARG002
        if len(table) > 1:  # one kind of symbol says nothing, and constriction has no such table
            self.batches.append((symbols, table))
        return symbols


class _Reading:
    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.bits = {True: 0.0, False: 0.0}

    def code(self, symbols: Table, table: list[int], *, places: bool = True) -> Table:
        if not len(symbols) or len(table) == 1:
            return np.zeros(len(symbols), np.int32)
        found = self.decoder.decode(table, len(symbols))
        self.bits[places] += _cost(found, table)
        return found


def encode_blocks(table: NDArray[np.integer], negative: int, positive: int, *, plain: bool = False) -> Words:
    """Code a table of symbols from -negative to positive; `plain` does without constriction.

    Raises:
        MissingExtraError: constriction is not installed. InputError: the symbols are too many kinds.
    """
    flow = _Writing()
    _code(flow, np.array(table, np.int32), negative, positive)
    return queue_coder.encode(flow.batches, plain=plain)


def ideal_bits(table: NDArray[np.integer], negative: int, positive: int) -> float:
    """What the model says that a table costs: the lower bound for any coder with these chances."""
    flow = _Writing()
    _code(flow, np.array(table, np.int32), negative, positive)
    return sum(_cost(np.asarray(symbols), frequencies_) for symbols, frequencies_ in flow.batches)


def _cost(symbols: Table, table: list[int]) -> float:
    """Bits of symbols under one table of frequencies."""
    return float((queue_coder.PRECISION - np.log2(np.array(table, float)))[symbols].sum())


def decode_blocks(
    words: Words, shape: tuple[int, int], negative: int, positive: int, *, plain: bool = False
) -> tuple[Table, float]:
    """Read a table of this shape again, with constriction where it is installed.

    Returns:
        The table, and which share of the bits says where it is not zero.

    Raises:
        InputError: the words are damaged.
    """
    decoder = queue_coder.QueueDecoder(words) if plain else queue_coder.decoder(words)
    table = np.zeros(shape, np.int32)
    flow = _Reading(decoder)
    _code(flow, table, negative, positive)
    return table, flow.bits[True] / max(1.0, sum(flow.bits.values()))


@dataclass
class _Counts:
    """How often what was seen, in the blocks before this one."""

    rows: NDArray[np.int64]  # by class of row
    places: NDArray[np.int64]  # by class of row, class of column, zero or not
    values: NDArray[np.int64]  # by symbol, without the zero
    column: NDArray[np.int64]  # of each column, not zero
    seen: int = 0  # rows


def _code(flow: Flow, table: Table, negative: int, positive: int) -> None:
    """Code block after block; a reading flow fills the table."""
    if not 0 < negative + positive <= WIDEST:
        raise InputError(f"symbols of {negative + positive} kinds have no block code")
    rows, columns = table.shape
    ones = [math.isqrt(_FIRST_SEEN**2 >> _ROW_CLASSES - each) if each else 0 for each in range(_ROW_CLASSES)]
    begun = np.array([[_FIRST_SEEN - one, one] for one in ones], np.int64)
    counts = _Counts(
        np.zeros(_ROW_CLASSES, np.int64),
        np.repeat(begun[:, None, :], _COLUMN_CLASSES, axis=1),
        np.zeros(negative + positive, np.int64),
        np.zeros(columns, np.int64),
    )
    size, start = FIRST, 0
    while start < rows:
        stop = min(rows, start + max(1, size // max(columns, 1)))
        _code_block(flow, table[start:stop], counts, negative)
        start, size = stop, min(LARGEST, 2 * size)


def _code_block(flow: Flow, block: Table, counts: _Counts, negative: int) -> None:
    height, width = block.shape
    held = (block != 0).sum(axis=1)
    row_class = flow.code(_density_class(held, np.full(height, width), _ROW_CLASSES), frequencies(counts.rows.tolist()))
    np.add.at(counts.rows, row_class, 1)
    column_class = _column_classes(counts)
    both = row_class[:, None].astype(np.int64) * _COLUMN_CLASSES + column_class
    flags = np.zeros(block.shape, np.int32)
    for context in np.unique(both).tolist():
        where = both == context
        seen = counts.places[divmod(context, _COLUMN_CLASSES)]
        flags[where] = flow.code((block[where] != 0).astype(np.int32), frequencies(seen.tolist()))
        ones = int(flags[where].sum())
        seen += (int(where.sum()) - ones, ones)
    places = flags != 0
    given = block[places]
    shifted = np.where(given > 0, given - 1 + negative, given + negative).astype(np.int32)
    symbols = flow.code(shifted, frequencies(counts.values.tolist()), places=False).astype(np.int32)
    np.add.at(counts.values, symbols, 1)
    block[places] = np.where(symbols >= negative, symbols - negative + 1, symbols - negative)
    counts.column += flags.sum(axis=0)
    counts.seen += height


def _column_classes(counts: _Counts) -> NDArray[np.int64]:
    """Density of each column so far, where the mean of all counts for a few rows."""
    total = max(1, int(counts.column.sum()))
    cells = max(1, counts.seen * len(counts.column))
    ones = counts.column * cells + _PRIOR * total
    return _density_class(ones, np.full(len(ones), (counts.seen + _PRIOR) * cells), _COLUMN_CLASSES).astype(np.int64)


def _density_class(ones: NDArray[np.int64], of: NDArray[np.int64], classes: int) -> Table:
    """Class 0 for none; then by how many halves of a power of two the share of ones lies below one.

    Compares whole numbers only: a share lies below 2^(-k/2) when its square lies below 2^-k.
    """
    found = np.zeros(len(ones), np.int32)
    for place, (one, whole) in enumerate(zip(ones.tolist(), of.tolist(), strict=True)):
        if one:
            ratio = whole * whole // (one * one)
            found[place] = max(1, classes - ratio.bit_length())
    return found
