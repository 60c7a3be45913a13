"""The reference coder of `.cwz` tensors: sparse small integers under mixed contexts, in pure integer Python.

A tensor is coded as a table: rows are what it gives (filters, output features), columns what it takes. First which rows
and columns hold anything at all, then where values are not zero, from how dense the row, the column and the input
channel were so far and from the neighbours; then the values, sign first. Every step is `Coder.code`, so that the same
lines encode, decode and measure.

>>> from chipwise.codec.range_coder import RangeDecoder, RangeEncoder
>>> layout = Layout(2, 3, 1)
>>> encoder = RangeEncoder(); code_symbols(encoder, [0, 3, 0, 0, -1, 1], layout)[:2]
([0, 3, 0, 0, -1, 1], [1, 2])
>>> code_symbols(RangeDecoder(encoder.finish()), [0] * 6, layout)[0]
[0, 3, 0, 0, -1, 1]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from chipwise.codec.bit_models import Chances, Mixture
from chipwise.codec.range_coder import FAR, UNIT, Coder, squash_table, stretch_table
from chipwise.core.errors import InputError

_LEVEL = 5  # bits that the tensor's density is rounded by, in log-odds steps: 1/8 of a unit
_CLASSES = 2 * FAR // UNIT + 1  # of log-odds, one unit each
_BY_COLUMN, _BY_ROW, _BY_CHANNEL = 40, 120, 60  # sightings that the prior counts for
_LONGEST = 17  # bits of a magnitude
_FULL = 7  # the largest class of what a row holds
_NEAR = 7  # magnitudes that contexts tell apart


@dataclass(frozen=True, slots=True)
class Layout:
    """How a tensor is seen as a table.

    Attributes:
        rows, columns: its size.
        period: columns of one input channel (the kernel's places, or the places of the map that was flattened).
        block: columns that belong to one row of the tensor before; 0 when they do not fit.
        before: how much each row of the tensor before held: 0 for nothing, else the bits of the count, at most 7.
    """

    rows: int
    columns: int
    period: int = 1
    block: int = 0
    before: tuple[int, ...] = field(default=(), repr=False)


def layout_of(shape: tuple[int, ...], before: Sequence[int]) -> Layout:
    """The table of a tensor of this shape, coded after one whose rows held `before` (none at first).

    The first axis gives the rows. A channel is the kernel of one input (all axes from the third on) or, in a matrix,
    the places of the map that one row of the tensor before gave, where the columns are a multiple of its rows.
    """
    rows = shape[0] if len(shape) > 1 else 1
    columns = 1
    for size in shape[1:] if len(shape) > 1 else shape:
        columns *= size
    block = columns // len(before) if len(shape) > 1 and before and columns % len(before) == 0 else 0
    kernel = 1
    for size in shape[2:]:
        kernel *= size
    return Layout(rows, columns, kernel if len(shape) > 2 else max(block, 1), block, tuple(before) if block else ())


def code_symbols(
    coder: Coder, symbols: list[int], layout: Layout, between: Callable[[], None] | None = None
) -> tuple[list[int], list[int]]:
    """Code a table of integers, 0 the exact zero, where most may be zero.

    Args:
        coder: either direction.
        symbols: row after row; a decoder gives zeros. The list is filled in place.
        layout: of the table.
        between: called when all places are coded and the values begin.

    Returns:
        The symbols, and how much each row holds, as `Layout.before`.

    Raises:
        InputError: a decoder meets a magnitude that no encoder writes.
    """
    flags = bytearray(1 if value else 0 for value in symbols)
    rows, columns = _code_live(coder, flags, layout)
    places = _code_places(coder, flags, layout, rows, columns)
    if between is not None:
        between()
    _code_values(coder, symbols, flags, places, layout)
    width = layout.columns
    return symbols, [held_class(sum(flags[row * width : (row + 1) * width])) for row in range(layout.rows)]


def held_class(count: int) -> int:
    """How much a row holds: the bits of the count, at most 7."""
    return min(_FULL, count.bit_length())


def _code_live(coder: Coder, flags: bytearray, layout: Layout) -> tuple[list[bool], list[int]]:
    """Which rows hold anything, and the columns that do."""
    width = layout.columns
    table = Chances(2 + 2 * (_FULL + 2))
    rows, columns, last = [], [], 0
    for row in range(layout.rows):
        last = table.code(coder, last, int(1 in flags[row * width : (row + 1) * width]))
        rows.append(last == 1)
    for column in range(width if any(rows) else 0):
        known = 1 + layout.before[column // layout.block] if layout.block else 0
        last = table.code(coder, 2 + 2 * known + last, int(1 in flags[column::width]))
        if last:
            columns.append(column)
    return rows, columns


def _share(found: int, seen: int, prior: int, weight: int) -> int:
    """A chance of 16 bits after `found` of `seen`, where the prior counts as `weight` sightings."""
    return ((found << 16) + weight * prior) // (seen + weight)


def _code_density(coder: Coder, ones: int, size: int) -> int:
    """Code log-odds of the share of ones, rounded, in eight even bits; the log-odds."""
    chance = min(65_535, (ones << 16) // size)
    level = stretch_table()[chance] + FAR + (1 << _LEVEL - 1) >> _LEVEL
    found = 0
    for place in range(7, -1, -1):
        found = found << 1 | coder.code(level >> place & 1, 1 << 15)
    return max(-FAR, min(FAR, (found << _LEVEL) - FAR))


def _code_places(coder: Coder, flags: bytearray, layout: Layout, rows: list[bool], columns: list[int]) -> list[int]:
    """Code where the live rows and columns hold something; the places in order."""
    count = sum(rows)
    if not columns:
        return []
    base = _code_density(coder, sum(flags), count * len(columns))
    field_ = _Field(layout, columns, base)
    places: list[int] = []
    for row, live in enumerate(rows):
        if live:
            field_.row(coder, flags, row * layout.columns, places)
    return places


class _Field:
    """What is known of the rows above, as one row after another is coded."""

    def __init__(self, layout: Layout, columns: list[int], base: int) -> None:
        self.base, self.period, self.columns = base, layout.period, columns
        self.prior = squash_table()[base + FAR]
        self.rows_seen = 0
        self.in_column = [0] * layout.columns
        channels = -(-layout.columns // layout.period)
        self.in_channel, self.width = [0] * channels, [0] * channels
        for column in columns:
            self.width[column // layout.period] += 1
        known = [1 + layout.before[column // layout.block] if layout.block else 0 for column in range(layout.columns)]
        self.before = [_CLASSES * each for each in known]
        self.margin = layout.period + 2
        self.above = bytearray(layout.columns + 2 * self.margin)
        self.higher = bytearray(self.above)
        self.mixture = Mixture(
            [_CLASSES * _CLASSES, _CLASSES * _CLASSES, 512, (_FULL + 2) * _CLASSES],
            direct=3,
            sets=4,
            start=(8_192, 45_000),
            speed=4,
        )

    def row(self, coder: Coder, flags: bytearray, start: int, places: list[int]) -> None:
        """Code the flags of one row, which begins at `start`."""
        stretch, period, base, prior = stretch_table(), self.period, self.base, self.prior
        above, higher, margin, seen = self.above, self.higher, self.margin, self.rows_seen
        in_column, in_channel, code = self.in_column, self.in_channel, self.mixture.code
        here = bytearray(len(above))
        in_row = channel_before = in_own = own_seen = 0
        for rank, column in enumerate(self.columns):
            channel = column // period
            if channel != channel_before:
                channel_before, in_own, own_seen = channel, 0, 0
            by_column = stretch[_share(in_column[column], seen, prior, _BY_COLUMN)]
            by_row = stretch[_share(in_row, rank, prior, _BY_ROW)]
            by_channel = stretch[_share(in_channel[channel], seen * self.width[channel] + own_seen, prior, _BY_CHANNEL)]
            at = column + margin
            near = (
                here[at - 1] | here[at - 2] << 1 | above[at] << 2 | above[at - 1] << 3 | above[at + 1] << 4
                | (in_own > 0) << 5 | here[at - period] << 6 | higher[at] << 7 | (in_own > 1) << 8
            )  # fmt: skip
            row_class, column_class = (by_row + FAR) >> 8, (by_column + FAR) >> 8
            slots = (
                column_class * _CLASSES + row_class,
                ((by_channel + FAR) >> 8) * _CLASSES + row_class,
                near,
                self.before[column] + row_class,
            )
            chosen = min(3, in_own)
            bit = code(coder, flags[start + column], base, slots, (by_column, by_row, by_channel), chosen)
            own_seen += 1
            if bit:
                flags[start + column] = here[at] = 1
                in_row, in_own = in_row + 1, in_own + 1
                in_column[column] += 1
                in_channel[channel] += 1
                places.append(start + column)
        self.higher, self.above, self.rows_seen = above, here, seen + 1


def _code_values(coder: Coder, symbols: list[int], flags: bytearray, places: list[int], layout: Layout) -> None:
    """Code the values at the places: signs, then magnitudes."""
    width = layout.columns
    values = _Values(width)
    row = -1
    for place in places:
        if place // width != row:
            row = place // width
            values.begin_row()
        column = place - row * width
        near = sum(flags[at] for at in (place - 1, place + 1, place - width, place + width) if 0 <= at < len(flags))
        symbols[place] = values.code(coder, symbols[place], column, near)


class _Values:
    """Signs and magnitudes seen so far, by row and by column."""

    def __init__(self, width: int) -> None:
        self.sign_order0, self.length_order0 = Chances(1), Chances(_LONGEST + 1)
        self.sign = Mixture([49, 27, 15], start=(16_384, 0))
        self.length = Mixture([18 * 64, 18 * 64, 18 * 5], start=(16_384, 0))
        self.digits = Chances(8 * (_LONGEST + 1))
        self.column_balance, self.column_sign, self.column_size = [0] * width, [0] * width, [0] * width
        self.begin_row()

    def begin_row(self) -> None:
        """Forget the row before."""
        self.row_balance = self.row_sign = self.row_size = self.before = 0

    def code(self, coder: Coder, value: int, column: int, near: int) -> int:
        """Code one value that is not zero."""
        negative = self._code_sign(coder, int(value < 0), column)
        size = self._code_size(coder, abs(value) - 1, column, near) + 1
        step = -1 if negative else 1
        self.row_balance += step
        self.column_balance[column] += step
        self.row_sign = self.column_sign[column] = step
        self.before, self.row_size = self.row_size, min(size, _NEAR)
        self.column_size[column] = min(size, _NEAR)
        return step * size

    def _code_sign(self, coder: Coder, negative: int, column: int) -> int:
        row, down = self.row_balance, self.column_balance[column]
        slots = (
            7 * (max(-3, min(3, row)) + 3) + max(-3, min(3, down)) + 3,
            9 * (self.row_sign + 1) + 3 * (self.column_sign[column] + 1) + (row > 0) - (row < 0) + 1,
            max(-7, min(7, row)) + 7,
        )
        base = stretch_table()[self.sign_order0.chance(0)]
        bit = self.sign.code(coder, negative, base, slots)
        self.sign_order0.learn(0, bit)
        return bit

    def _code_size(self, coder: Coder, value: int, column: int, near: int) -> int:
        """Elias' gamma code of a magnitude less one; its length in mixed contexts."""
        wanted, length = (value + 1).bit_length(), 1
        down = self.column_size[column]
        while True:
            slots = (length * 64 + 8 * self.row_size + down, length * 64 + 8 * self.row_size + self.before)
            base = stretch_table()[self.length_order0.chance(length)]
            bit = self.length.code(coder, int(wanted > length), base, (*slots, length * 5 + near))
            self.length_order0.learn(length, bit)
            if not bit:
                break
            length += 1
            if length > _LONGEST:
                raise InputError("a symbol in it is too large")
        found = 1
        for place in range(length - 2, -1, -1):
            slot = 8 * length + (found if found < 8 else 0)
            found = found << 1 | self.digits.code(coder, slot, (value + 1) >> place & 1)
        return found - 1
