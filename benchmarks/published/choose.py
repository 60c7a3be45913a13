"""Which profile prices a published row: that of single kernels for all that runs in fp32, what ships elsewhere.

>>> from chipwise.devices.known import device
>>> chosen(device("v100"), Workload(batch=8)).name
'torch-eager-fp32-tesla-v100-pcie-32gb'
"""

from __future__ import annotations

from dataclasses import replace

from chipwise.core.device import Device
from chipwise.core.errors import DataError
from chipwise.core.estimate import Workload
from chipwise.core.profile import Profile
from chipwise.devices.profiles import profile_for

KERNELS = "torch-eager-fp32-"  # how the names of profiles of `fit_kernels.py` begin


def chosen(card: Device, workload: Workload) -> Profile:
    """The profile that `estimate` would take; in fp32 that of eager inference, whatever is asked.

    Kernels are the same in training and in compiled code: operations of published networks hold their backward pass,
    and the profile is told to merge what compiled code merges.

    Raises:
        DataError: chipwise ships none for such a device.
    """
    of_kernels = workload.precision == "fp32" and not workload.techniques
    asked = replace(workload, phase="inference", compiled=False) if of_kernels else workload
    profile, notes = profile_for(card, asked)
    if profile is None:
        raise DataError(f"no profile is for {card.name}: {' '.join(notes)}")
    return replace(profile, phase=workload.phase, fused=workload.compiled)
