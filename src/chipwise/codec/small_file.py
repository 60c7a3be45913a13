"""The compressed network file `.cwz`: a graph without weights, what it is for, and weights in a few bits each.

docs/compressed-file.md has the layout. Everything but large blobs goes through one adaptive range coder, which needs no
lengths, no padding and no alignment. A checksum over the file is compared before anything is decoded, and a digest of
what was decoded after it, so that the same file gives the same bytes everywhere, or an error.

>>> from chipwise.codec.small_tensor import from_values
>>> file = SmallFile(b"graph", b"", (from_values("w", np.array([[0, 0.5]], np.float32)),))
>>> data = encode_small(file); len(data) < 60, [values.tolist() for _, values in SmallReader(data).tensors()]
(True, [[[0.0, 0.5]]])
"""

from __future__ import annotations

import hashlib
import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from chipwise.codec.block_coder import WIDEST
from chipwise.codec.files import atomic_write, read_bounded
from chipwise.codec.queue_coder import need_constriction
from chipwise.codec.range_coder import RangeDecoder, RangeEncoder
from chipwise.codec.small_stream import (
    MOST_TENSORS,
    MOST_TEXT,
    MOST_VALUES,
    TEXT_A_BYTE,
    VALUES_A_BYTE,
    Budget,
    Stream,
    code_tensor,
    flat_bytes,
)
from chipwise.codec.small_tensor import Array, SmallTensor
from chipwise.core.errors import InputError, NetworkError
from chipwise.core.ledger import Ledger, LedgerRow

MAGIC, VERSION = b"CWZ", 1
LIMIT_BYTES = 1 << 30
Mode = Literal["auto", "small", "fast"]
_START = struct.Struct("<3sBI8s")  # magic, version, checksum of all that follows it, digest of what is decoded
_CHECKED = 8  # bytes before what the checksum covers
_LARGE = 1 << 20  # symbols in a file from which on "auto" takes the fast coder
_BLOCKY = 1 << 12  # and values of a tensor from which on it pays
_HINT = "it was damaged: copy or make it again"


@dataclass(frozen=True, slots=True)
class SmallFile:
    """What a file holds.

    Attributes:
        graph: the topology, as `networks.small_file` writes it; any bytes here.
        facts: what the network is for, likewise; empty when there is nothing to say.
        tensors: in the order in which they are coded: best as the graph uses them.
    """

    graph: bytes
    facts: bytes
    tensors: tuple[SmallTensor, ...]


def encode_small(file: SmallFile, *, mode: Mode = "auto") -> bytes:
    """The bytes of a file; the same input gives the same bytes.

    Args:
        file: what to store.
        mode: "small" takes the reference coder for every tensor, "fast" constriction's for all that it suits, "auto"
            the latter from a million symbols on.

    Raises:
        MissingExtraError: the fast coder is asked for, or needed, and constriction is not installed.
        NetworkError: more values, text or bytes than any reader accepts.
    """
    if mode == "fast" or (mode == "auto" and sum(each.count for each in file.tensors if each.kind != "raw") > _LARGE):
        fast = tuple(_suits_blocks(tensor) for tensor in file.tensors)
        if any(fast):
            need_constriction()
    else:
        fast = (False,) * len(file.tensors)
    values = sum(map(_declared, file.tensors))
    text = len(file.graph) + len(file.facts) + sum(len(each.name.encode()) for each in file.tensors)
    for what, held, most in (("values", values, MOST_VALUES), ("bytes of text", text, MOST_TEXT)):
        if held > most:
            raise NetworkError(f"the network has {held:,} {what}; a compressed file holds at most {most:,}")
    digest = _Digest(file.graph, file.facts)
    for tensor in file.tensors:
        digest.add(tensor, tensor.dense())
    data = _encoded(file, fast, digest.short(), 0)
    # Where nearly all are zeros, or layers are the same, a file of that size may not declare as much.
    free = Budget(len(data))
    lacking = max(-((free.values - values) // VALUES_A_BYTE), -((free.text - text) // TEXT_A_BYTE))
    if lacking > 0:
        data = _encoded(file, fast, digest.short(), lacking + 1)
    if len(data) > LIMIT_BYTES:
        raise NetworkError(f"the compressed file would have {len(data):,} bytes; at most {LIMIT_BYTES:,} can be read")
    return data


def _encoded(file: SmallFile, fast: tuple[bool, ...], short: bytes, padding: int) -> bytes:
    coder = RangeEncoder()
    stream = Stream(coder)
    stream.string("graph", file.graph)
    stream.string("task", file.facts)
    stream.number("tensors", len(file.tensors))
    for tensor, blocks in zip(file.tensors, fast, strict=True):
        code_tensor(stream, tensor, fast=blocks)
    stream.blob(bytes(padding))
    coded = _leb128(len(stream.blobs)) + coder.finish()
    checksum = zlib.crc32(stream.blobs, zlib.crc32(short + coded))
    return b"".join((_START.pack(MAGIC, VERSION, checksum, short), coded, stream.blobs))


def _declared(tensor: SmallTensor) -> int:
    """What a tensor takes of the budget: its values, and those of its codebook."""
    books = sum(0 if each is None else len(each) for each in (tensor.negative, tensor.positive))
    return math.prod(max(1, size) for size in tensor.shape) + books


def _suits_blocks(tensor: SmallTensor) -> bool:
    if tensor.symbols is None or tensor.count < _BLOCKY or len(tensor.shape) < 2:
        return False
    low, high = int(tensor.symbols.min()), int(tensor.symbols.max())
    return 0 < max(0, high) + max(0, -low) <= WIDEST


class _Digest:
    """SHA-256 of all that is decoded, cut to 64 bits: damage goes unseen once in 2^64; it is no signature."""

    def __init__(self, graph: bytes, facts: bytes) -> None:
        self._hash = hashlib.sha256()
        for part in (graph, facts):
            self._part(part)

    def _part(self, data: bytes | memoryview) -> None:
        self._hash.update(len(data).to_bytes(8, "little"))
        self._hash.update(data)

    def add(self, tensor: SmallTensor, values: Array) -> None:
        self._part(f"{tensor.name}\0{values.dtype.name}\0{','.join(map(str, tensor.shape))}".encode())
        self._part(flat_bytes(values))

    def short(self) -> bytes:
        return self._hash.digest()[:8]


class SmallReader:
    """Reads a file front to back: the graph at once, tensor after tensor as they are asked for.

    Attributes:
        graph, facts: as in `SmallFile`.

    Raises:
        NetworkError: from any step, when the file is none, or damaged, or holds more than one of its size may.
    """

    def __init__(self, data: bytes, title: str = "the file") -> None:
        self._title, self._size = title, len(data)
        body, self._wanted = _checked(data, title)
        blobs, at = _read_leb128(body, title)
        if blobs > len(body) - at:
            raise NetworkError(f"{title} ends too early", hint=_HINT)
        self._blobs, end = blobs, len(body) - blobs
        self._coder = RangeDecoder(bytes(body[at:end]))
        self._stream = Stream(self._coder, Budget(len(data)), self._position, unread=body[end:])
        self._stream.last = 6  # what a decoder takes before its first bit
        with _told(title):
            self.graph = self._stream.string("graph")
            self._stream.mark("graph")
            self.facts = self._stream.string("task")
            self._stream.mark("task")
            self._count = self._stream.number("tensors", most=MOST_TENSORS)
        self._digest = _Digest(self.graph, self.facts)
        self._rows: list[LedgerRow] = []
        self._dense = 0

    def _position(self) -> int:
        return self._coder.position + self._blobs - len(self._stream.unread)

    def tensors(self) -> Iterator[tuple[SmallTensor, Array]]:
        """Each tensor with its dense values; the digest is compared after the last."""
        for _ in range(self._count):
            before = self._stream.last
            with _told(self._title):
                tensor = code_tensor(self._stream, None)
            values = tensor.dense()
            self._digest.add(tensor, values)
            held = tensor.count if tensor.symbols is None else int(np.count_nonzero(tensor.symbols))
            size = self._stream.last - before
            self._rows.append(LedgerRow(tensor.name, tensor.shape, tensor.kind, tensor.count, held, size))
            self._dense += values.nbytes
            yield tensor, values
        with _told(self._title):
            self._stream.blob()  # padding
            self._coder.check_end()
        if self._stream.unread:
            raise NetworkError(f"{self._title} goes on after its end", hint=_HINT)
        if self._digest.short() != self._wanted:
            raise NetworkError(f"{self._title} does not decode to what was stored", hint=_HINT)

    def ledger(self) -> Ledger:
        """Where the bytes are, once all tensors were decoded."""
        assert len(self._rows) == self._count, "the tensors come first"
        columns = ("values", "indices", "codebooks", "biases", "graph", "task")
        spent = {column: self._stream.spent[column] for column in columns}
        rest = self._size - sum(spent.values())  # magic, hashes, headers of tensors, the coder's last bytes
        return Ledger(total=self._size, **spent, headers=rest, dense=self._dense, rows=tuple(self._rows))


class _told:  # noqa: N801 (reads as a word)
    """Says which file an error is of; what a damaged name or number makes of Python's own errors is one, too."""

    def __init__(self, title: str) -> None:
        self._title = title

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, (InputError, UnicodeDecodeError)):
            reason = "a name in it is no text" if isinstance(error, UnicodeDecodeError) else error.message
            raise NetworkError(f"{self._title} cannot be read: {reason}", hint=_HINT) from error


def _checked(data: bytes, title: str) -> tuple[memoryview, bytes]:
    """The body and the digest, once magic, version and checksum fit."""
    if len(data) < _START.size or data[:3] != MAGIC:
        raise NetworkError(f"{title} is no compressed network (.cwz)")
    _, version, checksum, digest = _START.unpack_from(data)
    if version != VERSION:
        raise NetworkError(
            f"{title} has version {version} of the format, this reads {VERSION}",
            hint="it was written by a newer chipwise",
        )
    whole = memoryview(data)
    if zlib.crc32(whole[_CHECKED:]) != checksum:
        raise NetworkError(f"{title} is damaged: its checksum does not fit", hint=_HINT)
    return whole[_START.size :], digest


def _leb128(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _read_leb128(data: memoryview, title: str) -> tuple[int, int]:
    value = 0
    for at, byte in enumerate(data[:5]):
        value |= (byte & 127) << 7 * at
        if byte < 128:
            return value, at + 1
    raise NetworkError(f"{title} ends too early", hint=_HINT)


def write_small(path: Path, file: SmallFile, *, mode: Mode = "auto") -> int:
    """Write a file, whole or not at all; its size in bytes.

    Raises:
        MissingExtraError, NetworkError: as `encode_small`. StorageError: it cannot be written.
    """
    data = encode_small(file, mode=mode)
    atomic_write(path, data)
    return len(data)


def open_small(path: Path) -> SmallReader:
    """Open a file; its tensors are decoded as they are asked for.

    Raises:
        NetworkError: as `SmallReader`, or it cannot be read.
    """
    return SmallReader(read_bounded(path, LIMIT_BYTES, "compressed network", NetworkError), str(path))


def stream_small(path: Path) -> Iterator[tuple[str, Array]]:
    """Decode tensor after tensor, as (name, array): never more than one of them in memory.

    Raises:
        NetworkError: as `open_small`; a digest that does not fit is found after the last.
    """
    for tensor, values in open_small(path).tensors():
        yield tensor.name, values


def ledger(path: Path) -> Ledger:
    """Where the bytes of a file are, counted by decoding it.

    Raises:
        NetworkError: as `open_small`.
    """
    reader = open_small(path)
    for _ in reader.tensors():
        pass
    return reader.ledger()
