"""PyTorch's tensors, on the processor with all threads that it is given, and on a CUDA device.

>>> float(CALLS["sum"](put(np.ones(3, np.float32), "cpu")))
3.0
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from chipwise.numerics.library import Call
from chipwise.numerics.numpy_like import crop

CALLS: dict[str, Call] = {
    "view": crop,
    "slice": lambda image: crop(image).clone(memory_format=torch.contiguous_format),
    "flip": lambda image: image.flip(1),
    "copy": torch.clone,
    "index": lambda values, places: values[places],
    "mask": lambda values: values[values > 0],
    "broadcast": lambda rows, scale, shift: rows * scale + shift,
    "elementwise": lambda one, other: torch.sqrt(one * one + other * other),
    "sum": torch.sum,
    "mean": lambda rows: rows.mean(dim=0),
    "matmul": torch.matmul,
    "fft": torch.fft.rfft,
    "sort": lambda values: torch.sort(values).values,
}


def version() -> str:
    """Installed version."""
    return torch.__version__


def devices() -> tuple[str, ...]:
    """The processor, and a CUDA device where the driver shows one."""
    return ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)


def threads() -> int:
    """As many as it was given, usually one a core."""
    return torch.get_num_threads()


def put(array: NDArray[Any], device: str) -> torch.Tensor:
    """A tensor; on the processor it shares the array's memory."""
    return torch.from_numpy(array).to(device)


def get(result: Any) -> NDArray[Any]:
    """The tensor's values, moved to the host."""
    return np.asarray(result.cpu().numpy())


def waiter(device: str) -> Callable[[Any], object] | None:
    """Wait for a CUDA device; calls on the processor return when they are done."""
    return None if device == "cpu" else lambda _: torch.cuda.synchronize()
