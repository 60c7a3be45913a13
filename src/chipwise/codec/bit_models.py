"""Models of single bits for the range coder: adaptive chances, their mixture, numbers and bytes made of such bits.

All state is integers, and what is learned follows the bits alone, so that an encoder and a decoder on any machine hold
the same state after the same bits. Chances are kept with 22 bits and given to the coder with 16.

>>> from chipwise.codec.range_coder import RangeDecoder, RangeEncoder
>>> encoder, numbers = RangeEncoder(), Numbers()
>>> for value in (3, 0, 1000): _ = numbers.code(encoder, value)
>>> decoder, numbers = RangeDecoder(encoder.finish()), Numbers()
>>> [numbers.code(decoder) for _ in range(3)]
[3, 0, 1000]
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cache
from operator import mul

from chipwise.codec.range_coder import FAR, HALF, Coder, squash_table, stretch_table
from chipwise.core.errors import InputError

_ONE = (1 << 22) - 1
_SLOWEST = 255  # sightings after which a chance no longer becomes slower
# The step towards the last bit after n sightings, of 65536: nearly 1/(n + 1.6), as after n fair observations.
RATES = [655_360 // (10 * n + 16) for n in range(_SLOWEST + 1)]
# How far a context is believed after n sightings, of 65536.
TRUST = [65_536 * n // (n + 1) for n in range(_SLOWEST + 1)]
_LEAST, _MOST = 32, 65_536 - 32
_LONGEST_NUMBER = 40  # bits


class Chances:
    """A table of adaptive chances, one a context, each learned by itself."""

    __slots__ = ("_limit", "_seen", "_states")

    def __init__(self, size: int, limit: int = _SLOWEST) -> None:
        self._states, self._seen, self._limit = [HALF << 6] * size, [0] * size, limit

    def chance(self, slot: int) -> int:
        """Of a one, 32..65504."""
        return min(_MOST, max(_LEAST, self._states[slot] >> 6))

    def learn(self, slot: int, bit: int) -> None:
        """Move towards a bit."""
        state, seen = self._states[slot], self._seen[slot]
        self._states[slot] = state + (((_ONE if bit else 0) - state) * RATES[seen] >> 16)
        if seen < self._limit:
            self._seen[slot] = seen + 1

    def code(self, coder: Coder, slot: int, bit: int = 0) -> int:
        """Code a bit in a context and learn it."""
        bit = coder.code(bit, self.chance(slot))
        self.learn(slot, bit)
        return bit


class Mixture:
    """Several opinions on one bit, weighed by how good they were: a mixer of the PAQ family, centred on a prior.

    The log-odds are those of the prior plus the sum over opinions of weight times how far each differs from it.
    A context that was never seen has no opinion, and begins with what was said in its place.

    Args:
        tables: how many slots each table of contexts has.
        direct: how many opinions are handed in as log-odds.
        sets: how many sets of weights there are to choose from.
        start: first weight of a table, and of a direct opinion, of 65536.
        speed: of learning weights.
    """

    __slots__ = ("_pairs", "_speed", "_weights")

    def __init__(
        self, tables: Sequence[int], direct: int = 0, sets: int = 1, start: tuple[int, int] = (0, 0), speed: int = 4
    ) -> None:
        self._pairs = [([0] * size, [0] * size) for size in tables]  # chances of 22 bits, and sightings
        self._weights = [[start[0]] * len(tables) + [start[1]] * direct for _ in range(sets)]
        self._speed = speed

    def code(  # noqa: PLR0917 (called a million times: keywords cost a third of it)
        self,
        coder: Coder,
        bit: int,
        base: int,
        slots: Sequence[int],
        direct: Sequence[int] = (),
        chosen: int = 0,
    ) -> int:
        """Code a bit and learn it.

        Args:
            coder: either direction.
            bit: to encode.
            base: log-odds of the prior.
            slots: a context for each table.
            direct: log-odds of the other opinions.
            chosen: set of weights.
        """
        stretch, trust, rates, tables = _STRETCH, TRUST, RATES, self._pairs
        # Of a context that was never seen the trust is 0, and so is the opinion.
        opinions = [
            (stretch[states[slot] >> 6] - base) * trust[seen[slot]] >> 16
            for (states, seen), slot in zip(tables, slots, strict=True)
        ]
        if direct:
            opinions += [odds - base for odds in direct]
        weights = self._weights[chosen]
        odds = base + (sum(map(mul, weights, opinions)) >> 16)
        if not -FAR <= odds <= FAR:
            odds = FAR if odds > 0 else -FAR
        chance = _SQUASH[odds + FAR]
        bit = coder.code(bit, chance)
        goal, step = (_ONE, (65_536 - chance) * self._speed) if bit else (0, -chance * self._speed)
        self._weights[chosen] = [weight + (x * step >> 16) for weight, x in zip(weights, opinions, strict=True)]
        for (states, seen), slot in zip(tables, slots, strict=True):
            known = seen[slot]
            state = states[slot] if known else chance << 6
            states[slot] = state + ((goal - state) * rates[known] >> 16)
            if known < _SLOWEST:
                seen[slot] = known + 1
        return bit

    def __deepcopy__(self, _: object) -> Mixture:
        """A copy that shares nothing; the general way visits every number."""
        other = Mixture((), speed=self._speed)
        other._pairs = [(states[:], seen[:]) for states, seen in self._pairs]
        other._weights = [each[:] for each in self._weights]
        return other

    def known(self, slots: Sequence[int]) -> int:
        """How many of the contexts were seen before."""
        return sum(seen[slot] > 0 for (_, seen), slot in zip(self._pairs, slots, strict=True))


_SQUASH, _STRETCH = squash_table(), stretch_table()


class Numbers:
    """Whole numbers from 0, short where they are small: Elias' gamma code in adaptive bits."""

    __slots__ = ("_digits", "_lengths")

    def __init__(self) -> None:
        self._lengths, self._digits = Chances(_LONGEST_NUMBER + 1, 60), Chances(8 * (_LONGEST_NUMBER + 1), 60)

    def code(self, coder: Coder, value: int = 0) -> int:
        """Code a number.

        Raises:
            InputError: a decoder meets one of more than 40 bits, which no encoder writes.
        """
        wanted, length = (value + 1).bit_length(), 1
        while self._lengths.code(coder, length, int(wanted > length)):
            length += 1
            if length > _LONGEST_NUMBER:
                raise InputError("a number in it is too large")
        found = 1
        for place in range(length - 2, -1, -1):
            slot = 8 * length + (min(4, found))  # the first two digits have contexts, the others one
            found = found << 1 | self._digits.code(coder, slot, (value + 1) >> place & 1)
        return found - 1


class ByteModel:
    """Text and small binary records: bytes predicted from the one to six before, where they were seen before."""

    __slots__ = ("_mixture", "_order0", "_past", "_size")

    def __init__(self) -> None:
        self._size = 1 << 16
        self._mixture = Mixture([self._size] * 5, sets=6, start=(24_000, 0), speed=6)
        self._order0 = Chances(256)
        self._past = 0

    def code(self, coder: Coder, byte: int = 0) -> int:
        """Code one byte."""
        past, size, mixture = self._past, self._size - 1, self._mixture
        one = past & 255
        orders = [(past & (1 << 8 * order) - 1) * 2_654_435_761 + order * 97 for order in (2, 3, 4, 6)]
        hashes = [(each ^ each >> 17 ^ each >> 34) * 40_503 for each in orders]
        node = 1
        for place in range(7, -1, -1):
            slots = [one << 8 | node, *[(each + node * 10_007) & size for each in hashes]]
            base = _STRETCH[self._order0.chance(node)]
            bit = mixture.code(coder, byte >> place & 1, base, slots, (), mixture.known(slots))
            self._order0.learn(node, bit)
            node = node << 1 | bit
        self._past = (past << 8 | node & 255) & (1 << 48) - 1
        return node & 255


def primed(primer: bytes) -> ByteModel:
    """A model that has read a text already; a copy, which costs a hundredth of the reading."""
    return copy.deepcopy(_read(primer))


@cache
def _read(primer: bytes) -> ByteModel:
    model, nowhere = ByteModel(), _Nowhere()
    for byte in primer:
        model.code(nowhere, byte)
    return model


class _Nowhere:
    """A coder that keeps nothing: to learn a primer."""

    def code(self, bit: int, chance: int) -> int:  # noqa: ARG002
        return bit
