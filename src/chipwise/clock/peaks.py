"""What this machine reaches: float32 multiply-adds in a matrix product, and bytes in a copy. Takes under a second.

These are measured ceilings for a roofline, not the data sheet's.

>>> from chipwise.core.device import Machine
>>> peaks = measure_peaks(Machine("example", "x86_64", (), cores=1, logical_cpus=1))
>>> peaks.peak_flops["fp32"] > 0
True
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from chipwise.clock.interleave import Timer
from chipwise.core.device import Device, Machine

_GEMM_S = 0.3
_COPY_S = 0.15
_SIZES = (256, 512, 1024)
# Copies use buffers beyond the private caches. A last-level cache of hundreds of MB (shared by many tenants of a cloud
# host) is not exceeded: touching that much memory first would take seconds.
_COPY_BYTES = (16 << 20, 64 << 20)


def measure_peaks(machine: Machine, *, timer: Timer | None = None) -> Device:
    """Measure float32 FLOP/s (1 multiply-add = 2) of the best matrix product, and bytes/s read plus written of a copy.

    Args:
        machine: the machine this runs on; gives the name, the cores to use, and cache and memory sizes.
        timer: where time comes from.

    Returns:
        a `Device` with source "measured here"; formats that NumPy does not multiply fast (bf16, int8) are left out.
    """
    timer = timer or Timer()
    return Device(
        name=machine.cpu,
        kind="cpu",
        peak_flops={"fp32": _gemm_flops(timer)},
        bandwidth_bytes_s=_copy_bytes_s(machine, timer),
        memory_bytes=machine.memory_bytes,
        cache_bytes=machine.cache_bytes.get("L3") or machine.cache_bytes.get("L2"),
        source="measured here",
    )


def _gemm_flops(timer: Timer) -> float:
    generator = np.random.default_rng(0)
    best, start = 0.0, timer.now()
    for size in _SIZES:
        matrices = generator.random((2, size, size), dtype=np.float32)
        product = partial(np.matmul, *matrices, out=np.empty((size, size), np.float32))
        deadline = start + _GEMM_S * (_SIZES.index(size) + 1) / len(_SIZES)
        seconds = _best(product, deadline, timer)
        best = max(best, 2 * size**3 / seconds)
        if seconds > _GEMM_S / 4:
            break  # a slow machine: the next size would take eight times as long
    return best


def _copy_bytes_s(machine: Machine, timer: Timer) -> float:
    wanted = 4 * machine.cache_bytes.get("L3", machine.cache_bytes.get("L2", 0))
    total = min(max(wanted, _COPY_BYTES[0]), _COPY_BYTES[1], (machine.memory_bytes or 8 * _COPY_BYTES[1]) // 8)
    source = np.ones(total // 4, np.float32)
    target = np.zeros_like(source)
    parts = list(zip(np.array_split(target, machine.cores), np.array_split(source, machine.cores), strict=True))
    with ThreadPoolExecutor(machine.cores) as pool:

        def copy() -> None:
            list(pool.map(lambda part: np.copyto(*part), parts))

        seconds = _best(copy, timer.now() + _COPY_S, timer)
    return 2 * source.nbytes / seconds


def _best(call: Callable[[], object], deadline: float, timer: Timer) -> float:
    call()
    best = float("inf")
    while True:
        start = timer.now()
        call()
        end = timer.now()
        best = min(best, max(end - start, 1e-9))
        if end >= deadline:
            return best
