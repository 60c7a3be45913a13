"""What is asked of every library, in the order in which people meet it, on arrays of any size.

>>> image, = OPERATIONS["slice"].arrays(30_000, np.random.default_rng(0))
>>> image.shape, image.dtype
((100, 100, 3), dtype('uint8'))
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = tuple[NDArray[Any], ...]

# Of the largest value of a result: sums of float32 in another order differ so much, and tf32 by far more.
_ROUNDING = 1e-4


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation.

    Attributes:
        what: it computes, in NumPy's words.
        arrays: makes what it takes for a number of values.
        tolerance: largest difference between two libraries' answers, as a share of the largest value; 0 for equal.
        products: it multiplies matrices, which NumPy does in several threads.
    """

    what: str
    arrays: Callable[[int, np.random.Generator], Arrays]
    tolerance: float = 0.0
    products: bool = False


def _image(size: int, generator: np.random.Generator) -> Arrays:
    side = max(4, math.isqrt(size // 3))
    return (generator.integers(0, 256, (side, side, 3), dtype=np.uint8),)


def _values(size: int, generator: np.random.Generator) -> Arrays:
    return (generator.standard_normal(size, dtype=np.float32),)


def _places(size: int, generator: np.random.Generator) -> Arrays:
    return (*_values(size, generator), generator.integers(0, size, size))


def _pair(size: int, generator: np.random.Generator) -> Arrays:
    return (*_values(size, generator), *_values(size, generator))


def _square(size: int, generator: np.random.Generator) -> NDArray[np.float32]:
    side = max(2, math.isqrt(size))
    return generator.standard_normal((side, side), dtype=np.float32)


def _rows(size: int, generator: np.random.Generator) -> Arrays:
    rows = _square(size, generator)
    scale, shift = generator.standard_normal((2, rows.shape[1]), dtype=np.float32)
    return rows, scale, shift


def _squares(size: int, generator: np.random.Generator) -> Arrays:
    return _square(size, generator), _square(size, generator)


def _positive(size: int, generator: np.random.Generator) -> Arrays:
    return (generator.random(size, dtype=np.float32),)


OPERATIONS: dict[str, Operation] = {
    "view": Operation("image[h/4:-h/4, w/4:-w/4], not copied", _image),
    "slice": Operation("image[h/4:-h/4, w/4:-w/4].copy()", _image),
    "flip": Operation("image[:, ::-1].copy()", _image),
    "copy": Operation("image.copy()", _image),
    "index": Operation("x[i], i random", _places),
    "mask": Operation("x[x > 0]", _values),
    "broadcast": Operation("rows * scale + shift", _rows, _ROUNDING),
    "elementwise": Operation("sqrt(x * x + y * y)", _pair, _ROUNDING),
    "sum": Operation("x.sum()", _positive, _ROUNDING),
    "mean": Operation("rows.mean(axis=0)", lambda size, generator: (_square(size, generator),), _ROUNDING),
    "matmul": Operation("a @ b, both square", _squares, _ROUNDING, products=True),
    "fft": Operation("fft.rfft(x)", _values, _ROUNDING),
    "sort": Operation("sort(x)", _values),
}


def difference(answer: NDArray[Any], expected: NDArray[Any]) -> float:
    """The largest difference, as a share of the largest expected value; infinite where shapes or kinds differ.

    Args:
        answer: of one library, any shape.
        expected: of NumPy.
    """
    if answer.shape != expected.shape or answer.dtype.kind != expected.dtype.kind:
        return math.inf
    if not expected.size:
        return 0.0
    exact = np.complex128 if expected.dtype.kind == "c" else np.float64
    apart = float(np.max(np.abs(answer.astype(exact) - expected.astype(exact))))
    largest = float(np.max(np.abs(expected))) or 1.0
    return apart / largest if math.isfinite(apart) else math.inf
