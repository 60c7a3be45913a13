"""What all devices of a system do together: training in copies, or answering side by side.

A step of n copies takes the step of one, what nothing hides of adding up the gradients along a ring, and what copies
lose by waiting for each other and for the host: 1 + a log2(n) times the step. `a` was fitted on the published training
rates of NVIDIA's DeepLearningExamples in all frameworks but PyTorch (234 rows of 2 to 16 GPUs): 10%, half and 90% of
rows lose less. 238 rows in PyTorch are held out (`benchmarks/published/dle_scaling.py`): 91% lie inside, the median
error of the middle is 5%. A ring reaches 73% of what links are stated to carry (NCCL among A100, `benchmarks/published/
nccl.py`), all of it at best, and 17% at worst (TensorFlow in 2017, `benchmarks/published/tf_scaling.py`).

>>> from chipwise.core.device import Device, Link
>>> box = System("Box", Device("Chip", "gpu"), count=8, link=Link("wire", 100e9))
>>> layers = [Layer("l", "Gemm", (), (), flops=1, parameters=10**6)]
>>> found = copies_of(Workload(phase="training", batch=32), Interval(0.09, 0.1, 0.12), layers, box)
>>> round(found.efficiency.mid, 2), round(found.items_s.mid)
(0.91, 2318)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from chipwise.core.device import Link, System
from chipwise.core.estimate import Interval, Workload
from chipwise.core.estimation import Together
from chipwise.core.layer import Layer
from chipwise.cost.parallel import GRADIENT_BYTES, Wire, data_parallel_step, ring_s, stretches_of

# Share of a step lost with each doubling of the copies; least, middle, most.
LOST = (0.0027, 0.034, 0.141)
# Of the stated bandwidth of links, that a ring reaches in these cases.
_REACHED = (1.0, 0.73, 0.17)
_MESSAGE_S = 9e-6  # NCCL among A100, fitted with the bandwidth


def wires_of(link: Link) -> tuple[Wire, Wire, Wire]:
    """A link as collectives reach it: at best, usually, and at worst."""
    best, middle, worst = (Wire(share * link.bandwidth_bytes_s, _MESSAGE_S) for share in _REACHED)
    return best, middle, worst


def copies_of(workload: Workload, alone_s: Interval, layers: Sequence[Layer], system: System) -> Together | None:
    """Train on all devices of a system in copies, each with the batch of one (weak scaling).

    Args:
        workload: training, on one device.
        alone_s: of a step on it.
        layers: rows of the network at that batch; gradients are float32.
        system: of several devices.

    Returns:
        None where the link between its devices is not known, or nothing is known of one device's step.
    """
    if system.link is None or alone_s.mid is None or system.count < 2:
        return None
    cases = list(zip(LOST, wires_of(system.link), strict=True))  # best, middle, worst
    one_s = alone_s.mid
    steps = [
        None if bound is None else _step_s(bound, layers, system.count, *case)
        for bound, case in zip((alone_s.low, one_s, alone_s.high), cases, strict=True)
    ]
    best, middle, worst = (one_s / _step_s(one_s, layers, system.count, *case) for case in cases)
    return Together(
        system.name, system.count, system.link.name, workload.batch * system.count, Interval(*steps),
        Interval(worst, middle, best),
    )  # fmt: skip


def side_by_side(workload: Workload, alone_s: Interval, system: System) -> Together | None:
    """Let all devices of a system answer, each batches of its own: they share nothing but the host.

    Args:
        workload: inference, on one device.
        alone_s: of a batch on it.
        system: of several devices.
    """
    if alone_s.mid is None or system.count < 2:
        return None
    return Together(system.name, system.count, "", workload.batch * system.count, alone_s, Interval(None, None, 1.0))


def _step_s(alone_s: float, layers: Sequence[Layer], count: int, lost: float, wire: Wire) -> float:
    """Seconds of a step of so many copies."""
    size = sum(layer.parameters for layer in layers) * GRADIENT_BYTES
    exposed_s = data_parallel_step(stretches_of(layers, alone_s), ring_s(size, count, wire)).exposed_s
    return alone_s * (1 + lost * math.log2(count)) + exposed_s
