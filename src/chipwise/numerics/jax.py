"""JAX: each operation compiled by XLA, but for the mask, whose result's size compiled code cannot know.

Its arrays never share memory, so that a view is a copy, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from chipwise.numerics.numpy_like import calls

_EAGER = ("mask",)
CALLS = {
    name: call if name in _EAGER else jax.jit(call)
    for name, call in calls(jnp, lambda values: jnp.array(values, copy=True)).items()
}


def version() -> str:
    """Installed version."""
    return str(jax.__version__)


def devices() -> tuple[str, ...]:
    """The processor, and the accelerator that is JAX's usual place where there is one."""
    usual = str(jax.default_backend())
    return ("cpu",) if usual == "cpu" else ("cpu", usual)


def threads() -> int:
    """XLA's pool cannot be asked."""
    return 0


def put(array: NDArray[Any], device: str) -> Any:
    """An array on a device; places become int32, the widest that JAX has unless it is told otherwise."""
    narrow = array.astype(np.int32) if array.dtype == np.int64 else array
    return jax.device_put(narrow, jax.devices(device)[0])


def get(result: Any) -> NDArray[Any]:
    """The values, moved to the host."""
    return np.asarray(result)


def waiter(device: str) -> Callable[[Any], object] | None:
    """Calls return before they are done, on the processor too."""
    del device
    return lambda result: result.block_until_ready()
