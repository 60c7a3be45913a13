"""An estimate on a machine that was measured: times from its own kernels, memory, energy and money as anywhere.

>>> from chipwise.core.device import Device, Machine
>>> chip = Device("Example CPU", "cpu", peak_flops={"fp32": 1e11}, bandwidth_bytes_s=1e10)
>>> found = MeasuredMachine(Machine("Example CPU", "x86_64", (), 2, 2), chip, "2026-01-15", {})
>>> estimate_measured([], found, Workload(runtime="openvino")) is None
True
"""

from __future__ import annotations

from collections.abc import Sequence

from chipwise.core.estimate import Bound, Estimate, EstimateRow, Workload
from chipwise.core.layer import Layer
from chipwise.core.measured import MeasuredMachine
from chipwise.cost.energy import energy_of
from chipwise.cost.measured_model import predicted
from chipwise.cost.memory import memory_interval, memory_of
from chipwise.cost.money import price_of


def estimate_measured(layers: Sequence[Layer], found: MeasuredMachine, workload: Workload) -> Estimate | None:
    """Estimate one batch from kernels that were measured on the machine itself.

    Args:
        layers: rows made for `workload.batch` items, bytes as float32.
        found: what was measured.
        workload: inference on one of the runtimes that were measured, in a number format that was.

    Returns:
        the estimate; None for what was not measured: training, or another runtime or number format.
    """
    times = found.layer_times(workload.runtime, workload.precision)
    if times is None or workload.phase != "inference":
        return None
    rows, time_s = predicted(layers, times)
    device = found.device
    held = memory_interval(layers, device, workload)
    notes = () if times.native else (f"{device.name} has no instructions for {workload.precision}",)
    return Estimate(
        device=device.name,
        workload=workload,
        rows=rows,
        time_s=time_s,
        memory=memory_of(layers, device, workload),
        bound=_bound(rows),
        method=f"{len(times.kernels)} kernels of small networks, measured on this machine with {times.runtime} "
        f"{times.precision} on {found.date}; a network is the sum of the like of its own",
        memory_bytes=held,
        fits=None if device.memory_bytes is None or held.mid is None else held.mid <= device.memory_bytes,
        energy_j=energy_of(layers, device, workload, time_s),
        price_usd=price_of(device, time_s),
        unknown_ops=tuple(sorted({layer.op for layer in layers if not layer.known})),
        notes=notes,
    )


def _bound(rows: Sequence[EstimateRow]) -> Bound:
    """What bounds most of the time."""
    totals: dict[Bound, float] = {}
    for row in rows:
        totals[row.bound] = totals.get(row.bound, 0.0) + row.time_s
    return max(totals, key=lambda bound: totals[bound], default="compute")
