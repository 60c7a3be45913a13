"""Machine peaks with a clock that the test controls."""

from __future__ import annotations

from itertools import count

import pytest

from chipwise.clock.interleave import Timer
from chipwise.clock.peaks import measure_peaks
from chipwise.core.device import Machine

MACHINE = Machine("example", "x86_64", (), cores=2, logical_cpus=2, cache_bytes={"L2": 1 << 20}, memory_bytes=1 << 33)


def test_flops_and_bytes_over_the_time_that_passed() -> None:
    ticks = count()
    # Every look at the clock is 0.1 s later than the last, so that each call takes 0.1 s.
    device = measure_peaks(MACHINE, timer=Timer(now=lambda: next(ticks) * 0.1))
    assert device.peak_flops == {"fp32": pytest.approx(2 * 256**3 / 0.1)}
    assert device.bandwidth_bytes_s == pytest.approx(2 * (16 << 20) / 0.1)
    assert (device.name, device.kind, device.source) == ("example", "cpu", "measured here")
    assert (device.cache_bytes, device.memory_bytes) == (1 << 20, 1 << 33)


def test_a_real_clock_gives_positive_numbers() -> None:
    device = measure_peaks(MACHINE)
    assert device.peak_flops["fp32"] > 1e8
    assert device.bandwidth_bytes_s is not None
    assert device.bandwidth_bytes_s > 1e8
