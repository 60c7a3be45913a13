"""Time on systolic arrays: tile fill, weights streamed into the array, and traffic where the chip's memory ends.

A product [m, k] x [k, n] is cut into tiles of `rows` x `columns` weights. A tile stays in the array while m rows of
activations pass, one a cycle; meanwhile the next tile is shifted in, which takes `rows` cycles (the weights are double
buffered), and read from memory. So a tile takes max(m, rows, its bytes / bandwidth), and a product that does not fill
its last tiles wastes the rest. This is what makes small batches of TPU v1 memory-bound: 64 KiB a tile at 34 GB/s are
1,349 cycles, and a batch of 200 keeps the array busy for 200 of them (Jouppi et al., ISCA 2017).

What has no weights to hold (depthwise convolutions, pooling, additions) runs on `columns` lanes a cycle.

A chip without memory of its own (the Edge TPU) keeps weights on the chip while there is room, in the order of layers;
the others come over its host link at every inference.

>>> from chipwise.core.device import Device
>>> from chipwise.core.estimate import Workload
>>> from chipwise.core.layer import Layer
>>> tpu = Device("TPU v1", "tpu", peak_flops={"int8": 92e12}, bandwidth_bytes_s=34e9, cache_bytes=28 * 2**20,
...              clock_hz=700e6, array=(256, 256), arrays=1)
>>> layer = Layer("fc", "Gemm", ((200, 2048),), ((200, 2048),), 2048 * 2048, flops=2 * 200 * 2048 * 2048)
>>> row = seconds([layer], tpu, Workload(batch=200, precision="int8"))[0]
>>> row.bound, round(row.flops / row.time_s / 1e12, 1)
('memory', 13.6)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from chipwise.core.device import Device
from chipwise.core.errors import InputError
from chipwise.core.estimate import Bound, EstimateRow, Workload
from chipwise.core.layer import Layer
from chipwise.cost.formats import ROW_BYTES, value_bytes
from chipwise.cost.liveness import VIEWS, input_bytes
from chipwise.cost.ops import Op, operations

_DENSE = frozenset({"c1", "ck", "grp", "mm", "bmm", "sdpa"})
# Operations keep their traffic in 2-byte values.
_OP_BYTES = 2


@dataclass(frozen=True, slots=True)
class HostLink:
    """How a chip without memory of its own is fed.

    Attributes:
        bytes_s: of weights and activations over the link, sustained.
        call_s: of one invocation, whatever it does.
    """

    bytes_s: float
    call_s: float


def seconds(layers: Sequence[Layer], device: Device, workload: Workload) -> list[EstimateRow]:
    """Time of each layer on a device with systolic arrays.

    Args:
        layers: rows for `workload.batch` items, float32 bytes.
        device: with `array`, `clock_hz` and a memory bandwidth, or a host link that is known here.
        workload: inference; the precision scales bytes and must be one that the device has.

    Returns:
        One row a layer that does something; for a chip without memory first one for the invocation itself.

    Raises:
        InputError: the device has no array, its clock or bandwidth is not known, or not the precision.
    """
    if workload.phase != "inference":
        raise InputError(f"systolic arrays are estimated for inference; received {workload.phase!r}")
    chip = _chip(device, workload.precision)
    rows: list[EstimateRow] = []
    room = chip.on_chip_bytes
    if chip.call_s:
        moved = chip.scale * (input_bytes(layers) + _result_bytes(layers))
        rows.append(EstimateRow("invocation", chip.call_s + moved / chip.bandwidth, "launch", moved_bytes=moved))
        room *= 1 - chip.reserved_share
    for layer in layers:
        if layer.op in VIEWS:
            continue
        weights = _streamed_weights(layer, chip.scale)
        cached = chip.call_s > 0 and weights <= room
        room -= weights if cached else 0
        rows.append(_row(layer, chip, 0.0 if cached else weights))
    return rows


def utilisation(m: float, n: float, k: float, array: tuple[int, int]) -> float:
    """Share of an array's peak that a product reaches if its weights are at hand, 0..1: tile fill and shifting."""
    rows, columns = array
    tiles = math.ceil(k / rows) * math.ceil(n / columns)
    return m * n * k / (tiles * max(m, rows) * rows * columns)


@dataclass(frozen=True, slots=True)
class _Chip:
    array: tuple[int, int]
    arrays: int
    clock_hz: float
    bandwidth: float
    on_chip_bytes: float
    scale: float
    call_s: float = 0.0
    reserved_share: float = 0.0


# Fitted on the half of the Edge TPU's published rows that benchmarks/published/edge_tpu.py does not hold out.
_LINKS = {"USB 3": HostLink(430e6, 1.5e-3), "PCIe": HostLink(380e6, 1.5e-3)}
_RESERVED_SHARE = 0.1


def _chip(device: Device, precision: str) -> _Chip:
    if device.array is None or device.clock_hz is None:
        missing = "systolic array" if device.array is None else "clock"
        raise InputError(f"{device.name} has no {missing} in the catalogue")
    if precision not in device.peak_flops:
        known = ", ".join(sorted(device.peak_flops)) or "none"
        raise InputError(f"{device.name} does not compute in {precision}", hint=f"formats with a known peak: {known}")
    arrays, on_chip = device.arrays or 1, float(device.cache_bytes or 0)
    scale = value_bytes(precision) / ROW_BYTES
    if device.bandwidth_bytes_s:
        return _Chip(device.array, arrays, device.clock_hz, device.bandwidth_bytes_s, on_chip, scale)
    link = next((link for name, link in _LINKS.items() if name in device.host_link), None)
    if link is None:
        raise InputError(
            f"neither memory bandwidth nor host link of {device.name} is known", hint=f"links: {', '.join(_LINKS)}"
        )
    return _Chip(device.array, arrays, device.clock_hz, link.bytes_s, on_chip, scale, link.call_s, _RESERVED_SHARE)


def _row(layer: Layer, chip: _Chip, weights: float) -> EstimateRow:
    ops = operations([layer])
    held = chip.scale * (layer.write_bytes + ROW_BYTES * sum(math.prod(shape) for shape in layer.inputs))
    # Activations stay on the chip where they fit there.
    moved = weights + (held if not chip.call_s and held > chip.on_chip_bytes else 0.0)
    compute_s = sum(_cycles(op, chip) for op in ops) / (chip.arrays * chip.clock_hz)
    memory_s = moved / chip.bandwidth
    bound: Bound = "compute" if compute_s >= memory_s else "memory"
    kind = ops[0].kind if ops else ""
    return EstimateRow(layer.name, max(compute_s, memory_s), bound, layer.op, kind, layer.flops, moved)


def _cycles(op: Op, chip: _Chip) -> float:
    """Cycles of one array's time; a batch normalization is folded into weights, an activation into the pipeline."""
    rows, columns = chip.array
    if op.kind in _DENSE and all(op.dims):
        m, n, k, groups = op.dims
        tiles = math.ceil(k / rows) * math.ceil(n / columns)
        products = 2 if op.kind == "sdpa" else 1
        return products * groups * tiles * max(m, rows)
    if op.kind == "dw":
        return op.flops / 2 / columns
    if op.kind in ("bn", "ew") and op.weight_bytes == 0 and op.flops == 0:
        return 0.0
    return op.read_bytes / _OP_BYTES / columns


def _streamed_weights(layer: Layer, scale: float) -> float:
    """Bytes of weights that pass into the array: of a recurrence once a step, of a table nothing but what is read."""
    if layer.op == "Gather":
        return layer.write_bytes * scale
    steps = layer.inputs[0][1] if layer.op in ("LSTM", "GRU", "RNN") and len(layer.inputs[0]) > 2 else 1
    return ROW_BYTES * scale * layer.parameters * steps


def _result_bytes(layers: Sequence[Layer]) -> int:
    read = {name for layer in layers for name in layer.after}
    return sum(layer.write_bytes for layer in layers if layer.name not in read)
