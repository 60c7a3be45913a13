"""NumPy, which all others are compared with: one thread, but for products of matrices.

>>> CALLS["sum"](put(np.ones(3, np.float32), "cpu"))
np.float32(3.0)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipwise.numerics.numpy_like import calls

CALLS = calls(np, np.array)


def version() -> str:
    """Installed version."""
    return np.__version__


def devices() -> tuple[str, ...]:
    """The processor alone."""
    return ("cpu",)


def threads() -> int:
    """One; its products of matrices take what their BLAS library takes."""
    return 1


def put(array: NDArray[Any], device: str) -> NDArray[Any]:
    """The array itself."""
    del device
    return array


def get(result: Any) -> NDArray[Any]:
    """The result itself."""
    return np.asarray(result)


def waiter(device: str) -> Callable[[Any], object] | None:
    """Nothing to wait for."""
    del device
    return None
