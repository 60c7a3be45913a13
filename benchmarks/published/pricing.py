"""Seconds of a list of operations on a device, as an interval.

>>> from chipwise.core.profile import Spread, WorkClass
>>> from chipwise.cost.ops import Op
>>> card = Device("example", "gpu", peak_flops={"fp32": 1e12}, bandwidth_bytes_s=1e11)
>>> profile = Profile("p", "gpu", "torch", "inference", "fp32", False, {"ew": WorkClass()}, spread=Spread(-0.1, 0.1))
>>> priced([Op("ew", read_bytes=5e10, write_bytes=0.0)], card, profile)
Interval(low=0.904837418035..., mid=1.0, high=1.105170918075..., coverage=0.8)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from chipwise.core.device import Device
from chipwise.core.estimate import Interval
from chipwise.core.profile import Profile
from chipwise.cost.model import prices, rates, step_s
from chipwise.cost.ops import Op, planned


def priced(ops: Sequence[Op], card: Device, profile: Profile) -> Interval:
    """Seconds of a step of operations in 2-byte values; bounds from the profile's spread, where it has one.

    Raises:
        InputError: a peak of the device is not known.
    """
    found = planned(ops, profile)
    mid = step_s(prices(found, rates(card, profile), profile), profile)
    if profile.spread is None:
        return Interval(None, mid, None)
    spread = profile.spread
    wider = 1.0 if not profile.devices or card.name in profile.devices else spread.elsewhere
    low, high = mid * math.exp(wider * spread.low), mid * math.exp(wider * spread.high)
    return Interval(low, mid, high, spread.coverage)
