"""How many bytes of activations are alive at once when rows run in order.

A tensor is alive from the row that makes it to the last row that reads it. What only renames or regards a tensor (a
reshape) keeps it alive and adds nothing. Where kernels may write over what they read for the last time (`in_place`),
as planners of ONNX Runtime and OpenVINO let them, functions of single elements need no second tensor.

>>> from chipwise.core.layer import Layer
>>> first = Layer("a", "Conv", ((1, 4),), ((1, 8),), write_bytes=32)
>>> rows = [first, Layer("b", "Relu", ((1, 8),), ((1, 8),), write_bytes=32, after=("a",))]
>>> most_alive(rows), most_alive(rows, in_place=True)
(64, 32)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from chipwise.core.layer import Layer
from chipwise.cost.formats import ROW_BYTES

# What gives another view of its first operand's memory; torch and the runtimes copy nothing.
VIEWS = frozenset(("Dropout", "Expand", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"))
# Views in torch, which has strides; copies in runtimes that keep tensors dense.
STRIDED = frozenset(("Select", "Slice", "Split", "Transpose"))
# Functions of single elements, which may write over what they read.
ELEMENTWISE = frozenset(
    (
        *("Add", "BatchNormalization", "Clip", "Div", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish"),
        *("Mul", "PRelu", "Relu", "Selu", "Sigmoid", "Softmax", "Softplus", "Sub", "Sum", "Swish", "Tanh"),
    )
)


@dataclass(slots=True)
class _Buffers:
    """Which memory each row's result lies in, how large it is, and the last row that reads it."""

    place: dict[str, str] = field(default_factory=dict)
    size: dict[str, int] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)

    def join(self, name: str, into: str) -> None:
        """Let `name` lie in the memory of `into`."""
        root, old = self.place[into], self.place[name]
        for key, held in self.place.items():
            if held == old:
                self.place[key] = root
        self.last[root] = max(self.last[root], self.last.pop(old))
        self.size[root] = max(self.size[root], self.size.pop(old))


def most_alive(rows: Sequence[Layer], *, in_place: bool = False) -> int:
    """Bytes of activations alive at once, in float32; the network's inputs are held by the caller and not counted.

    Args:
        rows: in the order they run, with `after` filled.
        in_place: whether functions of single elements write over what they read for the last time, and strided views
            are copies, as in compiled runtimes; else as in torch run layer by layer.
    """
    buffers = _planned(rows, in_place=in_place)
    begins: dict[str, int] = {}
    for index, row in enumerate(rows):
        begins.setdefault(buffers.place[row.name], index)
    changes = [0] * (len(rows) + 1)
    for root, first in begins.items():
        changes[first] += buffers.size[root]
        changes[buffers.last[root] + 1] -= buffers.size[root]
    alive = most = 0
    for change in changes[:-1]:
        alive += change
        most = max(most, alive)
    return most


def input_bytes(rows: Sequence[Layer]) -> int:
    """Bytes of the network's inputs in float32: shapes read by rows that no other row feeds, each counted once."""
    shapes = {shape for row in rows if not row.after for shape in row.inputs}
    return ROW_BYTES * sum(math.prod(shape) for shape in shapes)


def _planned(rows: Sequence[Layer], *, in_place: bool) -> _Buffers:
    buffers = _Buffers()
    made = {row.name: row for row in rows}
    end = len(rows) - 1
    read: dict[str, int] = {}
    for index, row in enumerate(rows):
        read.update(dict.fromkeys(row.after, index))
    for row in rows:
        buffers.place[row.name] = row.name
        buffers.size[row.name] = row.write_bytes
        buffers.last[row.name] = read.get(row.name, end)  # what nobody reads is a result of the network
    views = VIEWS if in_place else VIEWS | STRIDED
    for row in rows:
        if row.op in views and row.after and row.after[0] in made:
            buffers.join(row.name, row.after[0])
    if in_place:
        for index, row in enumerate(rows):
            if row.op in ELEMENTWISE and (target := _dying(row, index, buffers)):
                buffers.join(row.name, target)
    return buffers


def _dying(row: Layer, index: int, buffers: _Buffers) -> str:
    """Name of a producer of `row` whose memory nobody reads after it and that is just as large; empty if none."""
    mine = buffers.place[row.name]
    for name in row.after:
        root = buffers.place.get(name, "")
        if root and root != mine and buffers.last[root] == index and buffers.size[root] == buffers.size[mine]:
            return name
    return ""
