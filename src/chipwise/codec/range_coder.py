"""An adaptive binary range coder: integers only, so that every machine decodes the same bits.

A model says how likely the next bit is a one; the coder spends -log2 of what the true bit was given. Model code is
written once, against `Coder`: an encoder writes the bit that it is handed, a decoder ignores what it is handed and
returns the bit of the stream. So both sides cannot drift apart.

The arithmetic is LZMA's (Igor Pavlov), widened to 48 bits, which leaves nothing to rounding; models are mixed in the
logistic domain as in Matt Mahoney's lpaq and PAQ8 ("Adaptive weighing of context models", 2005).

>>> encoder = RangeEncoder()
>>> for bit in (1, 0, 1, 1): _ = encoder.code(bit, 50_000)
>>> data = encoder.finish(); decoder = RangeDecoder(data)
>>> [decoder.code(0, 50_000) for _ in range(4)]
[1, 0, 1, 1]
"""

from __future__ import annotations

import math
from functools import cache
from typing import Protocol

from chipwise.core.errors import InputError

HALF = 1 << 15  # probability one half: probabilities are 16 bit, of the bit being one
_TOP, _BOTTOM, _MASK = 48, 1 << 40, (1 << 48) - 1
_PAST_END = 6  # bytes of zeros that a decoder may need past the end of what the encoder wrote

# Logistic domain: 256 steps a unit, from -11 to 11, where a probability reaches its last 16th bit.
UNIT, FAR = 256, 2816
_DECAY = 18_374_827_034_086_858_296  # floor(2^64 * exp(-1/256))


class Coder(Protocol):
    """Either direction of coding: `code` takes a bit and its probability of being one, and gives the bit."""

    def code(self, bit: int, chance: int) -> int:
        """Code a bit whose probability of being one is `chance`, 1..65535."""


class RangeEncoder:
    """Writes bits. `finish` gives the bytes, as few as single out the interval."""

    __slots__ = ("_low", "_out", "_range")

    def __init__(self) -> None:
        self._low, self._range, self._out = 0, _MASK, bytearray()

    def code(self, bit: int, chance: int) -> int:
        """Write one bit; `chance` is 1..65535, of it being one."""
        bound = (self._range >> 16) * chance
        if bit:
            self._range = bound
        else:
            self._low += bound
            self._range -= bound
        while self._range < _BOTTOM:
            self._shift()
        return bit

    def _shift(self) -> None:
        if self._low > _MASK:
            self._carry()
        self._out.append(self._low >> 40)
        self._low = (self._low << 8) & _MASK
        self._range <<= 8

    def _carry(self) -> None:
        self._low &= _MASK
        at = len(self._out) - 1
        while self._out[at] == 255:
            self._out[at] = 0
            at -= 1
        self._out[at] += 1

    def finish(self) -> bytes:
        """The bytes of all bits: the shortest that lie in the interval, without zeros at the end."""
        for free in range(_TOP, -1, -8):
            value = (self._low + (1 << free) - 1) >> free << free
            if value < self._low + self._range:
                break
        self._low = value
        if self._low > _MASK:
            self._carry()
        return bytes(self._out + self._low.to_bytes(6, "big").rstrip(b"\0"))


class RangeDecoder:
    """Reads bits; zeros follow the end of the data, as many as the encoder may have left out and no more.

    `position` counts the bytes that were taken so far.
    """

    __slots__ = ("_code", "_data", "_end", "_range", "position")

    def __init__(self, data: bytes) -> None:
        self._data, self._end, self.position = data + bytes(_PAST_END), len(data) + _PAST_END, 6
        self._code, self._range = int.from_bytes(self._data[:6], "big"), _MASK

    def code(self, bit: int, chance: int) -> int:
        """Read one bit.

        Raises:
            InputError: the data end before the bits do.
        """
        bound = (self._range >> 16) * chance
        if self._code < bound:
            self._range = bound
            bit = 1
        else:
            self._code -= bound
            self._range -= bound
            bit = 0
        while self._range < _BOTTOM:
            if self.position >= self._end:
                raise InputError("its coded data end too early")
            self._code = self._code << 8 | self._data[self.position]
            self._range <<= 8
            self.position += 1
        return bit

    def check_end(self) -> None:
        """Raise InputError when bytes are left that no bit needed."""
        if self.position < self._end - _PAST_END:
            raise InputError("its coded data go on after the end")


class IdealLength:
    """Writes nothing: sums what each bit costs under the model, in bits (the lower bound of any coder)."""

    __slots__ = ("bits",)

    def __init__(self) -> None:
        self.bits = 0.0

    def code(self, bit: int, chance: int) -> int:
        """Count one bit."""
        self.bits -= math.log2((chance if bit else 65536 - chance) / 65536)
        return bit


@cache
def squash_table() -> list[int]:
    """Probability (1..65535) of a log-odds of -FAR..FAR steps, at index log-odds + FAR."""
    falling, odds = [], 1 << 64
    for _ in range(FAR + 1):
        falling.append((odds << 16) // ((1 << 64) + odds))
        odds = odds * _DECAY >> 64
    low = [max(1, each) for each in falling]  # of log-odds 0, -1, -2, ...
    return [*reversed(low), *(65536 - each for each in low[1:])]


@cache
def stretch_table() -> list[int]:
    """Log-odds in steps, -FAR..FAR, of every probability 0..65535: the largest whose probability is not above it."""
    squashed, table, at = squash_table(), [], 0
    for chance in range(65536):
        while at < 2 * FAR and squashed[at + 1] <= chance:
            at += 1
        table.append(at - FAR)
    return table
