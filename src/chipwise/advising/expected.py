"""How a device would run a network, and what the estimates say of that: number format, time, memory.

>>> from chipwise.devices.known import device
>>> [runs_in(device(name), "training", None) for name in ("a100", "v100", "p40", "tpu-v1")]
['amp bf16', 'amp fp16', 'fp32', '']
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

from chipwise.core.device import Device
from chipwise.core.estimate import Estimate, Workload
from chipwise.core.layer import Layer
from chipwise.cost.estimate import estimate
from chipwise.devices.profiles import profile_for

Rows = Callable[[int], Sequence[Layer]]

_HALVES = ("bf16", "fp16")
# Matrix units do products in 2 bytes at twice the rate of float32 or more; so do ordinary units that take two at a time
# (P100, Jetson Nano), whose sums autocast does not trust. Only chips with matrix units have bf16, or thrice the rate.
_MATRIX_GAIN, _PAIR_GAIN = 3.0, 1.9
_TRAINED_KINDS = ("cpu", "gpu")


def obstacle(device: Device, phase: str) -> str:
    """Why nothing can be estimated for a device; "" where it can."""
    if device.kind == "fpga":
        return "what an FPGA computes depends on the design that is put on it"
    if not device.peak_flops or not (device.bandwidth_bytes_s or (device.array is not None and device.host_link)):
        return "no peak or no memory bandwidth is known"
    if phase == "training" and (device.kind == "edge" or set(device.peak_flops) <= {"int8", "int16", "int4"}):
        return "it only answers: nothing is trained on it"
    if phase == "training" and (device.kind not in _TRAINED_KINDS or device.array is not None):
        return "training on TPUs is not estimated (see CPU, GPU or TPU)"
    return ""


def runs_in(device: Device, phase: str, asked: str | None) -> str:
    """The number format: "amp bf16" where the rest is kept in float32, else as it is called; "" where it has none.

    Args:
        device: with peaks.
        phase: inference or training.
        asked: a format, or "amp"; None for what is usual: on a GPU autocast where that pays, on a CPU float32, on an
            array what it is built for.
    """
    peaks = device.peak_flops
    if device.array is not None:
        usual = "bf16" if "bf16" in peaks else "int8" if phase == "inference" else ""
        return usual if asked in (None, usual) or (asked == "amp" and usual == "bf16") else ""
    if asked not in (None, "amp", *_HALVES):
        return str(asked) if asked in peaks else ""
    half = _half(device, phase, asked)
    if asked is not None:
        return f"amp {half}" if half else ""
    return f"amp {half}" if half and device.kind == "gpu" else "fp32" if "fp32" in peaks else ""


def _half(device: Device, phase: str, asked: str | None) -> str:
    """The 2-byte format that pays; in training one whose products have units of their own."""
    peaks = device.peak_flops
    wide = peaks.get("fp32", 0.0)
    matrix = "bf16" in peaks or peaks.get("fp16", 0.0) >= _MATRIX_GAIN * wide
    pays = matrix or asked in _HALVES or (phase == "inference" and peaks.get("fp16", 0.0) >= _PAIR_GAIN * wide)
    usable = [name for name in _HALVES if peaks.get(name, 0.0) >= max(wide, 1.0) and pays]
    if asked in _HALVES:
        return asked if asked in usable else ""
    return max(usable, key=lambda name: peaks[name], default="")


def workload_of(device: Device, phase: str, batch: int, format_name: str, techniques: Sequence[str] = ()) -> Workload:
    """What is asked of it: training layer by layer, answering as a compiler runs it."""
    amp, _, name = format_name.rpartition(" ")
    names = ("amp", *techniques) if amp else tuple(techniques)
    if phase == "training":
        return Workload("training", batch, name, techniques=names)
    fused = device.kind in ("cpu", "gpu")
    return Workload("inference", batch, name, compiled=fused, techniques=names)


def expected(rows: Sequence[Layer], device: Device, workload: Workload) -> Estimate:
    """What the nearest profile says, or the model of arrays.

    Raises:
        InputError: the device has no such peak.
    """
    profile, said = profile_for(device, workload)
    made = estimate(rows, device, workload, profile)
    return made if profile is None else replace(made, notes=(*said, *made.notes))


def at_batches(rows_at: Rows, device: Device, phase: str, format_name: str) -> Callable[[int], Estimate]:
    """Estimates of a device by batch, each made once."""

    @cache
    def made(batch: int) -> Estimate:
        return expected(rows_at(batch), device, workload_of(device, phase, batch, format_name))

    return made


def waiting_of(made: Estimate) -> float:
    """Share of the time, 0..1, that belongs to no layer, or to layers that starting limits."""
    if not made.time_s.mid:
        return 0.0
    starting_s = sum(row.time_s for row in made.rows if row.bound == "launch")
    return min(1.0, (made.beside_s + starting_s) / made.time_s.mid)
