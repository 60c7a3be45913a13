"""Time on systolic arrays: tile fill, weights streamed into the array, and traffic where the chip's memory ends.

A product [m, k] x [k, n] is cut into tiles of `rows` x `columns` weights. A tile stays in the array while m rows of
activations pass, one a cycle; meanwhile the next tile is shifted in, which takes `rows` cycles (the weights are double
buffered), and read from memory. So a tile takes max(m, rows, its bytes / bandwidth), and a product that does not fill
its last tiles wastes the rest. This is what makes small batches of TPU v1 memory-bound: 64 KiB a tile at 34 GB/s are
1,349 cycles, and a batch of 200 keeps the array busy for 200 of them (Jouppi et al., ISCA 2017).

What has no weights to hold (depthwise convolutions, pooling, additions) runs on `columns` lanes a cycle.

A chip without memory of its own (the Edge TPU) keeps weights on the chip while there is room beside activations, in
the order of layers; the others come over its host link at every inference, before they are used.

>>> from chipwise.core.device import Device
>>> from chipwise.core.estimate import Workload
>>> from chipwise.core.layer import Layer
>>> tpu = Device("TPU v1", "tpu", peak_flops={"int8": 92e12}, bandwidth_bytes_s=34e9, cache_bytes=28 * 2**20,
...              array=(256, 256))
>>> layer = Layer("fc", "Gemm", ((200, 2048),), ((200, 2048),), 2048 * 2048, flops=2 * 200 * 2048 * 2048)
>>> row = seconds([layer], tpu, Workload(batch=200, precision="int8"))[0]
>>> row.bound, round(row.flops / row.time_s / 1e12, 1)
('memory', 13.6)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from chipwise.core.device import Device
from chipwise.core.errors import InputError
from chipwise.core.estimate import Bound, EstimateRow, Workload
from chipwise.core.formats import ROW_BYTES, value_bytes
from chipwise.core.layer import Layer
from chipwise.cost.liveness import VIEWS, input_bytes, most_alive, output_bytes
from chipwise.cost.ops import RECURRENT, TRACE_BYTES, Op, operations, steps_and_items

_DENSE = frozenset({"c1", "ck", "grp", "mm", "bmm", "sdpa"})


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
        device: with an array, a peak, and a memory bandwidth or a host link that is known here. Its clock is what
            makes its arrays reach its peak.
        workload: inference; the precision scales bytes and must be one that the device has.

    Returns:
        One row a layer that does something; for a chip without memory first one for the invocation itself.

    Raises:
        InputError: the device has no such array, its bandwidth is not known, or not its peak for the precision.
    """
    if workload.phase != "inference":
        raise InputError(f"systolic arrays are estimated for inference; received {workload.phase!r}")
    chip = _chip(device, workload.precision)
    rows: list[EstimateRow] = []
    room = 0.0
    if chip.link is not None:
        moved = chip.scale * (input_bytes(layers) + output_bytes(layers))
        call_s = chip.link.call_s + moved / chip.bandwidth
        rows.append(EstimateRow("invocation", call_s, "launch", moved_bytes=moved))
        room = chip.on_chip_bytes - chip.scale * most_alive(layers, fused=True)
    for layer in layers:
        if layer.op in VIEWS:
            continue
        weights = _weights(layer, chip.scale)
        held = weights <= room
        room -= weights if held else 0.0
        rows.append(_row(layer, chip, 0.0 if held else weights * _steps(layer)))
    return rows


@dataclass(frozen=True, slots=True)
class _Chip:
    """`cycle_s`: of all arrays together; `link`: of a chip that has no memory."""

    array: tuple[int, int]
    cycle_s: float
    bandwidth: float
    on_chip_bytes: float
    scale: float
    link: HostLink | None = None


# One invocation and the rate are fitted on the published rows that benchmarks/published/edge_tpu.py does not hold out.
# USB 3.0 carries 500 MB/s at most (5 Gbit/s, 8b/10b), as does one lane of PCIe 2.0, which the Dev Board has.
_LINKS = {"USB 3": HostLink(470e6, 1.5e-3), "PCIe": HostLink(385e6, 1.5e-3)}


def _chip(device: Device, precision: str) -> _Chip:
    array, peak = device.array, device.peak_flops.get(precision)
    if array is None:
        raise InputError(f"{device.name} is not known to have a systolic array")
    if not peak:
        known = ", ".join(sorted(device.peak_flops)) or "none"
        raise InputError(f"{device.name} does not compute in {precision}", hint=f"formats with a known peak: {known}")
    cycle_s, on_chip = 2 * array[0] * array[1] / peak, float(device.cache_bytes or 0)
    scale = value_bytes(precision) / ROW_BYTES
    if device.bandwidth_bytes_s:
        return _Chip(array, cycle_s, device.bandwidth_bytes_s, on_chip, scale)
    link = next((link for name, link in _LINKS.items() if name in device.host_link), None)
    if link is None:
        raise InputError(
            f"neither memory bandwidth nor host link of {device.name} is known", hint=f"links: {', '.join(_LINKS)}"
        )
    return _Chip(array, cycle_s, link.bytes_s, on_chip, scale, link)


def _row(layer: Layer, chip: _Chip, weights: float) -> EstimateRow:
    ops = _passes(layer)
    held = chip.scale * (layer.write_bytes + ROW_BYTES * sum(math.prod(shape) for shape in layer.inputs))
    # Activations stay on the chip where they fit there.
    moved = weights + (held if chip.link is None and held > chip.on_chip_bytes else 0.0)
    compute_s = sum(_cycles(op, chip.array) for op in ops) * chip.cycle_s
    memory_s = moved / chip.bandwidth
    bound: Bound = "compute" if compute_s >= memory_s else "memory"
    time_s = max(compute_s, memory_s) if chip.link is None else compute_s + memory_s
    return EstimateRow(layer.name, time_s, bound, layer.op, ops[0].kind if ops else "", layer.flops, moved)


def _passes(layer: Layer) -> list[Op]:
    """Operations of a layer; of a recurrence, at every step a product with all its weights."""
    ops = operations([layer])
    if layer.op not in RECURRENT or not layer.inputs:
        return ops
    items, width, _, _ = ops[0].dims
    return [replace(ops[0], dims=(items, width, layer.parameters / width, 1))] * _steps(layer)


def _cycles(op: Op, array: tuple[int, int]) -> float:
    """Cycles of one array's time; a batch normalization is folded into weights, an activation into the pipeline."""
    rows, columns = array
    if op.kind in _DENSE and all(op.dims):
        m, n, k, groups = op.dims
        tiles = math.ceil(k / rows) * math.ceil(n / columns)
        products = 2 if op.kind == "sdpa" else 1
        return products * groups * tiles * max(m, rows)
    if op.kind == "dw":
        return op.flops / 2 / columns
    if op.kind == "bn" or (op.kind == "ew" and not op.flops):
        return 0.0
    return op.read_bytes / TRACE_BYTES / columns


def _weights(layer: Layer, scale: float) -> float:
    """Bytes of weights that pass into the array in a step; of a table nothing but what is read."""
    return scale * (layer.write_bytes if layer.op == "Gather" else ROW_BYTES * layer.parameters)


def _steps(layer: Layer) -> int:
    """How many times the weights pass into the array: of a recurrence once a step."""
    return steps_and_items(layer)[0] if layer.op in RECURRENT and layer.inputs else 1
