"""A race of arrays as a record, for golden tables."""

from __future__ import annotations

from chipwise.core.array_race import ArrayLibrary, ArrayOperation, ArrayRace, ArrayRow, Way
from chipwise.core.device import Machine
from chipwise.core.measure import Ratio, Timing
from chipwise.numerics.turns import turns_of

MACHINE = Machine("Example CPU", "x86_64", ("avx2",), cores=8, logical_cpus=16)
SIZES = (1000, 100_000, 10_000_000)
NUMPY, TORCH, CARD, MOVED = Way("numpy"), Way("torch"), Way("torch", "cuda"), Way("torch", "cuda", moved=True)
_TIMES = {
    ("slice", NUMPY): (0.6e-6, 22e-6, 2.5e-3),
    ("slice", TORCH): (3.1e-6, 21.5e-6, 0.9e-3),
    ("slice", CARD): (9.4e-6, 9.6e-6, 60e-6),
    ("slice", MOVED): (35e-6, 61e-6, 4.9e-3),
    ("matmul", NUMPY): (5.5e-6, 1.2e-3, None),
    ("matmul", TORCH): (8.1e-6, 0.31e-3, None),
    ("matmul", CARD): (12e-6, 25e-6, 7.5e-3),
}


def _timing(middle_s: float) -> Timing:
    return Timing(30, (0.9 * middle_s, middle_s, 1.2 * middle_s))


def _row(operation: str, way: Way, size: int, time_s: float | None, base_s: float | None) -> ArrayRow:
    if time_s is None:
        return ArrayRow(operation, size, way, None, note="5 rounds take 90 s: give more time")
    ratio = None
    if way != NUMPY and base_s is not None:
        mid = base_s / time_s
        ratio = Ratio(mid, 0.95 * mid, 1.05 * mid, 30)
    return ArrayRow(operation, size, way, _timing(time_s), ratio)


def race() -> ArrayRace:
    rows = [
        _row(operation, way, size, time_s, _TIMES[operation, NUMPY][place])
        for (operation, way), times in _TIMES.items()
        for place, (size, time_s) in enumerate(zip(SIZES, times, strict=True))
    ]
    wrong = "its answer is not NumPy's: they are 3.0e-03 of the largest value apart"
    rows.append(ArrayRow("matmul", 1000, MOVED, None, note=wrong))
    return ArrayRace(
        operations=(
            ArrayOperation("slice", "image[h/4:-h/4, w/4:-w/4].copy()"),
            ArrayOperation("matmul", "a @ b, both square"),
        ),
        libraries=(ArrayLibrary("numpy", "2.4.6", ("cpu",), 1), ArrayLibrary("torch", "2.13.0", ("cpu", "cuda"), 8)),
        sizes=SIZES,
        rows=tuple(rows),
        turns=turns_of(rows),
        machine=MACHINE,
        notes=("jax is not installed; pip install jax",),
    )


RECORDS = {"arrays": race}
