"""Profiles that were fitted to published tables, and the nearest one to what is asked.

They stand in `profiles/*.json` beside this module; `benchmarks/published` says how each was fitted and on which rows.

>>> from chipwise.core.estimate import Workload
>>> from chipwise.devices.known import device
>>> profile, notes = profile_for(device("rtx4090"), Workload(batch=256, precision="fp16", techniques=("amp",)))
>>> profile.name, notes
('torch-gpu-amp', ())
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import msgspec

from chipwise.core.device import Device
from chipwise.core.errors import InputError
from chipwise.core.estimate import Workload
from chipwise.core.formats import value_bytes
from chipwise.core.profile import Profile
from chipwise.devices.known import devices

FOLDER = Path(__file__).parent / "profiles"
_MAX_BYTES = 1 << 20
# How far a profile is from what is asked when it differs in something, and how much wider its interval gets.
_FAR = {"phase": 8.0, "compiled": 4.0, "runtime": 3.0, "precision": 2.0, "layout": 1.0}
_WIDER = {"phase": 2.5, "compiled": 2.0, "runtime": 1.5, "precision": 1.6, "layout": 1.2}
_HALF = ("fp16", "bf16")
# How far a profile is from a card with another clock or memory but the same chip; its interval is as good as there.
_SAME_CHIP = 0.25


def read_profile(path: Path) -> Profile:
    """One profile from its file.

    Raises:
        InputError: it is too long, no JSON, or a field is missing or of another type (the field is named).
    """
    if path.stat().st_size > _MAX_BYTES:
        raise InputError(f"profile {path.name} is longer than {_MAX_BYTES} bytes")
    try:
        return msgspec.json.decode(path.read_bytes(), type=Profile)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"profile {path.name} cannot be read: {error}", hint="it is damaged") from error


@cache
def profiles() -> tuple[Profile, ...]:
    """All that are shipped, by name; read once a process."""
    return tuple(read_profile(path) for path in sorted(FOLDER.glob("*.json")))


def profile_for(device: Device, workload: Workload) -> tuple[Profile | None, tuple[str, ...]]:
    """The nearest profile, made to say what is asked, with a wider interval and a note for each thing it lacks.

    Returns:
        None and a note where no profile is for that kind of device, or the device has no peak for the format.

    Raises:
        InputError: the bytes of the number format are not known.
    """
    fitting = [each for each in profiles() if each.kind == device.kind]
    asked, amp = _format(workload)
    if not fitting:
        return None, (f"no profile of a {device.kind} was fitted; only the floor is known",)
    if not device.peak_flops.get(asked) or not device.bandwidth_bytes_s:
        return None, ()
    found = min(fitting, key=lambda each: (_distance(each, device, workload), _breadth(each, device), each.name))
    lacks = _lacks(found, workload)
    notes = tuple(_note(each, found, workload) for each in lacks)
    alike = _of_same_chip(found, device)
    if alike:
        notes += (f"{device.name} was not measured: {', '.join(alike)} of the same chip stands for it",)
    widths = (2, 4) if amp else (value_bytes(asked),) * 2
    factor = 1.0
    for each in lacks:
        factor *= _WIDER[each]
    spread = found.spread
    if spread is not None and factor > 1:
        spread = replace(spread, low=spread.low * factor, high=spread.high * factor)
    made = replace(
        found,
        phase=workload.phase,
        precision=asked,
        compiled=workload.compiled,
        fused=workload.compiled,
        widths=widths,
        spread=spread,
        devices=(*found.devices, device.name) if alike else found.devices,
    )
    return made, notes


def _format(workload: Workload) -> tuple[str, bool]:
    """Number format of products, and whether the rest is kept wider."""
    amp = "amp" in workload.techniques
    return ("fp16" if amp and workload.precision == "fp32" else workload.precision), amp


def _lacks(profile: Profile, workload: Workload) -> list[str]:
    asked, amp = _format(workload)
    found = []
    if profile.phase != workload.phase:
        found.append("phase")
    if profile.compiled != workload.compiled:
        found.append("compiled")
    if workload.runtime not in ("", profile.runtime):
        found.append("runtime")
    alike = asked == profile.precision or (asked in _HALF and profile.precision in _HALF)
    if not alike or amp != ("amp" in profile.techniques):
        found.append("precision")
    if ("channels_last" in profile.techniques) != ("channels_last" in workload.techniques) and profile.kind == "gpu":
        found.append("layout")
    return found


def _distance(profile: Profile, device: Device, workload: Workload) -> float:
    asked, _ = _format(workload)
    # On a GPU fp32 is vector units' work; every other format is that of the matrix units.
    units = 1.0 if device.kind == "gpu" and (asked == "fp32") != (profile.precision == "fp32") else 0.0
    return _apart(profile, device) + units + sum(_FAR[each] for each in _lacks(profile, workload))


def _breadth(profile: Profile, device: Device) -> int:
    """For a device that was fitted, the profile of least others comes first; for any other, the one of most."""
    return len(profile.devices) if device.name in profile.devices else -len(profile.devices)


def _apart(profile: Profile, device: Device) -> float:
    """0 for a device that the profile was fitted on; cards with one chip are nearer than others."""
    if device.name in profile.devices:
        return 0.0
    return _SAME_CHIP if _of_same_chip(profile, device) else 0.5


def _of_same_chip(profile: Profile, device: Device) -> tuple[str, ...]:
    """The fitted devices whose chip another device has; none for one that was fitted itself."""
    if device.name in profile.devices:
        return ()
    fitted = [each for each in devices() if each.name in profile.devices and each.cores]
    chip = device.process_nm, device.cores
    return tuple(each.name for each in fitted if (each.process_nm, each.cores) == chip)


def _note(lack: str, profile: Profile, workload: Workload) -> str:
    asked = {
        "phase": workload.phase,
        "compiled": "compiled code" if workload.compiled else "code run layer by layer",
        "runtime": workload.runtime,
        "precision": " ".join(("amp", workload.precision) if "amp" in workload.techniques else (workload.precision,)),
        "layout": "channels_last" if "channels_last" in workload.techniques else "channels first",
    }
    return f"nothing was fitted for {asked[lack]} here; profile {profile.name} is used and the interval is wider"
