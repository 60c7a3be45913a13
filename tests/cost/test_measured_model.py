"""Networks predicted from kernels that were measured, on a machine whose times follow a formula."""

from __future__ import annotations

import math

import pytest

from chipwise.compiler.kernel_fit import fitted
from chipwise.core.layer import Layer
from chipwise.core.measured import KernelTime, LayerTimes
from chipwise.cost.measured_model import KernelModel, error_bound, predicted, whole_s


def layer(places: int, depth: int, channels: int, name: str = "c") -> Layer:
    side = math.isqrt(places)
    return Layer(
        name, "Conv", ((1, depth, side, side),), ((1, channels, side, side),), parameters=9 * depth * channels,
        flops=2 * 9 * places * depth * channels, kernel=(3, 3), stride=(1, 1),
    )  # fmt: skip


def seconds(flops: float, places: float) -> float:
    """A machine of 1e11 operations per second that is less fast on small pictures."""
    return flops / 1e11 * (1 + 50 / places) + 2e-6


def times() -> LayerTimes:
    seen = []
    for places in (49, 196, 784, 3136):
        for depth in (32, 64, 128, 256):
            row = layer(places, depth, depth)
            values = float(2 * depth * places + row.parameters)
            sizes = (float(places), float(depth), float(depth), 9.0, 1.0, 1.0)
            seen.append(KernelTime("conv", float(row.flops), values, sizes, seconds(row.flops, places)))
    return fitted(seen, "onnxruntime", "fp32", 0)


@pytest.mark.parametrize(("places", "depth"), [(64, 96), (400, 96), (1600, 160)])
def test_sizes_in_between_are_predicted(places: int, depth: int) -> None:
    row = layer(places, depth, depth)
    _, interval = predicted([row], times())
    assert interval.mid == pytest.approx(seconds(row.flops, places), rel=0.15)


def test_measured_sizes_come_back() -> None:
    found = times()
    model = KernelModel(found)
    for each in found.kernels:
        assert model.time_s(each.kind, each.flops, each.values, each.sizes) == pytest.approx(each.time_s, rel=0.08)


def test_overheads_of_calls_and_kernels() -> None:
    found = LayerTimes("r", "fp32", 0, (), 1e9, 1e9, 1e-6, {}, factor=2.0, each_s=1e-6, start_s=1e-3)
    assert whole_s(found, [1e-3, 2e-3]) == pytest.approx(1e-3 + 2e-3 + 4e-3 + 2e-6)


def test_a_class_that_was_not_measured_widens_the_interval() -> None:
    known, odd = layer(784, 64, 64), Layer("o", "Strange", ((1, 64, 28, 28),), ((1, 64, 28, 28),), known=False)
    _, sure = predicted([known], times())
    rows, unsure = predicted([known, odd], times())
    assert None not in (sure.low, sure.mid, sure.high, unsure.low, unsure.mid, unsure.high)
    assert unsure.high / unsure.mid > sure.high / sure.mid  # type: ignore[operator]
    assert unsure.low / unsure.mid < sure.low / sure.mid  # type: ignore[operator]
    assert [row.kind for row in rows] == ["conv", "other"]


def test_intervals_are_as_wide_as_errors_were() -> None:
    assert error_bound([0.1, -0.2, 0.05, 0.3, -0.15, 0.1, 0.12, -0.01, 0.02]) == 0.2
    assert error_bound([0.01]) == 0.3  # too few to tell


def test_rows_add_up_to_the_middle() -> None:
    rows, interval = predicted([layer(784, 64, 64, "a"), layer(196, 64, 64, "b")], times())
    assert sum(row.time_s for row in rows) == pytest.approx(interval.mid)
