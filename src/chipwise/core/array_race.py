"""Answer of `arrays`: what libraries take for one operation on arrays, and from which size one of them pays.

>>> Way("torch", "cuda", moved=True).title
'torch on cuda, moved'
"""

from __future__ import annotations

from dataclasses import dataclass

from chipwise.core.device import Machine
from chipwise.core.measure import Ratio, Timing

BASELINE = "numpy"
# Named here too, for completion and --help, which import nothing heavy; a test holds that they are the same.
LIBRARY_NAMES = (BASELINE, "torch", "jax", "cupy", "numba")
OPERATION_NAMES = (
    "view", "slice", "flip", "copy", "index", "mask", "broadcast", "elementwise", "sum", "mean", "matmul", "fft",
    "sort",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Way:
    """A library on a device.

    Attributes:
        library: its name.
        device: where its arrays lie: "cpu", "cuda", "gpu".
        moved: arrays come from the host's memory in every call, and the result goes back there.
    """

    library: str
    device: str = "cpu"
    moved: bool = False

    @property
    def title(self) -> str:
        """What it is called in tables."""
        if self.device == "cpu":
            return self.library
        return f"{self.library} on {self.device}{', moved' if self.moved else ''}"


@dataclass(frozen=True, slots=True)
class ArrayOperation:
    """One operation: its name, and what is computed in NumPy's words."""

    name: str
    what: str


@dataclass(frozen=True, slots=True)
class ArrayLibrary:
    """A library that takes part.

    Attributes:
        name, version: of it.
        devices: where it can keep arrays here.
        threads: that one call may use on the processor, but for products of matrices; 0 where it does not say.
    """

    name: str
    version: str
    devices: tuple[str, ...]
    threads: int


@dataclass(frozen=True, slots=True)
class ArrayRow:
    """One operation at one size in one way.

    Attributes:
        operation: its name; size: values of its largest array; way: what computes it.
        timing: seconds a call; None where it was not timed, and `note` says why.
        speedup: how much faster than NumPy it is; None for NumPy itself, and where either was not timed.
    """

    operation: str
    size: int
    way: Way
    timing: Timing | None
    speedup: Ratio | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class ArrayTurn:
    """Where a way overtakes NumPy, or is overtaken, beyond the noise.

    Attributes:
        operation: its name; way: what computes it.
        faster_from: the smallest size from which on it is faster at every size that was timed; None where it is not
            faster at the largest.
        slower_from: the same for slower.
        largest: the largest size that was timed; at_largest: how much faster it is there.
    """

    operation: str
    way: Way
    faster_from: int | None
    slower_from: int | None
    largest: int
    at_largest: Ratio


@dataclass(frozen=True, slots=True)
class ArrayRace:
    """Answer of `arrays`.

    Attributes:
        operations: that were asked for; libraries: that took part, NumPy first; sizes: ascending.
        rows: by operation, size and way.
        turns: by operation and way.
        machine: it was measured on; seed: of the arrays and of the order of turns.
        complete: False where it was interrupted.
        picture: file that it was drawn into; "" for none.
        notes: what else to know, each a sentence.
    """

    operations: tuple[ArrayOperation, ...]
    libraries: tuple[ArrayLibrary, ...]
    sizes: tuple[int, ...]
    rows: tuple[ArrayRow, ...]
    turns: tuple[ArrayTurn, ...]
    machine: Machine
    seed: int = 0
    complete: bool = True
    picture: str = ""
    notes: tuple[str, ...] = ()
    schema: str = "chipwise.arrays/1"

    @property
    def ways(self) -> tuple[Way, ...]:
        """What computed anything, in the order of the libraries."""
        return tuple(dict.fromkeys(row.way for row in self.rows))
