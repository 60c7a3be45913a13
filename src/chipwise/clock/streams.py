"""How fast memory is read and written, level by level, as STREAM does.

McCalpin, "STREAM: Sustainable Memory Bandwidth in High Performance Computers", University of Virginia. NumPy does the
work, one thread per processor, each on its own arrays: `copy` is a = b, `add` is a = b + c (the bytes of STREAM's
triad, which NumPy has no single pass for). Each array counts once, so what a processor reads in order to write it does
not show.

>>> [stream.level for stream in measure_streams({"L2": 1 << 20}, cores=1, memory_bytes=1 << 28, deadline_s=0.5)][:1]
['L2']
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from chipwise.clock.sustained import Watch, sustained
from chipwise.core.measured import Stream

Arrays = list[NDArray[np.float32]]

# Arrays fill half of a cache: the other half is for whatever else is there.
_SHARE = 0.5
_MEMORY_BYTES = (64 << 20, 512 << 20)
_BEYOND = 4  # times the last cache, for main memory
# One call moves at least so much: starting it, and its thread, then does not show.
_CALL_BYTES = 16 << 20


def measure_streams(
    caches: Mapping[str, int], *, cores: int, memory_bytes: int | None, deadline_s: float, watch: Watch | None = None
) -> tuple[Stream, ...]:
    """Measure copy and add in every level of `caches` and in main memory, with one thread and with all.

    Args:
        caches: bytes of one instance by level ("L1d", "L2", "L3"); the first two are taken as each core's own.
        cores: threads that work side by side.
        memory_bytes: of the machine; bounds what is allocated.
        deadline_s: for all of it.
        watch: where time comes from.

    Returns:
        by level and kernel; copies in the first level are left out, because a call takes longer than they do.
    """
    watch = watch or Watch()
    kernels: tuple[Literal["copy", "add"], ...] = ("copy", "add")
    jobs = [
        (level, size, kernel, threads)
        for level, size in _levels(caches, memory_bytes).items()
        for kernel in kernels
        for threads in sorted({1, cores})
        if (level, kernel) != ("L1d", "copy")
    ]
    end, found = watch.timer.now() + deadline_s, []
    for number, (level, size, kernel, threads) in enumerate(jobs):
        share = max(0.01, (end - watch.timer.now()) / (len(jobs) - number))
        each = size // (threads if level in ("L3", "memory") else 1)
        with _kernel(kernel, each, threads) as (call, moved):
            best = sustained(call, moved, deadline_s=share, watch=watch)
        found.append(Stream(level, kernel, threads, each * threads, best))
    return tuple(found)


def _levels(caches: Mapping[str, int], memory_bytes: int | None) -> dict[str, int]:
    levels = {level: int(_SHARE * size) for level, size in caches.items()}
    most = min(_MEMORY_BYTES[1], (memory_bytes or 1 << 32) // 8)
    levels["memory"] = min(max(_MEMORY_BYTES[0], _BEYOND * max(caches.values(), default=0)), most)
    return levels


@contextmanager
def _kernel(kernel: Literal["copy", "add"], size: int, threads: int) -> Iterator[tuple[Callable[[], object], float]]:
    """A call that streams `size` bytes of arrays in every thread, and the bytes that it moves."""
    count = 2 if kernel == "copy" else 3
    length = max(16, size // (count * 4))
    repeats = max(1, math.ceil(_CALL_BYTES / (count * 4 * length)))
    work = _copy if kernel == "copy" else _add
    sets = [[np.full(length, value, np.float32) for value in range(count)] for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:

        def call() -> object:
            return list(pool.map(lambda arrays: work(arrays, repeats), sets))

        yield call if threads > 1 else lambda: work(sets[0], repeats), float(threads * repeats * count * 4 * length)


def _copy(arrays: Arrays, repeats: int) -> None:
    target, source = arrays
    for _ in range(repeats):
        np.copyto(target, source)


def _add(arrays: Arrays, repeats: int) -> None:
    # The same rows over and over within one call, so that short arrays do not pay for a call each.
    target, one, other = (as_strided(array, (repeats, len(array)), (0, array.itemsize)) for array in arrays)
    np.add(one, other, out=target)
