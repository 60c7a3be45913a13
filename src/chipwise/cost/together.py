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
from dataclasses import dataclass

from chipwise.core.device import Link, System
from chipwise.core.estimate import Interval, Workload
from chipwise.core.estimation import Together
from chipwise.core.layer import Layer
from chipwise.cost.parallel import GRADIENT_BYTES, Step, Wire, data_parallel_step, ring_s, stretches_of

# Share of a step lost with each doubling of the copies; least, middle, most.
LOST = (0.0027, 0.034, 0.141)
# Of the stated bandwidth of links, that a ring reaches in these cases.
_REACHED = (1.0, 0.73, 0.17)
_MESSAGE_S = 9e-6  # NCCL among A100, fitted with the bandwidth
_ADDING, _FETCHING = 2, 3  # stages of ZeRO


def wires_of(link: Link) -> tuple[Wire, Wire, Wire]:
    """A link as collectives reach it: at best, usually, and at worst."""
    best, middle, worst = (Wire(share * link.bandwidth_bytes_s, _MESSAGE_S) for share in _REACHED)
    return best, middle, worst


@dataclass(frozen=True, slots=True)
class Sharing:
    """How copies go through a step.

    Attributes:
        micro_batches: that each copy's share is cut into; gradients add up over them.
        zero: stage of ZeRO. Stages 0 and 1 exchange gradients once a step; stage 2 adds them up with every micro-batch,
            and stage 3 fetches all weights for both passes, too (Rajbhandari et al., SC 2020, section 7).
    """

    micro_batches: int = 1
    zero: int = 0


PLAIN = Sharing()


def copies_of(
    workload: Workload, alone_s: Interval, layers: Sequence[Layer], system: System, sharing: Sharing = PLAIN
) -> Together | None:
    """Train on all devices of a system in copies, each with the batch of one (weak scaling).

    Args:
        workload: training, on one device.
        alone_s: of a step on it, or of one micro-batch.
        layers: rows of the network at that batch; gradients are float32.
        system: of several devices.
        sharing: micro-batches, and what copies share out.

    Returns:
        None where the link between its devices is not known, or nothing is known of one device's step.
    """
    if system.link is None or alone_s.mid is None or system.count < 2:
        return None
    cases = list(zip(LOST, wires_of(system.link), strict=True))  # best, middle, worst
    one_s = alone_s.mid
    steps = [
        None if bound is None else _step(bound, layers, system.count, case, sharing).step_s
        for bound, case in zip((alone_s.low, one_s, alone_s.high), cases, strict=True)
    ]
    best, middle, worst = (_step(one_s, layers, system.count, case, sharing) for case in cases)
    whole_s, items = sharing.micro_batches * one_s, sharing.micro_batches * workload.batch
    return Together(
        system.name, system.count, system.link.name, items * system.count, Interval(*steps),
        Interval(*(whole_s / each.step_s for each in (worst, middle, best))),
        communication=Interval(*(each.communication_share for each in (best, middle, worst))),
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


def _step(alone_s: float, layers: Sequence[Layer], count: int, case: tuple[float, Wire], sharing: Sharing) -> Step:
    """A step of so many copies, of which a share is lost with each doubling; its compute holds that."""
    lost, wire = case
    stretches, times = stretches_of(layers, alone_s), sharing.micro_batches
    ring = ring_s(sum(layer.parameters for layer in layers) * GRADIENT_BYTES, count, wire)
    if sharing.zero == _FETCHING:  # half a ring each: weights for the forward pass, again for the backward, gradients
        each = data_parallel_step(stretches, ring, ring / 2)
        communication_s, exposed_s = times * each.communication_s, times * each.exposed_s
    else:
        last = data_parallel_step(stretches, ring)
        early = data_parallel_step(stretches, ring / 2 if sharing.zero == _ADDING else 0.0)
        communication_s = last.communication_s + (times - 1) * early.communication_s
        exposed_s = last.exposed_s + (times - 1) * early.exposed_s
    return Step(times * alone_s * (1 + lost * math.log2(count)), communication_s, exposed_s)
