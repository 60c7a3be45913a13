"""What a `.cwz` file holds, field by field: each function here both writes and reads, after the coder it is given.

Nothing is allocated on a header's word alone: `Budget` is asked first, and grants what a file of this size may hold.

>>> budget = Budget(100); budget.take(1 << 16)
>>> budget.take(1 << 20)
Traceback (most recent call last):
    ...
chipwise.core.errors.NetworkError: a file of 100 bytes does not hold so many values
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from chipwise.codec import block_coder
from chipwise.codec.bit_models import ByteModel, Chances, Numbers, primed
from chipwise.codec.primer import PRIMER
from chipwise.codec.range_coder import Coder
from chipwise.codec.small_tensor import LARGEST, RAW, Kind, SmallTensor
from chipwise.codec.symbol_coder import code_symbols, held_class, layout_of
from chipwise.core.errors import NetworkError

KINDS: tuple[Kind, ...] = ("codebook", "step", "fixed", "raw")
BASE_VALUES, VALUES_A_BYTE = 1 << 16, 256
MOST_VALUES = 1 << 29  # 2 GiB of float32: no ONNX file holds more
BASE_TEXT, TEXT_A_BYTE, MOST_TEXT = 4096, 64, 16 << 20
MOST_TENSORS, MOST_AXES, LONGEST_NAME, WIDEST_CODEBOOK = 65_536, 8, 4096, 65_536
_AS_ARE = 1 << 15  # raw values from which on they are stored as they are


@dataclass
class Budget:
    """What may still be decoded of a file of `size` bytes: values of tensors, and bytes of text."""

    size: int
    values: int = 0
    text: int = 0

    def __post_init__(self) -> None:
        self.values = min(MOST_VALUES, BASE_VALUES + VALUES_A_BYTE * self.size)
        self.text = min(MOST_TEXT, BASE_TEXT + TEXT_A_BYTE * self.size)

    def take(self, values: int) -> None:
        """Raise NetworkError where a tensor of so many values cannot be in such a file."""
        self.values -= values
        if self.values < 0:
            raise NetworkError(f"a file of {self.size:,} bytes does not hold so many values")

    def take_text(self, size: int) -> None:
        """Raise NetworkError where so much text cannot be in such a file."""
        self.text -= size
        if self.text < 0:
            raise NetworkError(f"a file of {self.size:,} bytes does not hold so much text")


@dataclass
class Stream:
    """A coder with the models that all fields share.

    Attributes:
        coder: either direction.
        budget: of the file; None while writing.
        position: how many bytes the coder has read so far; None while writing.
        blobs: bytes beside the coder's, that were written so far.
        unread: the same, while reading: those that are left.
        spent: bytes by column of the ledger, while reading.
    """

    coder: Coder
    budget: Budget | None = None
    position: Callable[[], int] | None = None
    blobs: bytearray = field(default_factory=bytearray)
    unread: memoryview = field(default_factory=lambda: memoryview(b""))
    text: ByteModel = field(default_factory=lambda: primed(PRIMER))
    numbers: dict[str, Numbers] = field(default_factory=dict)
    floats: Chances = field(default_factory=lambda: Chances(4 << 16))
    before: list[int] = field(default_factory=list)
    spent: Counter[str] = field(default_factory=Counter)
    last: int = 0

    def mark(self, column: str) -> None:
        """Put the bytes since the last mark into a column."""
        if self.position is not None:
            now = self.position()
            self.spent[column] += now - self.last
            self.last = now

    def number(self, what: str, value: int = 0, most: int = 1 << 31) -> int:
        """Code a whole number from 0, in a model of its own for each `what`."""
        found = self.numbers.setdefault(what, Numbers()).code(self.coder, value)
        if found > most:
            raise NetworkError(f"it declares {found:,} as {what}")
        return found

    def string(self, what: str, value: bytes = b"", most: int = MOST_TEXT) -> bytes:
        """Code bytes of text, after their length."""
        size = self.number(f"length of {what}", len(value), most)
        if self.budget is not None:
            self.budget.take_text(size)
        given = value if self.budget is None else bytes(size)
        return bytes([self.text.code(self.coder, byte) for byte in given])

    def blob(self, value: bytes | memoryview = b"") -> bytes | memoryview:
        """Bytes beside the coded ones."""
        size = self.number("bytes stored as they are", len(value))
        if self.budget is None:
            self.blobs += value
            return value
        if size > len(self.unread):
            raise NetworkError("it ends too early")
        taken, self.unread = self.unread[:size], self.unread[size:]
        return taken

    def array(self, dtype: np.dtype[Any], count: int, value: NDArray[Any] | None = None) -> NDArray[Any]:
        """Code values bit for bit, highest byte first: each byte after the one before and its place."""
        width, code = dtype.itemsize, self.floats.code
        big = dtype.newbyteorder(">")
        given = bytes(count * width) if value is None else value.astype(big).tobytes()
        out, top = bytearray(), 0
        for at in range(0, len(given), width):
            before = top
            for place in range(width):
                node, context = 1, (min(place, 3) << 8 | before) << 8
                for bit in range(7, -1, -1):
                    node = node << 1 | code(self.coder, context | (node & 255), given[at + place] >> bit & 1)
                before = node & 255
                top = top if place else before
                out.append(before)
        return np.frombuffer(bytes(out), big).astype(dtype)


def code_tensor(stream: Stream, tensor: SmallTensor | None, *, fast: bool = False) -> SmallTensor:
    """Write a tensor, or read the next one where None is given.

    Raises:
        NetworkError: while reading, what no writer writes, or more than the file can hold.
    """
    name = stream.string("name", b"" if tensor is None else tensor.name.encode(), LONGEST_NAME).decode()
    given = () if tensor is None else tensor.shape
    shape = tuple(
        stream.number("axis", given[axis] if axis < len(given) else 0)
        for axis in range(stream.number("axes", len(given), MOST_AXES))
    )
    kind = KINDS[stream.number("kind", 0 if tensor is None else KINDS.index(tensor.kind), len(KINDS) - 1)]
    stream.mark("headers")
    if stream.budget is not None:
        stream.budget.take(math.prod(max(1, size) for size in shape))
    before = stream.spent.copy()
    head = SmallTensor(name, shape, kind)
    found = _raw(stream, tensor, head) if kind == "raw" else _symbols(stream, tensor, head, fast=fast)
    stream.mark("values")
    if len(shape) < 2:
        stream.spent["biases"] += stream.spent.total() - before.total()
        for column in ("indices", "values", "codebooks"):
            stream.spent[column] = before[column]
    return found


def _raw(stream: Stream, tensor: SmallTensor | None, head: SmallTensor) -> SmallTensor:
    """Values as they are; large ones beside the coded bytes."""
    value, number = None, 0
    if tensor is not None and tensor.raw is not None:
        value, number = _stored(tensor.raw)
    form = RAW[stream.number("element type", number, len(RAW) - 1)]
    dtype, count = np.dtype("float16" if form == "as16" else form), math.prod(head.shape)
    stored = np.dtype(np.uint8) if form == "bool" else dtype
    if count >= _AS_ARE:
        data = stream.blob(b"" if value is None else flat_bytes(value.astype(stored, copy=False)))
        if len(data) != count * stored.itemsize:
            raise NetworkError(f"{head.name} declares {count:,} values and has {len(data):,} bytes")
        found = np.frombuffer(data, stored.newbyteorder("<")).astype(stored)
    else:
        bits = np.dtype(f"u{stored.itemsize}")  # as bits: not every NaN survives as a number
        given = None if value is None else np.ascontiguousarray(value.astype(stored)).ravel().view(bits)
        found = stream.array(bits, count, given).view(stored)
    if form == "bool":
        found = found != 0
    return replace(head, raw=(found.astype(np.float32) if form == "as16" else found).reshape(head.shape))


def flat_bytes(values: NDArray[Any]) -> memoryview:
    """The bytes of values, little-endian; those of the array itself where it holds them so."""
    little = np.asarray(values, values.dtype.newbyteorder("<"), order="C")
    return little.reshape(-1).view(np.uint8).data


def _stored(raw: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """How raw values are stored: float32 as float16 where that keeps every bit."""
    if raw.dtype == np.float32:
        with np.errstate(over="ignore"):
            narrow = raw.astype(np.float16)
        if narrow.astype(np.float32).tobytes() == raw.tobytes():
            return narrow, RAW.index("as16")
    return raw, RAW.index(raw.dtype.name)


def _symbols(stream: Stream, tensor: SmallTensor | None, head: SmallTensor, *, fast: bool) -> SmallTensor:
    """What symbols mean, scales, then the symbols."""
    shape, kind = head.shape, head.kind
    negative, positive, step, radix = _meaning(stream, tensor, kind)
    rows = shape[0] if shape else 1
    scaled = bool(stream.number("scales", int(tensor is not None and tensor.scales is not None), 1))
    scales = None
    if scaled:
        bits = None if tensor is None or tensor.scales is None else tensor.scales.view(np.uint16)
        scales = stream.array(np.dtype(np.uint16), rows, bits).view(np.float16)
    blocks = bool(stream.number("coder", int(fast), 1))
    stream.mark("codebooks")
    count = math.prod(shape)
    given = None if tensor is None else cast("NDArray[np.int32]", tensor.symbols)
    if blocks:
        symbols = _in_blocks(stream, given, shape)
    else:
        flat = [0] * count if given is None else given.ravel().tolist()
        layout = layout_of(shape, stream.before)
        flat, held = code_symbols(stream.coder, flat, layout, lambda: stream.mark("indices"))
        stream.before = held if len(shape) > 1 else stream.before
        symbols = np.array(flat, np.int32).reshape(shape)
    if kind == "codebook" and count:
        assert positive is not None
        assert negative is not None
        if symbols.max() > len(positive) or -symbols.min() > len(negative):
            raise NetworkError(f"{head.name} has a symbol without a value")
    meaning = {"positive": positive, "negative": negative, "step": step, "radix": radix}
    return replace(head, symbols=symbols, scales=scales, **meaning)


def _meaning(stream: Stream, tensor: SmallTensor | None, kind: Kind) -> tuple[Any, Any, float, int]:
    """Codebook, step or radix."""
    if kind == "codebook":
        wide = 0 if tensor is None or tensor.positive is None else tensor.positive.dtype.itemsize // 2 - 1
        dtype = np.dtype(np.float32 if stream.number("width", wide, 1) else np.float16)
        bits, pair = np.dtype(f"u{dtype.itemsize}"), []
        for values in (None, None) if tensor is None else (tensor.negative, tensor.positive):
            size = stream.number("codebook", 0 if values is None else len(values), WIDEST_CODEBOOK)
            if stream.budget is not None:
                stream.budget.take(size)
            pair.append(stream.array(bits, size, None if values is None else values.view(bits)).view(dtype))
        return pair[0], pair[1], 0.0, 0
    if kind == "step":
        step = None if tensor is None else np.array([tensor.step], np.float32).view(np.uint32)
        return None, None, float(stream.array(np.dtype(np.uint32), 1, step).view(np.float32)[0]), 0
    return None, None, 0.0, stream.number("radix", 0 if tensor is None else tensor.radix + 64, 128) - 64


def _in_blocks(stream: Stream, given: NDArray[np.int32] | None, shape: tuple[int, ...]) -> NDArray[np.int32]:
    """The fast coder, whose words lie beside the coded bytes."""
    rows = shape[0] if len(shape) > 1 else 1
    table = None if given is None else given.reshape(rows, -1)
    low, high = (0, 0) if table is None or not table.size else (max(0, -int(table.min())), max(0, int(table.max())))
    negative, positive = stream.number("lowest", low, LARGEST), stream.number("highest", high, LARGEST)
    columns = math.prod(shape) // max(rows, 1)
    if table is not None:
        words = block_coder.encode_blocks(table, negative, positive)
        stream.blob(words.astype("<u4").tobytes())
        found = table
    else:
        data = stream.blob()
        if len(data) % 4:
            raise NetworkError("its block code is damaged")
        words = np.frombuffer(data, "<u4").astype(np.uint32)
        found, share = block_coder.decode_blocks(words, (rows, columns), negative, positive)
        stream.spent["indices"] += (of_places := round(len(data) * share))
        stream.last += of_places
    if len(shape) > 1:
        stream.before = [held_class(count) for count in (found != 0).sum(axis=1).tolist()]
    return found.reshape(shape)
