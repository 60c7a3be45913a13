"""Which shipped profile is taken for what is asked."""

from __future__ import annotations

import pytest

from chipwise.core.estimate import Workload
from chipwise.core.formats import value_bytes
from chipwise.devices.known import device
from chipwise.devices.profiles import profile_for, profiles


@pytest.mark.parametrize(
    ("card", "name"),
    [
        ("Tesla V100 SXM2 16GB", "torch-eager-fp32-tesla-v100-pcie-32gb"),
        ("Tesla P100 SXM2 16GB", "torch-eager-fp32-tesla-p100-pcie-16gb"),
        ("A100 SXM4 80GB", "torch-eager-fp32-a100-pcie-40gb"),
        ("Tesla T4", "torch-eager-fp32-tesla-t4"),
    ],
)
def test_fp32_takes_the_profile_of_the_same_chip(card: str, name: str) -> None:
    profile, _ = profile_for(device(card), Workload())
    assert profile is not None
    assert profile.name == name
    assert card in profile.devices  # so that its interval is not widened


def test_another_card_of_the_same_chip_is_said_to_stand_for_it() -> None:
    assert profile_for(device("A100 SXM4 80GB"), Workload())[1] == (
        "A100 SXM4 80GB was not measured: A100 PCIe 40GB of the same chip stands for it",
    )
    assert profile_for(device("A100 PCIe 40GB"), Workload())[1] == ()


@pytest.mark.parametrize("number_format", ["fp64", "fp32", "tf32", "fp16", "bf16", "int8", "int4"])
def test_values_take_the_bytes_of_their_format(number_format: str) -> None:
    profile, _ = profile_for(device("A100"), Workload(precision=number_format))
    assert profile is not None
    assert profile.widths == (value_bytes(number_format),) * 2


def test_a_card_takes_its_own_profile_and_others_the_one_of_most_cards() -> None:
    asked = Workload(precision="fp16", techniques=("amp",))
    names = {card: profile_for(device(card), asked)[0] for card in ("rtx3090", "rtx4090", "rtx3080")}
    assert [each.name for each in names.values() if each] == ["torch-gpu-amp-rtx3090", "torch-gpu-amp", "torch-gpu-amp"]


def test_another_chip_is_not_claimed_as_measured() -> None:
    profile, _ = profile_for(device("L4"), Workload())
    assert profile is not None
    assert "L4" not in profile.devices


def test_profiles_of_kernels_say_what_they_stand_on() -> None:
    found = [each for each in profiles() if each.name.startswith("torch-eager-fp32-")]
    assert len(found) == 5
    for each in found:
        assert each.spread is not None
        assert each.spread.low < 0 < each.spread.high
        assert each.spread.elsewhere > 1
        assert "single kernels" in each.fitted_on
        assert {"mm", "mm_nn", "bmm", "c1", "ck", "ew", "sm", "ln", "sync"} <= set(each.classes)
