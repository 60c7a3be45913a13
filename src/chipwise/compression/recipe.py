"""How small each stage must make a network, so that the file becomes as small as was asked for.

>>> parse_target("100x"), parse_target("50KB").size_bytes
(Target(ratio=100.0, size_bytes=None), 50000)
>>> plan(431_000, 580, 8_600).bits
3
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chipwise.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

_UNITS = {"b": 1, "kb": 1000, "kib": 1024, "mb": 10**6, "mib": 1 << 20}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(x|[kmKM]?[iI]?[bB])", re.IGNORECASE)
_FIXED_BYTES = 350  # graph, headers, steps: of a network of a few layers
_BIAS_BITS = 7.5
# Average bits that a value that is not zero takes, sign included, by the bits it has, and what finer values of the
# smallest layers add; seen on trained networks.
_VALUE_BITS = {2: 1.4, 3: 2.4, 4: 3.3, 5: 4.2, 6: 5.1, 7: 6.0, 8: 6.8}
# Of the entropy of where weights are: what is left once the coder has predicted it, less where weights are few. Seen at
# 3 bits, 8% and 25% of the weights; at 4 bits and 47% it was 0.90, and files come out smaller than they may be.
_PLACE, _PLACE_SLOPE = 0.85, 0.25
# Fewer bits where the file is to be so many times smaller; from the last on, channels go first.
_BITS = ((12.0, 5), (30.0, 4), (math.inf, 3))
_DENSEST = 0.75
_MARGIN = (
    0.96  # of the room that is planned for: a file a little too large costs a stage of pruning and one of rounding
)
_NARROW_BELOW, _NARROW_DENSITY = 0.08, 0.25
_FINE_SHARE, _FINE_BITS = 0.04, 2  # the smallest layers, together so many of the weights, have so many bits more


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked for: a ratio to the source's float32 parameters, or bytes of the file. One is set."""

    ratio: float | None = None
    size_bytes: int | None = None

    def bytes_of(self, dense_bytes: int) -> int:
        """The most bytes that the file may have."""
        return self.size_bytes if self.size_bytes is not None else int(dense_bytes / (self.ratio or 1.0))


@dataclass(frozen=True, slots=True)
class Recipe:
    """What each stage is to reach.

    Attributes:
        weights: that channels are taken away down to; None leaves them all.
        density: share of the weights that stay, of those that are left then.
        bits: of a weight.
    """

    weights: int | None
    density: float
    bits: int


def parse_target(text: str) -> Target:
    """Read "100x", "50KB", "1.5MB", "300KiB" or "4000B".

    Raises:
        InputError: it is none of these, or does not make a network smaller.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None or float(found[1]) <= 0:
        raise InputError(f"the target is {text!r}", hint="a ratio or a size: 100x, 50KB, 1.5MB")
    number, unit = float(found[1]), found[2].lower()
    if unit == "x" and number <= 1:
        raise InputError(f"the target is {text!r}, which is no smaller", hint="a ratio above 1: 20x")
    return Target(ratio=number) if unit == "x" else Target(size_bytes=int(number * _UNITS[unit]))


def plan(weights: int, biases: int, size_bytes: int, dense_bytes: int | None = None) -> Recipe:
    """Choose bits, density, and how many weights are to be left by taking channels away.

    Args:
        weights: how many the network has in its layers.
        biases: and how many others.
        size_bytes: of the file.
        dense_bytes: of the source; None for float32 weights and biases.

    Raises:
        InputError: nothing can be so small.
    """
    ratio = (dense_bytes or 4 * (weights + biases)) / size_bytes
    bits = next(bits for below, bits in _BITS if ratio < below)
    room = 8 * _MARGIN * (size_bytes - _FIXED_BYTES)
    if room <= 64:
        raise InputError(
            f"the target is {size_bytes} bytes", hint=f"graph and headers alone take about {_FIXED_BYTES} bytes"
        )
    density = _density(weights, room - _BIAS_BITS * biases, bits)
    if density >= _NARROW_BELOW:
        return Recipe(None, density, bits)
    # Biases go with their channels, about as the square root of what reads and is read.
    each = coded_bits(_NARROW_DENSITY, bits)
    left = max(1, int(room / each))
    for _ in range(20):
        left = max(1, int((room - _BIAS_BITS * biases * math.sqrt(left / weights)) / each))
    return Recipe(left, _NARROW_DENSITY, bits)


def bits_of(sizes: Mapping[str, int], bits: int) -> dict[str, int]:
    """Bits of each layer: more where they cost next to nothing, which is where rounding harms most.

    First and last layers are small, and known to need more bits (S. Zhou and others, "DoReFa-Net", arXiv 1606.06160,
    leaves them as they are). Here two more in them took back three quarters of what rounding LeNet-5 to 3 bits lost.

    Args:
        sizes: weights of each layer.
        bits: of the others.

    >>> bits_of({"first": 10, "middle": 900, "last": 20}, 3)
    {'first': 5, 'middle': 3, 'last': 5}
    """
    room, fine = _FINE_SHARE * sum(sizes.values()), set()
    for name in sorted(sizes, key=sizes.__getitem__):
        room -= sizes[name]
        if room >= 0:
            fine.add(name)
    return {name: min(bits + _FINE_BITS, 8) if name in fine else bits for name in sizes}


def coded_bits(density: float, bits: int) -> float:
    """About how many bits of the file a weight takes, zeros counted in: where it is, its sign and its size.

    Args:
        density: share of weights that are not zero, above 0.
        bits: of a value, 2 to 8.
    """
    zero = 1.0 - density
    place = 0.0 if zero <= 0 or density <= 0 else -density * math.log2(density) - zero * math.log2(zero)
    return (_PLACE + _PLACE_SLOPE * density) * place + density * _VALUE_BITS[bits]


def denser(recipe: Recipe, size_bytes: int, wanted_bytes: int) -> Recipe:
    """The same recipe with the density that a file of a measured size says would fit.

    Args:
        recipe: that gave `size_bytes`.
        size_bytes: of the file.
        wanted_bytes: that it may have.
    """
    now = coded_bits(recipe.density, recipe.bits)
    share = max(wanted_bytes - _FIXED_BYTES, 1) / max(size_bytes - _FIXED_BYTES, 1)
    return Recipe(recipe.weights, _inverse(0.98 * now * share, recipe.bits), recipe.bits)


def _density(weights: int, room_bits: float, bits: int) -> float:
    return _inverse(max(room_bits, 0.0) / weights, bits)


def _inverse(bits_each: float, bits: int) -> float:
    """The density at which a weight takes so many bits, 0..1."""
    low, high = 1e-6, _DENSEST  # beyond it, saying where zeros are costs more than it saves
    if coded_bits(high, bits) <= bits_each:
        return 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if coded_bits(middle, bits) <= bits_each else (low, middle)
    return low
