"""What training borrows from the process, and gives back: torch's threads and the C library's handling of free memory.

>>> with threads(1):
...     torch.get_num_threads()
1
"""

from __future__ import annotations

import ctypes
import ctypes.util
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

# Parameters of mallopt(3). glibc raises its thresholds up to these values by itself as large blocks are freed, but no
# more once one of them was set: so these are left behind, lest whatever is timed next maps pages all the time.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_MMAP_DEFAULT, _MMAP_FROM, _TRIM_FROM = 65536, 32 * 2**20, 64 * 2**20
_NEVER = 2**31 - 1


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Run with so many torch threads; None leaves torch's own choice."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def memory_kept() -> Iterator[None]:
    """Keep freed memory in the process meanwhile, where the C library is glibc; do nothing elsewhere.

    Each step frees and takes the same megabytes of activations. By default glibc hands blocks that large back to the
    kernel, which must clear and map every page again: a tenth of a small network's step time on a virtual machine.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is None or not hasattr(library, "mallopt") or not hasattr(library, "malloc_trim"):
        yield
        return
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        library.mallopt(_MMAP_MAX, _MMAP_DEFAULT)
        library.mallopt(_MMAP_THRESHOLD, _MMAP_FROM)
        library.mallopt(_TRIM_THRESHOLD, _TRIM_FROM)
        library.malloc_trim(0)
