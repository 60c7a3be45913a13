"""CuPy: NumPy's functions on a CUDA device. Nothing of it runs on the processor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cupy
import numpy as np
from numpy.typing import NDArray

from chipwise.numerics.numpy_like import calls

CALLS = calls(cupy, cupy.array)


def version() -> str:
    """Installed version."""
    return str(cupy.__version__)


def devices() -> tuple[str, ...]:
    """A CUDA device where the driver shows one."""
    try:
        return ("cuda",) if cupy.cuda.runtime.getDeviceCount() else ()
    except RuntimeError:  # what it raises without a driver
        return ()


def threads() -> int:
    """Of the processor, only the one that calls."""
    return 1


def put(array: NDArray[Any], device: str) -> Any:
    """An array on the device."""
    del device
    return cupy.asarray(array)


def get(result: Any) -> NDArray[Any]:
    """The values, moved to the host."""
    return np.asarray(cupy.asnumpy(result))


def waiter(device: str) -> Callable[[Any], object] | None:
    """Wait for the stream that calls go into."""
    del device
    return lambda _: cupy.cuda.get_current_stream().synchronize()
