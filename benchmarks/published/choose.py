"""Which profile prices a published row: those of single kernels in eager fp32, what ships with chipwise elsewhere.

>>> from chipwise.devices.known import device
>>> chosen(device("v100"), Workload(batch=8)).name
'torch-eager-fp32-tesla-v100-pcie-32gb'
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from chipwise.core.device import Device
from chipwise.core.errors import DataError
from chipwise.core.estimate import Workload
from chipwise.core.profile import Profile
from chipwise.devices.profiles import profile_for, profiles

KERNELS = "torch-eager-fp32-"


@cache
def of_kernels() -> dict[str, Profile]:
    """Profiles of `fit_kernels.py` by chip ("V100")."""
    return {chip(each.devices[0]): each for each in profiles() if each.name.startswith(KERNELS)}


def chosen(card: Device, workload: Workload) -> Profile:
    """The profile for a device; cards with one chip share those of kernels, whatever their clock and memory are.

    Raises:
        DataError: chipwise ships none for such a device.
    """
    if workload.precision == "fp32" and not workload.techniques and (kernels := of_kernels().get(chip(card.name))):
        return replace(kernels, devices=(*kernels.devices, card.name), phase=workload.phase, fused=workload.compiled)
    profile, notes = profile_for(card, workload)
    if profile is None:
        raise DataError(f"no profile is for {card.name}: {' '.join(notes)}")
    return profile


def chip(name: str) -> str:
    """The chip in a card's name.

    >>> chip("Tesla V100 SXM2 16GB"), chip("A100 PCIe 80GB")
    ('V100', 'A100')
    """
    return name.removeprefix("Tesla ").split()[0]
