"""What a machine that was never measured can do at most: instruction sets for arithmetic, a quick look for the rest.

>>> from chipwise.core.device import Device, Machine
>>> busy = Device("Example CPU @ 2.00GHz", "cpu", peak_flops={"fp32": 1e9}, bandwidth_bytes_s=1e10)
>>> best, basis = ceiling(busy, Machine(busy.name, "aarch64", (), 2, 2))
>>> best.peak_flops["fp32"], basis
(1000000000.0, '')
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from chipwise.devices.theory import theory
from chipwise.devices.topology import clock_hz, nominal_hz, threads_per_core

if TYPE_CHECKING:
    from chipwise.core.device import Device, Machine


def ceiling(quick: Device, machine: Machine) -> tuple[Device, str]:
    """What a quick look found, with the arithmetic of the instruction sets in its place where that is known.

    Others on the machine slow a quick look down, and a bound from what is left would be none.

    Args:
        quick: peaks that were measured in a moment.
        machine: this one.

    Returns:
        the device, and in a sentence how its arithmetic was reckoned; "" where the quick look stands alone.
    """
    root = Path("/")
    cores = max(1, machine.cores // (threads_per_core(root) or 1))
    clock = max((hz for hz in (clock_hz(root), nominal_hz(machine.cpu)) if hz), default=None)
    peaks, basis = theory(machine.isa, cores=cores, clock_hz=clock)
    best = {name: max(peaks.get(name, 0.0), quick.peak_flops.get(name, 0.0)) for name in {**quick.peak_flops, **peaks}}
    return replace(quick, peak_flops=best), basis if peaks else ""
