"""Messages between the server and its worker processes: a short header, then arrays as they lie in memory.

The peer is a process of ours over a private socket pair; nothing is pickled all the same.

>>> message = Message("infer", {"top": 5}, (np.float32([1, 2]),), b"png")
>>> head, rest = message.frames()[0], b"".join(message.frames()[1:])
>>> again = parse(head[SIZES.size:], rest)
>>> again.kind, again.facts, again.arrays[0].tolist(), bytes(again.blob)
('infer', {'top': 5}, [1.0, 2.0], b'png')
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ml_dtypes  # noqa: F401  bfloat16 as a NumPy type
import msgspec
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZES = struct.Struct("<IQ")  # bytes of the header that follows, and of what follows that
_ALIGNED = 64


@dataclass(frozen=True, slots=True)
class Message:
    """What one side tells the other.

    Attributes:
        kind: "open", "infer", "look" to a worker; "opened", "done", "refused" from it.
        facts: names and plain values.
        arrays: tensors, in the model's order.
        blob: a file's content.
    """

    kind: str
    facts: dict[str, Any] = field(default_factory=dict)
    arrays: tuple[NDArray[Any], ...] = ()
    blob: bytes | memoryview = b""

    def frames(self) -> list[Any]:
        """What is written, one after the other; the first has the sizes of all."""
        parts: list[Any] = []
        forms, at = [], 0
        for array in self.arrays:
            gap = -at % _ALIGNED
            parts += [bytes(gap), np.ascontiguousarray(array).reshape(-1).view(np.uint8).data]
            forms.append((array.dtype.name, array.shape, at + gap))
            at += gap + array.nbytes
        header = msgspec.msgpack.encode((self.kind, self.facts, forms, at))
        return [SIZES.pack(len(header), at + len(self.blob)) + header, *parts, self.blob]


def parse(header: bytes | memoryview, rest: bytes | bytearray | memoryview) -> Message:
    """Read what `frames` wrote; the arrays share the memory of `rest`."""
    kind, facts, forms, end = msgspec.msgpack.decode(header)
    arrays = tuple(
        np.frombuffer(rest, np.dtype(name), int(np.prod(shape, dtype=np.int64)), at).reshape(shape)
        for name, shape, at in forms
    )
    return Message(kind, facts, arrays, memoryview(rest)[end:])
