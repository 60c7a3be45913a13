"""What training borrows from the process, and gives back: torch's threads and the C library's handling of free memory.

>>> with threads(1):
...     torch.get_num_threads()
1
"""

from __future__ import annotations

import ctypes
import ctypes.util
import gc
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

_STATUS, _CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
# Parameters of mallopt(3). glibc raises its thresholds up to these values by itself as large blocks are freed, but no
# more once one of them was set: so these are left behind, lest whatever is timed next maps pages all the time.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_MMAP_DEFAULT, _MMAP_FROM, _TRIM_FROM = 65536, 32 * 2**20, 64 * 2**20
_NEVER = 2**31 - 1
_RETURNED_FROM = 128 * 1024  # bytes of a block: what glibc begins with, until it sees larger ones freed


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
    with _malloc({_MMAP_MAX: 0, _TRIM_THRESHOLD: _NEVER}):
        yield


@contextmanager
def memory_returned() -> Iterator[None]:
    """Give freed memory back to the system at once meanwhile, where the C library is glibc; do nothing elsewhere.

    Every tensor of 128 KiB or more is then mapped by itself, and no holes are left between them.
    """
    with _malloc({_MMAP_THRESHOLD: _RETURNED_FROM}):
        yield


def can_return_memory() -> bool:
    """Whether the C library is one that can be told so."""
    return _library() is not None


def settled_bytes() -> int | None:
    """Memory of this process that is in RAM once what it has freed is given back; None where the system does not tell.

    Reading and tracing a network leaves tens of megabytes of garbage, whose room training would use again.
    """
    gc.collect()
    library = _library()
    if library is not None:
        library.malloc_trim(0)
    return resident_bytes()


def resident_bytes() -> int | None:
    """Memory of this process that is in RAM now; None where the system does not tell."""
    return _status("VmRSS")


def peak_bytes() -> int | None:
    """The most that was in RAM since `forget_peak`, or since the process began; None where the system does not tell."""
    return _status("VmHWM")


def forget_peak() -> None:
    """Let the peak begin anew (proc(5): 5 in clear_refs); do nothing where that is not possible."""
    with suppress(OSError):
        _CLEAR_REFS.write_text("5")


def _status(name: str) -> int | None:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), None)


def _library() -> ctypes.CDLL | None:
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if library is not None and hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None


@contextmanager
def _malloc(options: dict[int, int]) -> Iterator[None]:
    """Set options of mallopt(3) meanwhile."""
    library = _library()
    if library is None:
        yield
        return
    for option, value in options.items():
        library.mallopt(option, value)
    try:
        yield
    finally:
        library.mallopt(_MMAP_MAX, _MMAP_DEFAULT)
        library.mallopt(_MMAP_THRESHOLD, _MMAP_FROM)
        library.mallopt(_TRIM_THRESHOLD, _TRIM_FROM)
        library.malloc_trim(0)
