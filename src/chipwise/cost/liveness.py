"""How many bytes of activations are alive at once when rows run in order.

A tensor is alive from the row that makes it to the last row that reads it; an activation gives a second one. What only
renames or regards a tensor (a reshape) keeps it alive and adds nothing. Compiled runtimes (`fused`) let functions of
single elements write over what they read for the last time, and let a convolution start from the sum that it is added
to: no second tensor for either.

>>> from chipwise.core.layer import Layer
>>> first = Layer("a", "Conv", ((1, 4),), ((1, 8),), write_bytes=32)
>>> rows = [first, Layer("b", "Relu", ((1, 8),), ((1, 8),), write_bytes=32, after=("a",))]
>>> most_alive(rows), most_alive(rows, fused=True)
(64, 32)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from chipwise.core.formats import ROW_BYTES
from chipwise.core.layer import Layer

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
_SUMS = frozenset(("Add", "Sum"))


@dataclass(frozen=True, slots=True)
class Buffer:
    """Memory that results lie in: its bytes, and the rows (by index) that first write and last read it."""

    size: int
    first: int
    last: int


def most_alive(rows: Sequence[Layer], *, fused: bool = False) -> int:
    """Bytes of activations alive at once, in float32; the network's inputs are held by the caller and not counted.

    Args:
        rows: in the order they run, with `after` filled.
        fused: as compiled runtimes run them; else as torch does layer by layer.
    """
    # Each row has two moments: its operator reads and writes; then its activation makes a second tensor, unless fused.
    changes = [0] * (2 * len(rows) + 2)
    for buffer in planned(rows, fused=fused):
        changes[2 * buffer.first] += buffer.size
        changes[2 * buffer.last + (2 if fused else 1)] -= buffer.size
    for index, row in enumerate(rows):
        if row.activation and not fused:
            changes[2 * index + 1] += row.write_bytes
            changes[2 * index + 2] -= row.write_bytes
    return max(accumulate(changes), default=0)


def packed(rows: Sequence[Layer]) -> int:
    """Bytes that a planner needs which lays the buffers of `fused` rows into one block, in the order they are made.

    Each goes into the smallest gap that holds it, else behind the last, as ONNX Runtime's memory pattern planner does
    (onnxruntime/core/framework/mem_pattern_planner.h). Gaps make this more than `most_alive`.
    """
    held: list[tuple[int, int, int]] = []
    top = 0
    for buffer in sorted(planned(rows, fused=True), key=lambda each: each.first):
        held = sorted(place for place in held if place[2] >= buffer.first)
        end, best = 0, None
        for start, size, _ in held:
            if start - end >= buffer.size and (best is None or start - end < best[0]):
                best = start - end, end
            end = max(end, start + size)
        start = best[1] if best else end
        held.append((start, buffer.size, buffer.last))
        top = max(top, start + buffer.size)
    return top


def input_bytes(rows: Sequence[Layer]) -> int:
    """Bytes of the network's inputs in float32: shapes read by rows that no other row feeds, each counted once."""
    shapes = {shape for row in rows if not row.after for shape in row.inputs}
    return ROW_BYTES * sum(math.prod(shape) for shape in shapes)


def output_bytes(rows: Sequence[Layer]) -> int:
    """Bytes of the network's results in float32: what no row reads."""
    read = {name for row in rows for name in row.after}
    return sum(row.write_bytes for row in rows if row.name not in read)


def planned(rows: Sequence[Layer], *, fused: bool) -> list[Buffer]:
    """The buffers that the results of rows lie in, several results in one where nothing is lost by it."""
    plan = _Plan(rows)
    views = VIEWS if fused else VIEWS | STRIDED
    for index, row in enumerate(rows):
        if row.op in views and row.after and row.after[0] in plan.index:
            plan.join(index, plan.index[row.after[0]])
    if fused:
        for index, row in enumerate(rows):
            if row.op in ELEMENTWISE:
                plan.write_over(index)
    found: dict[int, Buffer] = {}
    for index in range(len(rows)):
        root = plan.root(index)
        if root not in found:
            found[root] = Buffer(plan.size[root], index, plan.last[root])
    return list(found.values())


class _Plan:
    """Rows in groups that share memory (a union-find), with each group's bytes and last reader."""

    def __init__(self, rows: Sequence[Layer]) -> None:
        self.rows = rows
        self.index = {row.name: index for index, row in enumerate(rows)}
        self.parent = list(range(len(rows)))
        self.size = [row.write_bytes for row in rows]
        self.readers = [0] * len(rows)
        self.last = [-1] * len(rows)
        for place, row in enumerate(rows):
            for name in row.after:
                if name in self.index:
                    self.last[self.index[name]] = place
                    self.readers[self.index[name]] += 1
        # What nobody reads is a result of the network.
        self.last = [len(rows) - 1 if last < 0 else last for last in self.last]

    def root(self, index: int) -> int:
        while self.parent[index] != index:
            self.parent[index] = self.parent[self.parent[index]]
            index = self.parent[index]
        return index

    def join(self, index: int, into: int) -> None:
        mine, root = self.root(index), self.root(into)
        if mine != root:
            self.parent[mine] = root
            self.last[root] = max(self.last[root], self.last[mine])
            self.size[root] = max(self.size[root], self.size[mine])

    def write_over(self, index: int) -> None:
        """Put a row's result where an operand lies that dies there, and a convolution that it adds there as well."""
        row = self.rows[index]
        dying = [
            root
            for name in row.after
            if name in self.index
            and self.last[root := self.root(self.index[name])] == index
            and self.size[root] == self.size[self.root(index)]
        ]
        if not dying:
            return
        # The operand that was made first: a sum's later one is computed on top of it.
        oldest = min(dying)
        self.join(index, oldest)
        if row.op in _SUMS:
            for root in dying:
                if root != oldest and self.readers[root] == 1 and self.rows[root].op == "Conv":
                    self.join(root, oldest)
