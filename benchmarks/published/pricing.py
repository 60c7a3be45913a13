"""Seconds of a list of operations on a device, as an interval.

>>> from chipwise.core.profile import Spread, WorkClass
>>> from chipwise.cost.ops import Op
>>> card = Device("example", "gpu", peak_flops={"fp32": 1e12}, bandwidth_bytes_s=1e11)
>>> profile = Profile("p", "gpu", "torch", "inference", "fp32", False, {"ew": WorkClass()}, spread=Spread(-0.1, 0.1))
>>> priced([Op("ew", read_bytes=5e10, write_bytes=0.0)], card, profile)
Interval(low=0.904837418035..., mid=1.0, high=1.105170918075..., coverage=0.8)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from chipwise.core.device import Device
from chipwise.core.estimate import Interval
from chipwise.core.profile import Profile
from chipwise.cost.estimate import timed_ops
from chipwise.cost.ops import Op, operations
from chipwise.networks.layers import layer_rows
from chipwise.networks.load import load


@cache
def zoo_operations(network: str, batch: int) -> tuple[Op, ...]:
    """Operations of a network of the zoo, in 2-byte values."""
    return tuple(operations(layer_rows(load(network), batch)))


@cache
def zoo_kernels(network: str, batch: int) -> tuple[Op, ...]:
    """The same for profiles of single kernels, whose `ck` are 3x3 of stride 1 alone: Winograd's method serves these.

    Other convolutions run as one product, which is what `c1` stands for there.
    """
    quick = {row.name for row in layer_rows(load(network), batch) if row.kernel == (3, 3) and max(row.stride) == 1}
    found = zoo_operations(network, batch)
    return tuple(replace(op, kind="c1") if op.kind == "ck" and op.layer not in quick else op for op in found)


def priced(ops: Sequence[Op], card: Device, profile: Profile) -> Interval:
    """Seconds of a step of operations in 2-byte values, as `chipwise estimate` gives them.

    Raises:
        InputError: a peak of the device is not known.
    """
    return timed_ops(ops, card, profile)[0]
