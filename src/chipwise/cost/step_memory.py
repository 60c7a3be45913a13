"""What a training step holds beside weights and the optimizer's state: forward, then back, row by row.

Going forward, what rows save piles up. Going back it goes, while gradients of weights come, and those of results live
from their last reader to the row that made them. Segments that are run again (activation checkpointing: Chen et al.,
"Training deep nets with sublinear memory cost", arXiv 1604.06174) save what passes their borders alone, and all of
theirs again while their own backward pass runs. What swapped segments save is on disk but for the row whose turn it is,
and so are large weights and their gradients where they lie there.

>>> from chipwise.core.layer import Layer
>>> first = Layer("a", "Gemm", ((8, 9),), ((8, 9),), 90, write_bytes=288, saved_bytes=288)
>>> rows = [first, Layer("b", "Gemm", ((8, 9),), ((8, 2),), 20, write_bytes=64, saved_bytes=288, after=("a",))]
>>> moment = fullest_moment(rows, Workload("training", 8))
>>> moment.row, moment.saved, moment.gradients, moment.activations
('a', 288.0, 440.0, 288.0)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from chipwise.core.estimate import Workload
from chipwise.core.formats import ROW_BYTES, value_bytes
from chipwise.core.layer import Layer
from chipwise.core.training_memory import LARGE_WEIGHT, STATE_AT_ONCE
from chipwise.cost.liveness import STRIDED, VIEWS

# Of products and normalizations autocast keeps 2-byte results for the backward pass; of the rest 4-byte ones.
AMP_BYTES = 2
# Places of a pooling's maxima are kept in 8 bytes, whatever the values are kept in.
_PLACE_BYTES = 8
# Operators whose backward pass hands on the gradient that it is given.
_HANDING_ON = VIEWS | STRIDED | frozenset(("Add", "Sum"))
# Activations whose gradient needs their result, which therefore stays; of others it needs what they read.
_KEEPS_RESULT = frozenset(("Elu", "LogSoftmax", "Relu", "Selu", "Sigmoid", "Softmax", "Tanh"))
_CONVOLUTIONS = frozenset(("Conv", "ConvTranspose"))


@dataclass(frozen=True, slots=True)
class Moment:
    """Bytes beside weights and state at one moment of a step.

    Attributes:
        row: whose turn it is; backward: on the way back.
        saved: kept for the backward pass; copies: 2-byte weights of mixed precision, kept for it as well.
        gradients: of weights, that of this row among them.
        activations: results and gradients of results that are alive.
        workspace: operands that a convolution lays out anew for itself.
        weights: that came from disk.
    """

    row: str = ""
    backward: bool = False
    saved: float = 0.0
    copies: float = 0.0
    gradients: float = 0.0
    activations: float = 0.0
    workspace: float = 0.0
    weights: float = 0.0

    @property
    def bytes(self) -> float:
        """All of it."""
        return self.saved + self.copies + self.gradients + self.activations + self.workspace + self.weights


def fullest_moment(layers: Sequence[Layer], workload: Workload, *, copied: bool = False) -> Moment:
    """The moment of a step at which most is held.

    Args:
        layers: rows for as many items as go through the network at a time, in the order they run.
        workload: "amp" and "accumulation" among its techniques, and `again`.
        copied: convolutions read and write copies in a layout of their own, as oneDNN's do of NCHW on x86.
    """
    step = _Step(layers, workload, copied=copied)
    moments = [*step.forward(), *step.backward()]
    return max(moments, key=lambda moment: moment.bytes, default=Moment())


def again_flops(layers: Sequence[Layer], segment: Sequence[str]) -> int:
    """FLOPs of running a segment a second time."""
    return sum(row.flops for row in layers if belongs(row, segment))


def belongs(row: Layer, segment: Sequence[str]) -> bool:
    """Whether a row is of one of these modules (by path): its own name, or that of a module around it."""
    return any(row.name == path or row.name.startswith((f"{path}.", f"{path}/", f"{path}_")) for path in segment)


def lent_bytes(row: Layer) -> int:
    """Float32 bytes of the weights that lie on disk, where large ones do, while the row does not run."""
    size = ROW_BYTES * row.parameters
    return size if size >= LARGE_WEIGHT and _multiplies(row) else 0


def kept_scale(workload: Workload) -> float:
    """Bytes of a saved value over those of float32."""
    mixed = "amp" in workload.techniques
    return (AMP_BYTES if mixed else value_bytes(workload.precision)) / ROW_BYTES


def saved_bytes(layer: Layer) -> int:
    """Float32 bytes as traced; else inputs of what has weights, as their gradients need them, else results."""
    if layer.saved_bytes is not None:
        return layer.saved_bytes
    return read_values(layer) if layer.parameters else layer.write_bytes


def read_values(layer: Layer) -> int:
    """Float32 bytes of the activations that a row reads."""
    return ROW_BYTES * sum(math.prod(shape) for shape in layer.inputs)


@dataclass(frozen=True, slots=True, eq=False)
class _Gradient:
    """Memory of the gradient of a result; of several where an operator hands on what it is given."""

    size: float


@dataclass(slots=True)
class _Step:
    """Bytes of every row in a step, worked out once."""

    rows: Sequence[Layer]
    workload: Workload
    copied: bool
    index: dict[str, int] = field(init=False)
    scale: float = field(init=False)
    segment: list[int] = field(init=False)
    swapped: list[bool] = field(init=False)
    saved: list[float] = field(init=False)
    border: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self.scale = kept_scale(self.workload)
        self.index = {row.name: place for place, row in enumerate(self.rows)}
        self.segment = [self._segment_of(row) for row in self.rows]
        self.swapped = [any(belongs(row, each) for each in self.workload.swapped) for row in self.rows]
        self.saved = [self._saved(row) for row in self.rows]
        cut = bool(self.workload.again or self.workload.swapped)  # else no row has a border
        self.border = [self._border(place) if cut else 0.0 for place in range(len(self.rows))]

    def forward(self) -> Iterator[Moment]:
        """Before each row frees what it does not save."""
        left = copies = 0.0
        gradients = self._all_gradients() if self._accumulates() else 0.0
        for place, row in enumerate(self.rows):
            left += self.border[place] + (self.saved[place] if self._stays(place) else 0.0)
            copies += self._copy(row) if self.segment[place] < 0 else 0.0
            yield Moment(
                row.name, False, left, copies, gradients, self._result(row), self._laid_out(row)[0], self._lent(row)
            )

    def backward(self) -> Iterator[Moment]:
        """Each row's activation, then its own gradients, from the last row to the first."""
        outside = [place for place in range(len(self.rows)) if self.segment[place] < 0]
        left = sum(self.border) + sum(self.saved[place] for place in outside if self._stays(place))
        copies = sum(self._copy(self.rows[place]) for place in outside)
        gradients = self._all_gradients() if self._accumulates() else 0.0
        alive: dict[int, _Gradient] = {}
        inside = -1
        for place in reversed(range(len(self.rows))):
            row, mine = self.rows[place], self.segment[place]
            if mine >= 0 and mine != inside:  # everything in it is made once more
                members = [other for other in range(len(self.rows)) if self.segment[other] == mine]
                left += sum(self.saved[other] for other in members)
                copies += sum(self._copy(self.rows[other]) for other in members)
                lent = self._lent(row) + max(self._lent(self.rows[other]) for other in members)
                yield Moment(row.name, True, left, copies, gradients, _whole(alive) + self._result(row), weights=lent)
            inside = mine
            first, second = self._read_back(place)
            left += first
            alive.setdefault(place, _Gradient(self._result(row)))
            held = _whole(alive)
            if row.activation:
                yield Moment(row.name, True, left, copies, gradients, held + self._result(row))
            left += second - first
            made = self._handed(place, alive)
            new, held = self._weights(row), max(held, _whole(alive)) + made
            lent, ordered = self._lent(row), self._laid_out(row)[1]
            if lent:  # with what it is added to, a piece at a time
                own = new + (min(new, ROW_BYTES * STATE_AT_ONCE) if self._accumulates() else 0.0)
                yield Moment(row.name, True, left, copies, gradients + own, held, ordered, lent)
            else:
                gradients += 0.0 if self._accumulates() else new
                fresh = new if self._accumulates() else 0.0
                yield Moment(row.name, True, left, copies, gradients, held + fresh, ordered)
            del alive[place]
            left -= (second if self.swapped[place] else self.saved[place]) + self.border[place]
            copies -= self._copy(row)

    def _read_back(self, place: int) -> tuple[float, float]:
        """Bytes of a swapped row that are there for its activation's gradient, and then for its own."""
        if not self.swapped[place]:
            return 0.0, 0.0
        row, saved = self.rows[place], self.saved[place]
        kept = min(saved, self._result(row)) if row.activation in _KEEPS_RESULT else 0.0
        return (kept, saved - kept) if row.activation else (0.0, saved)

    def _stays(self, place: int) -> bool:
        """Whether what a row saves is in memory from forward to backward."""
        return self.segment[place] < 0 and not self.swapped[place]

    def _accumulates(self) -> bool:
        return "accumulation" in self.workload.techniques

    def _all_gradients(self) -> float:
        return sum(self._weights(row) for row in self.rows if not self._lent(row))

    def _lent(self, row: Layer) -> float:
        return lent_bytes(row) if "weights on disk" in self.workload.techniques else 0.0

    def _weights(self, row: Layer) -> float:
        """Bytes of the gradient of a row's weights, as the weights are kept."""
        mixed = "amp" in self.workload.techniques
        return row.parameters * (ROW_BYTES if mixed else value_bytes(self.workload.precision))

    def _copy(self, row: Layer) -> float:
        return AMP_BYTES * row.parameters if "amp" in self.workload.techniques and _multiplies(row) else 0.0

    def _result(self, row: Layer) -> float:
        return self.scale * row.write_bytes

    def _saved(self, row: Layer) -> float:
        whole = saved_bytes(row)
        places = min(whole, _PLACE_BYTES // ROW_BYTES * row.write_bytes) if row.op == "MaxPool" else 0
        return places + self.scale * (whole - places)

    def _segment_of(self, row: Layer) -> int:
        found = (place for place, segment in enumerate(self.workload.again) if belongs(row, segment))
        return next(found, -1)

    def _border(self, place: int) -> float:
        """Bytes of a row's result where a segment must keep it that would else have saved it inside, or not at all."""
        row, mine = self.rows[place], self.segment[place]
        readers = [self.segment[other] for other, each in enumerate(self.rows) if row.name in each.after]
        beyond = [other for other in readers if other != mine]
        again = [other for other in beyond if other >= 0]
        own = row.activation in _KEEPS_RESULT or row.op in _KEEPS_RESULT
        if self.swapped[place]:  # who reads it keeps it, unless that is swapped, too
            kept = [self._stays(other) for other, each in enumerate(self.rows) if row.name in each.after]
            return self._result(row) if (own and any(kept)) or again else 0.0
        lost = bool(beyond) and (own or bool(again)) if mine >= 0 else bool(again) and not own
        return self._result(row) if lost else 0.0

    def _handed(self, place: int, alive: dict[int, _Gradient]) -> float:
        """Give the rows that were read their gradients; returns bytes of those that are added to earlier ones."""
        row, added = self.rows[place], 0.0
        for name in row.after:
            source = self.index.get(name)
            if source is None:
                continue
            size = self._result(self.rows[source])
            if source in alive:
                added += 0.0 if row.op in _HANDING_ON else size
            elif row.op in _HANDING_ON:
                alive[source] = alive[place]
            else:
                alive[source] = _Gradient(size)
        return added

    def _laid_out(self, row: Layer) -> tuple[float, float]:
        """Bytes of a convolution's copies: forward, and back (first of its operands, then of the kernel)."""
        if not self.copied or row.op not in _CONVOLUTIONS:
            return 0.0, 0.0
        kernel = self.scale * ROW_BYTES * row.parameters
        operands = self.scale * read_values(row) + self._result(row)
        return operands + kernel, max(operands, kernel)


def _whole(alive: dict[int, _Gradient]) -> float:
    return sum(gradient.size for gradient in set(alive.values()))


def _multiplies(row: Layer) -> bool:
    return row.op in _CONVOLUTIONS or row.op in ("Gemm", "MatMul")
