"""Estimates of networks of the zoo: shape, intervals, and what must hold whatever the coefficients are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chipwise.core.device import Device
from chipwise.core.estimate import Estimate, Interval, Workload
from chipwise.core.layer import Layer
from chipwise.core.profile import Profile, Scales, Spread, WorkClass
from chipwise.cost.estimate import estimate, interval, on_any_host
from chipwise.devices.known import device
from chipwise.devices.profiles import profile_for
from chipwise.networks.layers import layer_rows
from chipwise.networks.load import load

AMP = Workload(batch=64, precision="fp16", techniques=("amp",))
CARD = Device("card", "gpu", peak_flops={"fp16": 1e13, "fp32": 1e12}, bandwidth_bytes_s=1e11, memory_bytes=10**10)
CLASSES = {"mm": WorkClass(compute=0.0), "ew": WorkClass()}
PROFILE = Profile("p", "gpu", "torch", "inference", "fp16", False, CLASSES, spread=Spread(-0.1, 0.2), widths=(2, 2))


def of_zoo(name: str, machine: str, workload: Workload) -> Estimate:
    card = device(machine)
    profile, notes = profile_for(card, workload)
    return estimate(layer_rows(load(name), workload.batch), card, workload, profile, notes=notes)


def linear(known: bool = True) -> Layer:
    return Layer("l", "Gemm" if known else "Mystery", ((8, 64),), ((8, 64),), 4096, 65536, 20480, 2048, known=known)


@pytest.mark.parametrize("name", ["resnet50", "mobilenet-v2", "bert-base"])
def test_time_is_inside_and_rows_are_the_networks(name: str) -> None:
    found = of_zoo(name, "rtx4090", AMP)
    assert found.time_s.low is not None
    assert found.time_s.mid is not None
    assert found.time_s.high is not None
    assert 0 < found.time_s.low < found.time_s.mid < found.time_s.high
    assert found.time_s.coverage == 0.8
    assert [row.name for row in found.rows] == [row.name for row in layer_rows(load(name), 64)]
    assert sum(row.time_s for row in found.rows) == pytest.approx(found.time_s.mid, rel=0.2)
    assert found.energy_j is not None
    assert found.fits


@pytest.mark.parametrize("workload", [AMP, replace(AMP, compiled=True), replace(AMP, phase="training")])
def test_more_items_take_longer_but_not_less_well(workload: Workload) -> None:
    times = [of_zoo("resnet18", "rtx3090", replace(workload, batch=batch)).time_s.mid or 0 for batch in (1, 8, 64, 512)]
    assert times == sorted(times)
    assert times[0] >= times[3] / 512


def test_training_takes_longer_than_inference_and_compiled_code_less() -> None:
    eager = of_zoo("resnet50", "rtx4090", AMP).time_s.mid or 0
    assert (of_zoo("resnet50", "rtx4090", replace(AMP, phase="training")).time_s.mid or 0) > 2 * eager
    assert (of_zoo("resnet50", "rtx4090", replace(AMP, compiled=True)).time_s.mid or 0) < eager


def test_the_same_question_has_the_same_answer() -> None:
    assert of_zoo("resnet18", "rtx3090", AMP) == of_zoo("resnet18", "rtx3090", AMP)


def test_a_device_that_was_not_fitted_is_named_and_wider() -> None:
    here, there = of_zoo("resnet50", "rtx3090", AMP), of_zoo("resnet50", "rtx5090", AMP)

    def width(found: Estimate) -> float:
        return (found.time_s.high or 0) / (found.time_s.low or 1)

    assert width(there) > width(here)
    assert any("was not measured" in note for note in there.notes)


def test_unknown_work_is_listed_and_widens_upwards() -> None:
    known, unknown = estimate([linear()], CARD, AMP, PROFILE), estimate([linear(known=False)], CARD, AMP, PROFILE)
    assert unknown.unknown_ops == ("Mystery",)
    assert any("Mystery" in note for note in unknown.notes)
    assert unknown.time_s.mid is not None
    assert unknown.time_s.high is not None
    assert known.time_s.mid is not None
    assert known.time_s.high is not None
    assert unknown.time_s.high / unknown.time_s.mid > 2 * known.time_s.high / known.time_s.mid


def test_without_a_profile_only_the_floor_is_known() -> None:
    found = estimate([linear()], CARD, Workload(batch=8))
    assert (found.time_s.mid, found.time_s.high) == (None, None)
    assert found.memory.weights > 0


def test_scales_make_it_faster() -> None:
    slow = estimate([linear()], CARD, AMP, PROFILE).time_s.mid or 0
    fast = estimate([linear()], CARD, AMP, PROFILE, scales=Scales(compute=2, bandwidth=2)).time_s.mid or 0
    assert fast == pytest.approx(slow / 2)


def test_bounds_widen_with_difficulty_and_elsewhere() -> None:
    spread = Spread(-0.1, 0.1, difficulty={"depthwise": 1.0}, elsewhere=2.0)
    plain = interval(1.0, spread, {}, elsewhere=False)
    assert plain.low == pytest.approx(0.9048, abs=1e-4)
    assert (interval(1.0, spread, {"depthwise": 0.5}, elsewhere=False).high or 0) > (plain.high or 0)
    assert (interval(1.0, spread, {}, elsewhere=True).low or 0) < (plain.low or 0)


def test_systolic_arrays_have_their_own_model() -> None:
    found = of_zoo("resnet50", "tpu-v3", Workload(batch=8, precision="bf16"))
    assert found.time_s.mid is not None
    assert "systolic" in found.method
    assert any("host" in note for note in found.notes)
    edge = of_zoo("mobilenet-v2", "edge-tpu", Workload(precision="int8"))  # its host's link is counted
    assert not any("host" in note for note in edge.notes)


def test_a_card_that_waits_for_its_host_draws_less() -> None:
    """One image keeps a large card idle for most of the time; many do not."""
    one, many = (of_zoo("resnet50", "rtx4090", replace(AMP, batch=batch)) for batch in (1, 256))

    def watts(found: Estimate) -> float:
        assert found.energy_j is not None
        return (found.energy_j.mid or 0) / (found.time_s.mid or 1)

    assert watts(one) < 0.6 * watts(many)
    assert watts(many) > 0.5 * (device("rtx4090").power_w or 0)


def test_what_waits_for_the_host_is_as_wide_as_hosts_differ() -> None:
    sure = Interval(0.95, 1.0, 1.05, 0.8)
    assert on_any_host(sure, 0.0) == Interval(pytest.approx(0.95), 1.0, pytest.approx(1.05), 0.8)
    bound = on_any_host(sure, 1.0)
    assert bound.low is not None
    assert bound.high is not None
    assert bound.low < 1 / 1.6
    assert 1.6 < bound.high < 1.65
    assert on_any_host(Interval(None, 1.0, None), 1.0) == Interval(None, 1.0, None)


def test_time_of_a_small_network_depends_on_the_host_and_says_so() -> None:
    one, many = (
        of_zoo("lenet5", "a100-pcie-40gb", Workload()),
        of_zoo("resnet50", "a100-pcie-40gb", Workload(batch=256)),
    )

    def width(found: Estimate) -> float:
        return (found.time_s.high or 0) / (found.time_s.low or 1)

    assert width(one) > 2 > width(many)
    assert any("waiting for the host" in note and "factor of 1.6" in note for note in one.notes)
    assert not any("waiting for the host" in note for note in many.notes)
