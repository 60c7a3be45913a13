"""The roofline on rows worked out by hand, and what an estimate makes of it."""

from __future__ import annotations

import pytest

from chipwise.core.device import Device
from chipwise.core.errors import InputError
from chipwise.core.estimate import Workload
from chipwise.core.layer import Layer
from chipwise.cost.estimate import estimate

# 1 TFLOP/s at fp32, 2 at bf16, 100 GB/s: the ridge of fp32 lies at 10 FLOPs per byte.
DEVICE = Device("example", "cpu", peak_flops={"fp32": 1e12, "bf16": 2e12}, bandwidth_bytes_s=1e11)

# 1000 x 1000 matrix product with a 1000 x 1000 matrix: 2e9 FLOPs, 12 MB moved: 2 ms of arithmetic, 0.12 ms of traffic.
GEMM = Layer(
    "gemm",
    "Gemm",
    ((1000, 1000),),
    ((1000, 1000),),
    1_000_000,
    flops=2 * 10**9,
    read_bytes=8 * 10**6,
    write_bytes=4 * 10**6,
)
# Adding two vectors of a million: 1e6 FLOPs, 12 MB moved: 1 microsecond of arithmetic, 120 of traffic.
ADD = Layer(
    "add",
    "Add",
    ((1_000_000,), (1_000_000,)),
    ((1_000_000,),),
    0,
    flops=10**6,
    read_bytes=8 * 10**6,
    write_bytes=4 * 10**6,
)


def test_each_layer_takes_its_slower_limit() -> None:
    result = estimate([GEMM, ADD], DEVICE, Workload())
    assert [(row.name, row.bound) for row in result.rows] == [("gemm", "compute"), ("add", "memory")]
    assert [row.time_s for row in result.rows] == pytest.approx([2e-3, 1.2e-4])
    assert result.time_s.low == pytest.approx(2.12e-3)
    assert result.bound == "compute"


def test_it_is_a_floor_and_says_so() -> None:
    result = estimate([GEMM], DEVICE, Workload())
    assert (result.time_s.mid, result.time_s.high) == (None, None)
    assert "floor" in result.method
    assert result.time_s.covers(1.0)
    assert not result.time_s.covers(1e-3)


def test_bf16_halves_the_bytes_and_takes_its_own_peak() -> None:
    result = estimate([GEMM, ADD], DEVICE, Workload(precision="bf16"))
    assert [row.time_s for row in result.rows] == pytest.approx([1e-3, 6e-5])
    assert result.memory.weights == 2_000_000


def test_memory() -> None:
    result = estimate([GEMM, ADD], DEVICE, Workload())
    assert result.memory.weights == 4_000_000
    assert result.memory.activations == 16_000_000  # both results, and both inputs: two vectors of one shape are one
    assert (result.energy_j, result.price_usd) == (None, None)


def test_mostly_memory() -> None:
    assert estimate([ADD], DEVICE, Workload()).bound == "memory"


@pytest.mark.parametrize(
    ("device", "workload", "message"),
    [
        (DEVICE, Workload(precision="int8"), "peak for int8 of example is not known"),
        (Device("bare", "cpu", peak_flops={"fp32": 1.0}), Workload(), "memory bandwidth of bare is not known"),
        (DEVICE, Workload(precision="fp33"), "unknown precision 'fp33'"),
        (DEVICE, Workload(phase="training"), "training on"),
    ],
)
def test_unknown_is_an_error_not_a_zero(device: Device, workload: Workload, message: str) -> None:
    with pytest.raises(InputError, match=message):
        estimate([GEMM], device, workload)
