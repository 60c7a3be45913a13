"""One row of a network's layer table, and the totals.

One convention everywhere: one multiply-add is two FLOPs.

>>> conv = Layer("c1", "Conv", inputs=((1, 1, 32, 32),), outputs=((1, 6, 28, 28),), parameters=156, flops=239904)
>>> totals([conv]).parameters
156
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Layer:
    """What one layer holds and does for one batch.

    Attributes:
        name: unique in the network (module path, or ONNX node name).
        op: operator in ONNX terms ("Conv", "Gemm", "AveragePool", ...).
        inputs: shapes of the activations it reads.
        outputs: shapes of what it writes.
        parameters: number of trainable values first used here (shared weights count once).
        flops: work, 1 multiply-add = 2 FLOPs.
        read_bytes: activations and weights read once.
        write_bytes: outputs written once.
        saved_bytes: kept for the backward pass in training; None when it was not traced.
        activation: name of an activation folded into this row ("Relu"); empty when none.
        known: False when the operator's work is not known (flops is then 0 and a lower bound).
        kernel: height and width of the window, for convolutions and pooling; empty for others.
        stride: steps of the window, as `kernel`; groups: of a convolution.
        after: names of the rows whose results it reads, in that order; the network's inputs are not named.
    """

    name: str
    op: str
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    parameters: int = 0
    flops: int = 0
    read_bytes: int = 0
    write_bytes: int = 0
    saved_bytes: int | None = None
    activation: str = ""
    known: bool = True
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    groups: int = 1
    after: tuple[str, ...] = ()

    @property
    def moved_bytes(self) -> int:
        """Bytes read and written, each tensor counted once."""
        return self.read_bytes + self.write_bytes

    @property
    def intensity(self) -> float:
        """Arithmetic intensity, FLOPs per byte moved; 0 for a layer that moves nothing."""
        return self.flops / self.moved_bytes if self.moved_bytes else 0.0


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over a network's rows: parameters, FLOPs and bytes for one batch."""

    layers: int
    parameters: int
    flops: int
    read_bytes: int
    write_bytes: int
    unknown_ops: tuple[str, ...]

    @property
    def moved_bytes(self) -> int:
        """Bytes read and written by all layers."""
        return self.read_bytes + self.write_bytes

    @property
    def intensity(self) -> float:
        """Arithmetic intensity of the whole network, FLOPs per byte moved."""
        return self.flops / self.moved_bytes if self.moved_bytes else 0.0


def totals(layers: Iterable[Layer]) -> Totals:
    """Sum the rows; operators whose work is unknown are listed by name."""
    rows = list(layers)
    return Totals(
        layers=len(rows),
        parameters=sum(row.parameters for row in rows),
        flops=sum(row.flops for row in rows),
        read_bytes=sum(row.read_bytes for row in rows),
        write_bytes=sum(row.write_bytes for row in rows),
        unknown_ops=tuple(sorted({row.op for row in rows if not row.known})),
    )
