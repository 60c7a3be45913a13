"""Seconds per operation: the formula by hand, and what must hold for any coefficients."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chipwise.core.device import Device
from chipwise.core.errors import InputError
from chipwise.core.profile import Curve, Profile, Scales, WorkClass
from chipwise.cost.model import features, prices, rates, soft_maximum, step_s
from chipwise.cost.ops import Op

DEVICE = Device(
    "example",
    "gpu",
    peak_flops={"fp16": 1e12, "fp32": 1e11},
    bandwidth_bytes_s=1e11,
    cache_bytes=2**20,
    multiprocessors=8,
)
# Half of the peak and of the bandwidth, no round corner worth naming, a microsecond a launch.
CLASSES = {
    "mm": WorkClass(compute=math.log(0.5), memory=math.log(0.5), sharpness=200),
    "dw": WorkClass(compute=0.0, unit="vector", sharpness=200),
    "ew": WorkClass(memory=math.log(0.5)),
}
PROFILE = Profile("p", "gpu", "torch", "inference", "fp16", False, CLASSES, launch_s=1e-6, widths=(2, 2))


def one(op: Op, profile: Profile = PROFILE, scales: Scales | None = None) -> float:
    return prices([op], rates(DEVICE, profile, scales), profile, scales)[0].total_s


def test_compute_bound() -> None:
    assert one(Op("mm", flops=1e9, dims=(1e3, 1e3, 500, 1))) == pytest.approx(2e-3 + 1e-6)


def test_memory_bound_counts_weights_at_full_bandwidth() -> None:
    assert one(Op("mm", 1.0, read_bytes=1e8, weight_bytes=1e8, write_bytes=1e8)) == pytest.approx(4e-3 + 1e-3 + 1e-6)


def test_depthwise_runs_on_vector_units() -> None:
    assert one(Op("dw", flops=1e9)) == pytest.approx(1e-2 + 1e-6)


def test_an_unknown_class_is_priced_as_elementwise() -> None:
    assert one(Op("strange", read_bytes=1e8)) == one(Op("ew", read_bytes=1e8))


def test_scales_act_on_their_part() -> None:
    assert one(Op("mm", flops=1e9), scales=Scales(compute=2)) == pytest.approx(1e-3 + 1e-6)
    assert one(Op("ew", read_bytes=1e8), scales=Scales(bandwidth=2)) == pytest.approx(1e-3 + 1e-6)
    assert one(Op("ew"), scales=Scales(launch=3)) == pytest.approx(3e-6)


def test_the_host_hides_behind_the_device_and_shows_when_it_is_slower() -> None:
    slow = replace(PROFILE, dispatch_s=1e-3)
    run = prices([Op("ew")] * 10, rates(DEVICE, slow), slow)
    assert step_s(run, slow) == pytest.approx(1e-2, rel=1e-3)
    assert step_s(run, PROFILE) == pytest.approx(1e-5)


def test_features_of_a_product() -> None:
    known = features(Op("mm", dims=(2048, 96, 64, 1), read_bytes=2**20, write_bytes=2**20), rates(DEVICE, PROFILE))
    assert known["n"] == pytest.approx(math.log2(96))
    assert known["align"] == 3
    assert known["tiles"] == 1  # 16 blocks over 8 multiprocessors
    assert known["cache"] == 1


@pytest.mark.parametrize(("gone", "said"), [("peak_flops", "peak for fp16"), ("bandwidth_bytes_s", "memory bandwidth")])
def test_unknown_facts_are_named(gone: str, said: str) -> None:
    poor = replace(DEVICE, **{gone: {} if gone == "peak_flops" else None})
    with pytest.raises(InputError, match=said):
        rates(poor, PROFILE)


def test_curves_are_flat_outside_their_knots() -> None:
    curve = Curve((0.0, 1.0, 3.0), (0.0, 1.0, 2.0))
    assert [curve(x) for x in (-5, 0, 0.5, 1, 2, 3, 9)] == [0, 0, 0.5, 1, 1.5, 2, 2]


@given(st.floats(0, 1e3), st.floats(0, 1e3), st.floats(1, 50))
def test_the_soft_maximum_lies_between_the_maximum_and_the_sum(one: float, other: float, power: float) -> None:
    found = soft_maximum(one, other, power)
    assert max(one, other) * (1 - 1e-12) <= found <= (one + other) * (1 + 1e-12)


SIZES = st.floats(0, 1e12)


@given(SIZES, SIZES, SIZES, st.integers(1, 4096), st.integers(1, 4096))
def test_any_operation_has_a_finite_positive_price(flops: float, read: float, write: float, n: int, k: int) -> None:
    for kind in ("mm", "dw", "ew", "sdpa"):
        found = one(Op(kind, flops, read, 0.0, write, (16, n, k, 1)))
        assert 0 < found < math.inf
        assert found == one(Op(kind, flops, read, 0.0, write, (16, n, k, 1)))
