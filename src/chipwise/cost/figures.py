"""What follows from a device's facts: FLOPS per watt (eta), FLOPS per dollar (mu) and ridge points.

>>> from chipwise.core.device import Device, Price
>>> price = Price("launch", 1000, 1000, "USD", "2020-09")
>>> shown = figures(Device("x", "gpu", peak_flops={"fp32": 3e13}, bandwidth_bytes_s=1e12, power_w=300, prices=(price,)))
>>> shown.flops_per_watt, shown.flops_per_usd, shown.ridges
(100000000000.0, 30000000000.0, {'fp32': 30.0})
"""

from __future__ import annotations

from chipwise.core.device import Device, Link, System
from chipwise.core.report import HardwareLine


def figures(known: Device | System | Link, precision: str = "fp32") -> HardwareLine:
    """Tell what a piece of hardware gives for a watt and a dollar in one number format, and where memory is its limit.

    Where a system states no peak, it has that of all its accelerators together, and so it is with memory and bandwidth.
    Its power and price are only those that are stated for the whole: a host costs and draws something too.
    """
    if isinstance(known, Link):
        return HardwareLine(known.name, "link", known.year, bandwidth_bytes_s=known.bandwidth_bytes_s, link=known)
    if isinstance(known, Device):
        one, count, kind, peaks = known, 1, str(known.kind), known.peak_flops
    else:
        one, count, kind = known.device or Device(known.name, "cpu"), known.count, "system"
        peaks = {name: peak * count for name, peak in one.peak_flops.items()} | known.peak_flops
    peak, power, price = peaks.get(precision), known.power_w, known.price_usd
    bandwidth = None if one.bandwidth_bytes_s is None else one.bandwidth_bytes_s * count
    return HardwareLine(
        known.name,
        kind,
        known.year,
        peaks,
        None if one.memory_bytes is None else one.memory_bytes * count,
        bandwidth,
        power,
        price,
        peak / power if peak and power else None,
        peak / price if peak and price else None,
        {name: value / bandwidth for name, value in peaks.items()} if bandwidth else {},
        device=known if isinstance(known, Device) else None,
        system=known if isinstance(known, System) else None,
    )
