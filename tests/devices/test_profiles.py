"""Profiles that ship: whole, and the nearest to what is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from chipwise.core.errors import InputError
from chipwise.core.estimate import Workload
from chipwise.devices.known import device
from chipwise.devices.profiles import profile_for, profiles, read_profile


def test_every_profile_has_a_spread_and_says_what_it_was_fitted_on() -> None:
    assert profiles()
    for profile in profiles():
        assert profile.fitted_on, profile.name
        assert profile.devices, profile.name
        assert profile.source, profile.name
        assert profile.spread is not None, profile.name
        assert profile.spread.low < 0 < profile.spread.high, profile.name
        for name in profile.devices:
            assert device(name).name == name


@pytest.mark.parametrize(
    ("machine", "workload", "name"),
    [
        ("rtx3090", Workload(precision="fp16", techniques=("amp",)), "torch-gpu-amp-rtx3090"),
        ("rtx5090", Workload(precision="bf16", techniques=("amp",)), "torch-gpu-amp"),
        ("rtx4090", Workload(precision="fp16", techniques=("amp", "channels_last")), "torch-gpu-amp-nhwc"),
        ("rtx4090", Workload(precision="fp16", techniques=("amp",), compiled=True), "torch-gpu-amp-compiled"),
        ("rtx3090", Workload("training", precision="fp16", techniques=("amp",)), "torch-gpu-amp-training"),
        ("i9-10940x", Workload(compiled=True), "torch-cpu-fp32-compiled"),
        ("v100-pcie-32gb", Workload(), "torch-eager-fp32-tesla-v100-pcie-32gb"),
    ],
)
def test_what_fits_is_chosen_without_a_word(machine: str, workload: Workload, name: str) -> None:
    profile, notes = profile_for(device(machine), workload)
    assert profile is not None
    assert (profile.name, notes) == (name, ())


def test_what_does_not_fit_is_said_and_widens() -> None:
    card = device("rtx4090")
    near, _ = profile_for(card, Workload(precision="fp16", techniques=("amp",), compiled=True))
    far, notes = profile_for(card, Workload("training", precision="fp16", techniques=("amp",), compiled=True))
    assert near is not None
    assert far is not None
    assert near.spread is not None
    assert far.spread is not None
    assert any("wider" in note for note in notes)
    assert (far.phase, far.fused) == ("training", True)
    assert far.spread.high > near.spread.high


def test_no_profile_for_other_kinds_of_devices() -> None:
    profile, notes = profile_for(device("tpu-v3"), Workload(precision="bf16"))
    assert profile is None
    assert "tpu" in notes[0]


@pytest.mark.parametrize("text", ["", "{", '{"name": 1}', "[]"])
def test_damaged_profiles_are_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"bad\.json cannot be read"):
        read_profile(path)
