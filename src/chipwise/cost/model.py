"""Seconds per operation: a roofline whose peaks are reached in part, by class of work and by size.

    t = (compute^p + memory^p)^(1/p) + launch
    compute = FLOPs / (peak x share), memory = activations / (bandwidth x share) + weights / (bandwidth x share)
    log share = coefficient of the class + sum of curves over features of the operation

and a step takes `step_s` plus the longer of the device's time and the host's (`dispatch_s` per operation), softly.

How a `Profile` is fitted (benchmarks/published/fit.py): all coefficients are logarithms, all features are known before
(`features`), so the predicted time of a network is a smooth function of the coefficients; they are found by gradient
descent on the mean Huber loss of log(predicted / measured), with curves held near 0 and smooth. Rates, features and
formula are exactly those of this file; a test compares them.

>>> from chipwise.core.device import Device
>>> from chipwise.core.profile import Profile, WorkClass
>>> from chipwise.cost.ops import COARSER, PRODUCTS, Op
>>> device = Device("example", "gpu", peak_flops={"fp16": 1e12, "fp32": 1e11}, bandwidth_bytes_s=1e11)
>>> profile = Profile("p", "gpu", "torch", "inference", "fp16", False, {"mm": WorkClass(compute=0.0, sharpness=64)})
>>> price = prices([Op("mm", 2e9, 2e3, 2e3, 2e3, (1e3, 1e3, 1e3, 1))], rates(device, profile), profile)[0]
>>> round(price.total_s, 6), price.bound
(0.002, 'compute')
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from chipwise.core.device import Device
from chipwise.core.estimate import Bound
from chipwise.core.profile import Curve, Profile, Scales, WorkClass
from chipwise.cost.ops import COARSER, PRODUCTS, Op
from chipwise.cost.roofline import stated

# Side of the block of a product's result that one multiprocessor works on; the usual size in cuBLAS and cuDNN.
TILE = 128
_BLOCK, _PANEL_BYTES = 64, 4  # side of the smaller blocks, and bytes of a value, of the curves over fill and panel
# Streams keep multiprocessors busy too (addresses, conversions, waiting): counted as this many operations a byte.
STREAM_FLOPS = 8.0
# Where the catalogue does not say: a mid-size chip. Only curves over cache and tiles use these.
_CACHE_BYTES, _MULTIPROCESSORS = 8 * 2**20, 64
_HOST_SHARPNESS = 4.0


@dataclass(frozen=True, slots=True)
class Rates:
    """What a device can do at most, in the number format of a profile, and what its sizes are."""

    matrix: float
    vector: float
    bandwidth: float
    cache_bytes: float
    multiprocessors: float


@dataclass(frozen=True, slots=True)
class Price:
    """Seconds of one operation; they overlap, so the total is less than the sum."""

    compute_s: float
    memory_s: float
    launch_s: float
    total_s: float
    launches: int = 1

    @property
    def bound(self) -> Bound:
        """The largest of the three."""
        if self.launch_s > max(self.compute_s, self.memory_s):
            return "launch"
        return "compute" if self.compute_s >= self.memory_s else "memory"


def rates(device: Device, profile: Profile, scales: Scales | None = None) -> Rates:
    """The peaks of `device` that count for `profile`, times `scales`.

    Raises:
        InputError: the peak of the number format or the bandwidth is not known.
    """
    scales = scales or Scales()
    peaks = device.peak_flops
    matrix, bandwidth = stated(device, profile.precision)
    # Vector units sum in fp32 whatever is stored, but for fp64.
    vector = peaks.get("fp64" if profile.precision == "fp64" else "fp32") or matrix
    return Rates(
        matrix=matrix * scales.compute,
        vector=vector * scales.compute,
        bandwidth=bandwidth * scales.bandwidth,
        cache_bytes=float(device.cache_bytes or _CACHE_BYTES),
        multiprocessors=float(device.multiprocessors or device.cores or _MULTIPROCESSORS),
    )


def features(op: Op, rates: Rates) -> dict[str, float]:
    """What curves may depend on, each as log2.

    `m`, `n`, `k`: of the product; `width`: of all groups together; `tiles`: blocks of the result per multiprocessor;
    `align`: largest power of two up to 8 that divides n and k; `mib`: activations read and written in MiB; `cache`: the
    same over the last-level cache; `shrink`: read over written; `fill`: share of small blocks of the result that is
    used; `panel`: values of the right-hand matrix over those that the last-level cache holds.
    """
    m, n, k, groups = op.dims
    moved = max(op.read_bytes + op.write_bytes, 1.0)
    tiles = max(m / TILE, 1.0) * math.ceil(n / TILE) * groups / rates.multiprocessors
    used = m * n / (_BLOCK**2 * math.ceil(m / _BLOCK) * math.ceil(n / _BLOCK)) if m and n else 1.0
    return {
        "m": math.log2(max(m, 1.0)),
        "n": math.log2(max(n, 1.0)),
        "k": math.log2(max(k, 1.0)),
        "width": math.log2(max(n * groups, 1.0)),
        "tiles": math.log2(max(tiles, 2**-20)),
        "align": math.log2(math.gcd(int(n), int(k), 8)),
        "mib": math.log2(moved / 2**20),
        "cache": math.log2(moved / rates.cache_bytes),
        "shrink": math.log2(max(op.read_bytes, 1.0) / max(op.write_bytes, 1.0)),
        "fill": math.log2(used),
        "panel": math.log2(max(n * k, 1.0) * _PANEL_BYTES / rates.cache_bytes),
    }


def prices(ops: Sequence[Op], rates: Rates, profile: Profile, scales: Scales | None = None) -> list[Price]:
    """Seconds of each operation; `scales` only matters for the launch here, the rest is in `rates`."""
    launch_s = profile.launch_s * (scales or Scales()).launch
    weights = sum(op.weight_bytes for op in ops)
    kept = _gain(profile.classes.get("weights"), {"resident": math.log2(max(weights, 1.0) / rates.cache_bytes)})
    # Networks repeat their layers.
    seen: dict[tuple[object, ...], Price] = {}
    found = []
    for op in ops:
        key = (op.kind, op.flops, op.read_bytes, op.weight_bytes, op.write_bytes, op.dims, op.launches)
        if key not in seen:
            seen[key] = _price(op, rates, profile, launch_s, rates.bandwidth * kept)
        found.append(seen[key])
    return found


def step_s(prices: Sequence[Price], profile: Profile, scales: Scales | None = None) -> float:
    """Seconds of a step of these operations: the device's work beside the host's."""
    launch = (scales or Scales()).launch
    device_s = sum(price.total_s for price in prices)
    host_s = profile.dispatch_s * launch * sum(price.launches for price in prices)
    return profile.step_s * launch + soft_maximum(device_s, host_s, _HOST_SHARPNESS)


def soft_maximum(one: float, other: float, power: float) -> float:
    """A maximum with a round corner: between the larger and the sum; power 1 is the sum."""
    high, low = max(one, other), min(one, other)
    return high * float((1.0 + (low / high) ** power) ** (1.0 / power)) if high > 0 else 0.0


def _price(op: Op, rates: Rates, profile: Profile, launch_s: float, weights_s: float) -> Price:
    shares = class_of(op.kind, profile)
    known = features(op, rates)
    compute_s = 0.0
    product = op.kind in PRODUCTS
    work = op.flops if product else STREAM_FLOPS * (op.read_bytes + op.write_bytes)
    if shares.compute is not None and work:
        peak = rates.matrix if shares.unit == "matrix" and product else rates.vector
        compute_s = work / (peak * math.exp(shares.compute + _sum(shares.compute_curves, known)))
    memory_s = (op.read_bytes + op.write_bytes) / (rates.bandwidth * _gain(shares, known)) + op.weight_bytes / weights_s
    launch_s *= shares.launch * op.launches
    total_s = soft_maximum(compute_s, memory_s, shares.sharpness) + launch_s
    return Price(compute_s, memory_s, launch_s, total_s, op.launches)


def class_of(kind: str, profile: Profile) -> WorkClass:
    """The coefficients of a class, or of the nearest one that the profile has."""
    while kind not in profile.classes and kind in COARSER:
        kind = COARSER[kind]
    return profile.classes.get(kind) or profile.classes.get("ew") or WorkClass()


def _gain(shares: WorkClass | None, known: dict[str, float]) -> float:
    return math.exp(shares.memory + _sum(shares.memory_curves, known)) if shares else 1.0


def _sum(curves: dict[str, Curve], known: dict[str, float]) -> float:
    return sum(curve(known[name]) for name, curve in curves.items())
