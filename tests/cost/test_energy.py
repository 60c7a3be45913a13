"""Energy: published picojoules, the bound that follows from them, and power over time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chipwise.core.device import Device
from chipwise.core.errors import InputError
from chipwise.core.estimate import Interval, Workload
from chipwise.core.layer import Layer
from chipwise.cost.energy import MEMORY_PJ, energy_of, number_format_energy, operation_energy
from chipwise.devices.known import devices

TABLE = {row.format: row for row in number_format_energy()}
CARD = Device("example", "gpu", process_nm=45, memory_type="DDR4", power_w=100, idle_power_w=20)
# A million multiply-adds with a million weights.
LAYER = Layer("fc", "Gemm", ((1, 1000),), ((1, 1000),), 10**6, flops=2 * 10**6)
SECOND = Interval(1.0, 2.0, 4.0, 0.8)


@pytest.mark.parametrize(
    ("name", "lowest", "highest", "accuracy", "add", "multiply", "add_area", "multiply_area"),
    [  # Horowitz, ISSCC 2014, 45 nm
        ("int8", 0, 127, 0.5, 0.03, 0.2, 36, 282),
        ("int16", 0, 6e4, 0.5, 0.05, None, 67, None),
        ("int32", 0, 2e9, 0.5, 0.1, 3.1, 137, 3495),
        ("fp16", 6e-5, 6e4, 5e-4, 0.4, 1.1, 1360, 1640),
        ("fp32", 1e-38, 1e38, 6e-8, 0.9, 3.7, 4184, 7700),
    ],
)
def test_number_formats_are_as_published(
    name: str,
    lowest: float,
    highest: float,
    accuracy: float,
    add: float,
    multiply: float | None,
    add_area: float,
    multiply_area: float | None,
) -> None:
    row = TABLE[name]
    assert (row.lowest, row.highest, row.accuracy) == (lowest, highest, accuracy)
    assert (row.add_pj, row.multiply_pj, row.add_um2, row.multiply_um2) == (add, multiply, add_area, multiply_area)


def test_memory_is_as_published() -> None:
    assert MEMORY_PJ == {"register file": 1.0, "SRAM, 8 KB": 5.0, "DRAM": 640.0}
    # What the figures are famous for: a DRAM access costs as much as 170 multiplications in float32.
    assert round(MEMORY_PJ["DRAM"] / (TABLE["fp32"].multiply_pj or 1)) == 173


def test_bound_by_hand() -> None:
    """At 45 nm: 4.6 pJ a multiply-add in float32, and 4 MB of weights at 162.5 pJ a byte."""
    assert operation_energy([LAYER], CARD, Workload()) == pytest.approx(1e-12 * (1e6 * 4.6 + 4e6 * 162.5))
    assert operation_energy([LAYER], CARD, Workload(precision="int8")) == pytest.approx(1e-12 * (1e6 * 0.23 + 162.5e6))
    fine = replace(CARD, process_nm=4, memory_type="HBM3")
    assert operation_energy([LAYER], fine, Workload()) == pytest.approx(1e-12 * (1e6 * 1.69 + 4e6 * 31.25))
    between = operation_energy([LAYER], replace(CARD, process_nm=16), Workload())
    assert operation_energy([LAYER], replace(CARD, process_nm=7), Workload()) < between
    assert between < operation_energy([LAYER], CARD, Workload())
    assert operation_energy([LAYER], CARD, Workload("training")) == pytest.approx(
        3 * operation_energy([LAYER], CARD, Workload())
    )


@pytest.mark.parametrize(
    ("precision", "pair_pj", "value_bytes"),
    [("fp64", 4.6, 8), ("tf32", 0.32, 4), ("fp16", 1.5, 2), ("bf16", 0.32, 2), ("fp8", 0.23, 1), ("int4", 0.0, 0.5)],
)
def test_other_formats_are_bounded_from_below(precision: str, pair_pj: float, value_bytes: float) -> None:
    """By the nearest published format that takes less: bf16 is published for 7 nm alone, below int8 there is none."""
    expected = 1e-12 * (1e6 * pair_pj + 1e6 * value_bytes * 162.5)
    assert operation_energy([LAYER], CARD, Workload(precision=precision)) == pytest.approx(expected)


def test_weights_that_stay_in_the_cache_are_not_read_again() -> None:
    arithmetic = 1e-12 * 1e6 * 4.6
    part, all_of_them = (
        operation_energy([LAYER], replace(CARD, cache_bytes=size), Workload()) for size in (10**6, 10**7)
    )
    assert part == pytest.approx(arithmetic + 1e-12 * 3e6 * 162.5)
    assert all_of_them == pytest.approx(arithmetic)


def test_gddr_is_not_ddr() -> None:
    gddr = operation_energy([LAYER], replace(CARD, memory_type="GDDR6X"), Workload())
    assert gddr == pytest.approx(1e-12 * (1e6 * 4.6 + 4e6 * 43.75))


def test_power_over_time() -> None:
    energy = energy_of([LAYER], CARD, Workload(), SECOND)
    assert energy == Interval(20 + 0.3 * 80, 2 * (20 + 0.65 * 80), 400.0, 0.8)
    assert energy_of([LAYER], replace(CARD, power_w=None), Workload(), SECOND) is None
    floor = energy_of([LAYER], CARD, Workload(), Interval(1.0, None, None))
    assert floor == Interval(20.0, None, None)


def test_power_follows_how_busy_the_device_is() -> None:
    """While it waits for its host it takes its idle power, in the middle and at both ends."""
    waiting = energy_of([LAYER], CARD, Workload(), SECOND, waiting=0.75)
    assert waiting is not None
    assert (waiting.low, waiting.mid, waiting.high) == pytest.approx((20 + 6, 2 * (20 + 13), 4 * (20 + 20)))


def test_low_end_is_never_below_idle_power_though_the_data_sheet_is_silent() -> None:
    silent = replace(CARD, idle_power_w=None)
    for waiting in (0.0, 1.0):
        energy = energy_of([LAYER], silent, Workload(), SECOND, waiting=waiting)
        assert energy is not None
        assert energy.low is not None
        assert energy.low >= 0.04 * 100 * 1.0
    floor = energy_of([LAYER], silent, Workload(), Interval(1.0, None, None))
    assert floor is not None
    assert floor.low == pytest.approx(4.0)


def test_unknown_formats_are_refused() -> None:
    with pytest.raises(InputError, match="unknown precision"):
        energy_of([LAYER], CARD, Workload(precision="fp3"), SECOND)


@pytest.mark.parametrize("device", devices(), ids=lambda device: device.name)
def test_the_bound_is_below_what_any_device_may_draw(device: Device) -> None:
    """A second of multiply-adds at peak needs less than the power: else the bound would be none."""
    for precision, peak in device.peak_flops.items():
        if device.power_w and precision in TABLE and device.process_nm:
            busy = replace(LAYER, parameters=0, flops=int(peak))
            assert operation_energy([busy], device, Workload(precision=precision)) < device.power_w, precision
