"""An estimate on a machine that was measured: times from its own kernels, memory, energy and money as anywhere.

>>> from chipwise.core.device import Device, Machine
>>> chip = Device("Example CPU", "cpu", peak_flops={"fp32": 1e11}, bandwidth_bytes_s=1e10)
>>> found = MeasuredMachine(Machine("Example CPU", "x86_64", (), 2, 2), chip, "2026-01-15", {})
>>> estimate_measured([], found, Workload(runtime="openvino")) is None
True
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from chipwise.core.estimate import Estimate, Workload
from chipwise.core.layer import Layer
from chipwise.core.measured import LayerTimes, MeasuredMachine
from chipwise.cost.estimate import Timed, limit, whole
from chipwise.cost.measured_model import predicted

# Half of the networks left out are missed by less than this (measured_model expects 0.3), or something disturbed it.
_POOR = 0.4


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
    timed = Timed(
        rows=rows,
        time_s=time_s,
        bound=limit((row.bound, row.time_s) for row in rows),
        method=f"{len(times.kernels)} kernels of small networks, measured on this machine with {times.runtime} "
        f"{times.precision} on {found.date}; a network is the sum of the like of its own",
        notes=tuple(_notes(found, times)),
    )
    return whole(layers, found.device, workload, timed)


def _notes(found: MeasuredMachine, times: LayerTimes) -> Iterator[str]:
    if not times.native:
        yield f"{found.device.name} has no instructions for {times.precision}"
    off = statistics.median(map(abs, times.errors)) if times.errors else 0.0
    if off > _POOR:
        yield (
            f"poor: half of the networks measured on {found.date} were missed by {off:.0%} or more, and so may this "
            "be; run chipwise doctor --measure again when the machine is idle"
        )
