"""Energy of a batch: the device's power over the time, and a bound from the energy of single operations.

Published energies of one operation: Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014,
for 45 nm; and Jouppi et al., "Ten lessons from three generations shaped Google's TPUv4i", ISCA 2021, table 2, which
repeats them beside 7 nm. Between the two processes this module interpolates (the logarithm of energy over that of the
process); it never goes beyond them, so that finer processes are charged as 7 nm and coarser ones as 45 nm.

>>> next(row for row in number_format_energy() if row.format == "fp32").multiply_pj
3.7
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from chipwise.core.device import Device
from chipwise.core.estimate import Interval, Workload
from chipwise.core.formats import ROW_BYTES, value_bytes
from chipwise.core.layer import Layer


@dataclass(frozen=True, slots=True)
class FormatEnergy:
    """What one operation in a number format takes at 45 nm.

    Attributes:
        format: of the numbers.
        lowest, highest: range of values, as orders of magnitude are usually stated; None where it is not published.
        accuracy: relative (of floating point) or absolute (of integers, in units) error of rounding.
        add_pj, multiply_pj: energy in picojoules; add_um2, multiply_um2: silicon area. None where not published.
        add_7nm_pj, multiply_7nm_pj: energy at 7 nm.
    """

    format: str
    lowest: float | None = None
    highest: float | None = None
    accuracy: float | None = None
    add_pj: float | None = None
    multiply_pj: float | None = None
    add_um2: float | None = None
    multiply_um2: float | None = None
    add_7nm_pj: float | None = None
    multiply_7nm_pj: float | None = None


# Ranges, energies and areas at 45 nm: Horowitz 2014. Energies at 7 nm: Jouppi et al. 2021, table 2.
_FORMATS = (
    FormatEnergy("int8", 0, 127, 0.5, 0.03, 0.2, 36, 282, 0.007, 0.07),
    FormatEnergy("int16", 0, 6e4, 0.5, 0.05, None, 67, None),
    FormatEnergy("int32", 0, 2e9, 0.5, 0.1, 3.1, 137, 3495, 0.03, 1.48),
    FormatEnergy("bf16", add_7nm_pj=0.11, multiply_7nm_pj=0.21),
    FormatEnergy("fp16", 6e-5, 6e4, 5e-4, 0.4, 1.1, 1360, 1640, 0.16, 0.34),
    FormatEnergy("fp32", 1e-38, 1e38, 6e-8, 0.9, 3.7, 4184, 7700, 0.38, 1.31),
)
# Picojoules per access of 32 bits at 45 nm, Horowitz 2014.
MEMORY_PJ = {"register file": 1.0, "SRAM, 8 KB": 5.0, "DRAM": 640.0}
# Picojoules a byte of today's memories, the lower end where a range is published: Jouppi et al. 2021, table 2, which
# has DDR4 1300, HBM2 250-450 and GDDR6 350-480 per 64 bits. Others are charged as the best of these.
_DRAM_PJ_BYTE = {"DDR": 1300 / 8, "GDDR": 350 / 8, "HBM": 250 / 8}
# Which published format bounds what a unit for another takes, from below. Of bf16 only 7 nm is published, which stands
# for coarser processes, too. Nothing published is below int4: its arithmetic is not charged.
_CHARGED_AS = {
    "fp64": "fp32", "fp32": "fp32", "tf32": "bf16", "fp16": "fp16", "bf16": "bf16", "fp8": "int8", "int16": "int8",
    "int8": "int8",
}  # fmt: skip
_COARSE_NM, _FINE_NM = 45.0, 7.0
# Share of the power between idle and full that busy accelerators take: TPU v4 measured 170 W on average between 90 and
# 192 W, and TPU v3 220 of 450 W (Jouppi et al., ISCA 2021 and 2023); the middle of what those say.
_BUSY_SHARE = 0.65
# The least that is published of what busy accelerators take on average of the power between idle and full: TPU v3's.
_LEAST_BUSY_SHARE = 0.3
# Power of a device that does nothing, as a share of its full power, least, usual and most, where its data sheet is
# silent. Gaming cards idle lowest (reviews of the RTX 3090 Ti: 21 of 450 W), TPU v4 highest (90 of 192 W).
_IDLE_SHARES = (0.04, 0.25, 0.47)


def number_format_energy() -> tuple[FormatEnergy, ...]:
    """The published table of number formats, coarse integers first."""
    return _FORMATS


def energy_of(
    layers: Sequence[Layer], device: Device, workload: Workload, time_s: Interval, *, waiting: float = 0.0
) -> Interval | None:
    """Joules of one batch.

    Args:
        layers: rows of that batch.
        device: with its power; the process, the memory's kind and the idle power narrow the interval where known.
        workload: phase and precision; training does three times the arithmetic of inference.
        time_s: of the batch.
        waiting: share of the time, 0..1, in which the device waits for its host and takes its idle power.

    Returns:
        low: the least a busy device is known to take, over the shortest time, and never below `operation_energy`; of a
        floor, idle power over it. mid: idle power plus a stated share of the rest while busy, over the middle time.
        high: full power while busy, over the longest time. None where the power is not known.
    """
    if device.power_w is None:
        return None
    full, known = device.power_w, device.idle_power_w
    idles = [share * full if known is None else known for share in _IDLE_SHARES]
    least_share = 0.0 if time_s.mid is None else _LEAST_BUSY_SHARE
    shares = (least_share, _BUSY_SHARE, 1.0)
    low_w, mid_w, high_w = (
        idle + share * (1.0 - waiting) * (full - idle) for idle, share in zip(idles, shares, strict=True)
    )
    high = None if time_s.high is None else high_w * time_s.high
    mid = None if time_s.mid is None else mid_w * time_s.mid
    low = max(low_w * (time_s.low or 0.0), operation_energy(layers, device, workload))
    most = min((value for value in (mid, high) if value is not None), default=low)
    return Interval(min(low, most), mid, high, time_s.coverage)


def operation_energy(layers: Sequence[Layer], device: Device, workload: Workload) -> float:
    """Joules that the arithmetic takes at least, and one reading of the weights that do not fit into the cache.

    Only published energies of adders, multipliers and memory are counted: no instruction, register or wire.
    """
    charged = _CHARGED_AS.get(workload.precision, "")
    row = next((row for row in _FORMATS if row.format == charged), FormatEnergy(charged))
    process = device.process_nm or _FINE_NM
    pair_pj = _between(row.add_pj, row.add_7nm_pj, process) + _between(row.multiply_pj, row.multiply_7nm_pj, process)
    passes = 3 if workload.phase == "training" else 1
    pairs = passes * sum(layer.flops for layer in layers) / 2
    scale = value_bytes(workload.precision) / ROW_BYTES
    weights = ROW_BYTES * scale * sum(layer.parameters for layer in layers)
    read = max(0.0, weights - (device.cache_bytes or 0))  # the others may still be there from the batch before
    return 1e-12 * (pairs * pair_pj + passes * read * _dram_pj_byte(device.memory_type))


def _dram_pj_byte(kind: str) -> float:
    """The longest name that a memory's kind contains decides, so that GDDR6 is not DDR. LPDDR is not published."""
    found = [name for name in _DRAM_PJ_BYTE if name in kind.upper()]
    return min(_DRAM_PJ_BYTE.values()) if not found or "LPDDR" in kind.upper() else _DRAM_PJ_BYTE[max(found, key=len)]


def _between(coarse: float | None, fine: float | None, process_nm: float) -> float:
    """Interpolate between 45 and 7 nm."""
    if coarse is None or fine is None:
        return fine or coarse or 0.0
    clipped = min(max(process_nm, _FINE_NM), _COARSE_NM)
    share = math.log(clipped / _FINE_NM) / math.log(_COARSE_NM / _FINE_NM)
    return fine * math.pow(coarse / fine, share)
