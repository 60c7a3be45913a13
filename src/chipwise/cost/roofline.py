"""The roofline: a layer takes at least as long as its arithmetic at peak, and as its traffic at full bandwidth.

Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for multicore architectures",
CACM 52(4), 2009. The sum over the layers is a floor: no overhead per layer, every tensor moved once at full bandwidth,
peak arithmetic everywhere. It has no middle and no upper value until something was measured.

>>> from chipwise.core.device import Device
>>> from chipwise.core.estimate import Workload
>>> from chipwise.core.layer import Layer
>>> device = Device("example", "cpu", peak_flops={"fp32": 1e9}, bandwidth_bytes_s=1e9)
>>> layer = Layer("fc", "Gemm", ((1, 8),), ((1, 4),), flops=64, read_bytes=176, write_bytes=16)
>>> floor([layer], device, Workload())[1]
Interval(low=1.92e-07, mid=None, high=None, coverage=None)
"""

from __future__ import annotations

from collections.abc import Sequence

from chipwise.core.device import Device
from chipwise.core.errors import InputError
from chipwise.core.estimate import Bound, EstimateRow, Interval, Workload
from chipwise.core.formats import ROW_BYTES, value_bytes
from chipwise.core.layer import Layer

METHOD = "roofline floor: sum over layers of max(FLOPs / peak, bytes / bandwidth); no overheads, no cache reuse"


def floor(layers: Sequence[Layer], device: Device, workload: Workload) -> tuple[tuple[EstimateRow, ...], Interval]:
    """Rows of an estimate, and seconds of one batch, which have a lower bound only.

    Args:
        layers: rows made for `workload.batch` items, FLOPs with 1 multiply-add = 2, bytes as float32.
        device: its peak for the precision and its bandwidth must be known.
        workload: inference; the precision scales the bytes and selects the peak.

    Raises:
        InputError: training, an unknown precision, or a device whose peak or bandwidth is not known.
    """
    scale = value_bytes(workload.precision) / ROW_BYTES
    peak, bandwidth = stated(device, workload.precision)
    if workload.phase != "inference":
        raise InputError(
            f"{workload.phase} on {device.name} is not estimated from its peaks alone", hint="ask for --phase infer"
        )
    rows = tuple(_row(layer, scale, peak, bandwidth) for layer in layers)
    return rows, Interval(low=float(sum(row.time_s for row in rows)), mid=None, high=None)


def stated(device: Device, precision: str) -> tuple[float, float]:
    """The peak for a number format and the memory bandwidth of a device.

    Raises:
        InputError: one of them is not known.
    """
    peak, bandwidth = device.peak_flops.get(precision), device.bandwidth_bytes_s
    if not peak or not bandwidth:
        missing = f"peak for {precision}" if not peak else "memory bandwidth"
        known = ", ".join(sorted(device.peak_flops)) or "none"
        raise InputError(f"the {missing} of {device.name} is not known", hint=f"formats with a known peak: {known}")
    return peak, bandwidth


def _row(layer: Layer, scale: float, peak: float, bandwidth: float) -> EstimateRow:
    moved = scale * layer.moved_bytes
    compute_s, memory_s = layer.flops / peak, moved / bandwidth
    bound: Bound = "compute" if compute_s >= memory_s else "memory"
    return EstimateRow(layer.name, max(compute_s, memory_s), bound, layer.op, flops=layer.flops, moved_bytes=moved)
