"""constriction's queue range coder, and the same in plain Python: both read and write the same words.

Bamler, "Understanding entropy coding with asymmetric numeral systems" (2022), and `stream.queue` of constriction 0.5
with its default parameters: 64 bits of state, words of 32 bits, chances of 24 bits. Chances are made of whole numbers
that sum to what constriction leaves free, so that its conversion from floats has nothing to round.

>>> table = frequencies([5, 0, 3])
>>> sum(table) == 1 << 24
True
>>> words = encode([([0, 2, 2, 0], table)], plain=True)
>>> QueueDecoder(words).decode(table, 4).tolist()
[0, 2, 2, 0]
"""

from __future__ import annotations

import importlib
import importlib.util
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from chipwise.core.errors import InputError, MissingExtraError

PRECISION = 24
_WHOLE, _WORD, _STATE = 1 << PRECISION, (1 << 32) - 1, (1 << 64) - 1
Words = NDArray[np.uint32]
Batch = tuple[Sequence[int] | NDArray[np.int32], list[int]]


class Decoder(Protocol):
    """Reads symbols that all follow the same table of frequencies."""

    def decode(self, table: list[int], count: int) -> NDArray[np.int32]:
        """The next `count` symbols; InputError where the words hold no such code."""


def frequencies(counts: Sequence[int]) -> list[int]:
    """Frequencies that sum to 2^24 and are all at least one, after how often each symbol was seen.

    Each count grows by a quarter sighting; the remainder goes to the first of the largest.
    """
    weights = [4 * count + 1 for count in counts]
    total, free = sum(weights), _WHOLE - len(weights)
    table = [1 + weight * free // total for weight in weights]
    table[weights.index(max(weights))] += _WHOLE - sum(table)
    return table


def has_constriction() -> bool:
    """The extra is installed."""
    return importlib.util.find_spec("constriction") is not None


def need_constriction() -> None:
    """Raise MissingExtraError where the extra is not installed."""
    if not has_constriction():
        raise MissingExtraError("constriction", "compress")


def encode(batches: Iterable[Batch], *, plain: bool = False) -> Words:
    """Write batches of symbols, each with its table; `plain` does without constriction, and slowly.

    Raises:
        MissingExtraError: constriction is not installed.
    """
    if not plain:
        need_constriction()
    coder = QueueEncoder() if plain else _FastEncoder()
    for symbols, table in batches:
        if len(symbols):
            coder.encode(symbols, table)
    return coder.finish()


def decoder(words: Words) -> Decoder:
    """Constriction's decoder where it is installed, else that in plain Python; both give the same symbols."""
    return _FastDecoder(words) if has_constriction() else QueueDecoder(words)


def _model(table: list[int]) -> Any:
    """Constriction adds one to each of the 24-bit chances that it makes of what is given."""
    given = np.array(table, np.float64) - 1
    return importlib.import_module("constriction").stream.model.Categorical(given, perfect=False)


class _FastEncoder:
    def __init__(self) -> None:
        self._coder = importlib.import_module("constriction").stream.queue.RangeEncoder()

    def encode(self, symbols: Sequence[int] | NDArray[np.int32], table: list[int]) -> None:
        self._coder.encode(np.asarray(symbols, np.int32), _model(table))

    def finish(self) -> Words:
        return np.asarray(self._coder.get_compressed(), np.uint32)


class _FastDecoder:
    def __init__(self, words: Words) -> None:
        self._coder = importlib.import_module("constriction").stream.queue.RangeDecoder(words)

    def decode(self, table: list[int], count: int) -> NDArray[np.int32]:
        try:
            found: NDArray[np.int32] = self._coder.decode(_model(table), count)
        except AssertionError as error:  # how constriction says that the words hold no such code
            raise InputError("its coded data are damaged") from error
        return found


class QueueEncoder:
    """The encoder, word by word."""

    def __init__(self) -> None:
        self._low, self._range = 0, _STATE
        self._words: list[int] = []

    def encode(self, symbols: Sequence[int] | NDArray[np.int32], table: list[int]) -> None:
        """Append symbols."""
        starts = [0, *accumulate(table)]
        for symbol in np.asarray(symbols).tolist():
            scale = self._range >> PRECISION
            self._range = scale * table[symbol]
            self._low += scale * starts[symbol]
            if self._range <= _WORD:
                self._words.append(self._low >> 32)
                self._low, self._range = (self._low & _WORD) << 32, self._range << 32

    def finish(self) -> Words:
        """All words, as few as single out the interval; sums past a word's end are carried back."""
        if self._range != _STATE or self._words:
            point = self._low + _WORD
            self._words.append(point >> 32)
            if (self._low + self._range) >> 32 == point >> 32:
                self._words.append(0)
        carried, carry = [], 0
        for word in reversed(self._words):
            whole = word + carry
            carried.append(whole & _WORD)
            carry = whole >> 32
        return np.array(carried[::-1], np.uint32)


class QueueDecoder:
    """The decoder, word by word; zeros follow the last word."""

    def __init__(self, words: Words) -> None:
        self._words, self._at = words.tolist(), 2
        first = [*self._words[:2], 0, 0][:2]
        self._low, self._range, self._point = 0, _STATE, first[0] << 32 | first[1]

    def decode(self, table: list[int], count: int) -> NDArray[np.int32]:
        """Read `count` symbols.

        Raises:
            InputError: the words hold no such code.
        """
        starts = [0, *accumulate(table)]
        found = []
        for _ in range(count):
            scale = self._range >> PRECISION
            quantile = ((self._point - self._low) & _STATE) // scale
            if quantile >= _WHOLE:
                raise InputError("its coded data are damaged")
            symbol = bisect_right(starts, quantile) - 1
            found.append(symbol)
            self._low = (self._low + scale * starts[symbol]) & _STATE
            self._range = scale * table[symbol]
            if self._range <= _WORD:
                word = self._words[self._at] if self._at < len(self._words) else 0
                self._at += 1
                self._low = self._low << 32 & _STATE
                self._range <<= 32
                self._point = (self._point << 32 | word) & _STATE
        return np.array(found, np.int32)
