"""The roofline: a layer takes at least as long as its arithmetic at peak, and as its traffic at full bandwidth.

Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for multicore architectures",
CACM 52(4), 2009. The sum over the layers is a floor: no overhead per layer, every tensor moved once at full bandwidth,
peak arithmetic everywhere. It has no middle and no upper value until something was measured.

>>> from chipwise.core.device import Device
>>> from chipwise.core.estimate import Workload
>>> from chipwise.core.layer import Layer
>>> device = Device("example", "cpu", peak_flops={"fp32": 1e9}, bandwidth_bytes_s=1e9)
>>> estimate([Layer("fc", "Gemm", ((1, 8),), ((1, 4),), flops=64, read_bytes=176, write_bytes=16)], device, Workload())
... # doctest: +ELLIPSIS
Estimate(device='example', ... time_s=Interval(low=1.92e-07, mid=None, high=None, coverage=None), ...
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from chipwise.core.device import Device
from chipwise.core.errors import InputError
from chipwise.core.estimate import Bound, Estimate, EstimateRow, Interval, MemoryUse, Workload
from chipwise.core.formats import ROW_BYTES, value_bytes
from chipwise.core.layer import Layer, Shape

_METHOD = "roofline floor: sum over layers of max(FLOPs / peak, bytes / bandwidth); no overheads, no cache reuse"


def estimate(layers: Sequence[Layer], device: Device, workload: Workload) -> Estimate:
    """Sum the roofline floors of the layers.

    Args:
        layers: rows made for `workload.batch` items, FLOPs with 1 multiply-add = 2, bytes as float32.
        device: its peak for the precision and its bandwidth must be known.
        workload: inference; the precision scales the bytes and selects the peak.

    Returns:
        an estimate whose time has a lower bound only. A layer of unknown work counts with its traffic.

    Raises:
        InputError: training, an unknown precision, or a device whose peak or bandwidth is not known.
    """
    scale, peak, bandwidth = _rates(device, workload)
    rows = tuple(_row(layer, scale, peak, bandwidth) for layer in layers)
    memory_s = sum(row.time_s for row in rows if row.bound == "memory")
    total_s = sum(row.time_s for row in rows)
    return Estimate(
        device=device.name,
        workload=workload,
        rows=rows,
        time_s=Interval(low=float(total_s), mid=None, high=None),
        memory=MemoryUse(
            weights=math.ceil(scale * ROW_BYTES * sum(layer.parameters for layer in layers)),
            activations=math.ceil(scale * ROW_BYTES * max(map(_activation_values, layers), default=0)),
        ),
        bound="memory" if memory_s > total_s / 2 else "compute",
        method=_METHOD,
        unknown_ops=tuple(sorted({layer.op for layer in layers if not layer.known})),
    )


def _rates(device: Device, workload: Workload) -> tuple[float, float, float]:
    scale = value_bytes(workload.precision) / ROW_BYTES
    peak, bandwidth = device.peak_flops.get(workload.precision), device.bandwidth_bytes_s
    if not peak or not bandwidth:
        missing = f"peak for {workload.precision}" if not peak else "memory bandwidth"
        known = ", ".join(sorted(device.peak_flops)) or "none"
        raise InputError(f"the {missing} of {device.name} is not known", hint=f"formats with a known peak: {known}")
    if workload.phase != "inference":
        raise InputError(
            f"{workload.phase} on {device.name} is not estimated from its peaks alone", hint="ask for --phase infer"
        )
    return scale, peak, bandwidth


def _row(layer: Layer, scale: float, peak: float, bandwidth: float) -> EstimateRow:
    moved = scale * layer.moved_bytes
    compute_s, memory_s = layer.flops / peak, moved / bandwidth
    bound: Bound = "compute" if compute_s >= memory_s else "memory"
    return EstimateRow(layer.name, max(compute_s, memory_s), bound, layer.op, flops=layer.flops, moved_bytes=moved)


def _activation_values(layer: Layer) -> int:
    shapes: tuple[Shape, ...] = layer.inputs + layer.outputs
    return sum(math.prod(shape) for shape in shapes)
