"""How training fits into a memory: micro-batches, checkpointing, the optimizer's state on the host, sharding, cutting.

Memory is that of `chipwise.cost.memory`; of n copies, ZeRO (Rajbhandari et al., SC 2020) leaves each an n-th of the
optimizer's state (1), of gradients (2) and of weights (3). Stages of a pipeline and processes of a tensor group hold
their part of the network. What each costs in time is in `chipwise.advising.training`.

>>> Fit(micro=32, parts=2, checkpointed=True).words
('2 micro-batches of 32', 'checkpointing')
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from chipwise.advising.expected import Rows, workload_of
from chipwise.core.device import Device
from chipwise.core.estimate import Interval, MemoryUse
from chipwise.core.layer import Layer
from chipwise.cost.best_mesh import TENSOR_SHARE, halves, weighted_share
from chipwise.cost.memory import memory_interval, memory_of
from chipwise.cost.mesh_step import cut

Cut = Literal["tensor", "pipeline"]

_CUTS: tuple[Cut, ...] = ("tensor", "pipeline")


_UNKNOWN = Interval(None, None, None)


@dataclass(frozen=True, slots=True)
class Fit:
    """One way to fit.

    Attributes:
        micro: items that go through a device at a time; parts: of which a step of a copy has so many.
        checkpointed: activations are computed again; offloaded: the optimizer's state is the host's.
        stage: of ZeRO, 0 to 3.
        layout: copies, or all devices together hold one network, cut within layers or between them.
        memory: bytes of the fullest device.
    """

    micro: int
    parts: int = 1
    checkpointed: bool = False
    offloaded: bool = False
    stage: int = 0
    layout: Literal["copies", "tensor", "pipeline"] = "copies"
    memory: Interval = _UNKNOWN

    @property
    def words(self) -> tuple[str, ...]:
        """The techniques in words; empty for the plain way."""
        named = (
            (f"{self.parts} micro-batches of {self.micro}", self.parts > 1),
            ("checkpointing", self.checkpointed),
            ("optimizer state on host", self.offloaded),
            (f"ZeRO-{self.stage}", self.stage > 0),
            ("tensor parallel", self.layout == "tensor"),
            ("pipeline", self.layout == "pipeline"),
        )
        return tuple(word for word, used in named if used)


def tried(
    rows_at: Rows, device: Device, format_name: str, share: int, *, capacity: int | None, count: int
) -> list[Fit]:
    """Each technique by itself, whether it fits or not, and micro-batches with it where it takes those to fit.

    Args:
        rows_at: layer rows for so many items.
        device: one of them.
        format_name: as of `fits`.
        share: items of a step of one copy.
        capacity: bytes of its memory.
        count: copies.
    """
    held = Held(rows_at, device, format_name, count)

    def fitted(fit: Fit) -> Fit:
        return replace(fit, memory=held.copies(fit))

    def full(fit: Fit) -> bool:
        return capacity is not None and (fit.memory.mid or 0.0) > capacity

    found = []
    for offloaded, stage, checkpointed in dict.fromkeys(_ladder(device, count)):
        if sum((offloaded, stage > 0, checkpointed)) > 1:
            continue
        whole = fitted(Fit(share, 1, checkpointed, offloaded, stage))
        found.append(whole)
        parts = (replace(whole, micro=micro, parts=math.ceil(share / micro)) for micro in halves(share // 2))
        smaller = next((each for each in map(fitted, parts) if not full(each)), None) if full(whole) else None
        found += [smaller] if smaller is not None else []
    return found


def fits(
    rows_at: Rows, device: Device, format_name: str, share: int, *, capacity: int | None, count: int = 1
) -> list[Fit]:
    """Ways to fit, of each kind the one with the largest micro-batch; the plain one alone where it fits.

    Args:
        rows_at: layer rows for so many items.
        device: one of them.
        format_name: as `chipwise.advising.expected.runs_in` says.
        share: items of a step of one copy.
        capacity: bytes of its memory; None where that is not known, as of hosts: then it is said to fit.
        count: copies.
    """
    held = Held(rows_at, device, format_name, count)
    found = []
    for offloaded, stage, checkpointed in _ladder(device, count):
        for micro in halves(share):
            fit = Fit(micro, math.ceil(share / micro), checkpointed, offloaded, stage)
            memory = held.copies(fit)
            if capacity is None or (memory.mid or 0.0) <= capacity:
                found.append(replace(fit, memory=memory))
                break
        if found and not found[0].words:
            break
    return found


def cut_fits(
    rows_at: Rows, device: Device, format_name: str, batch: int, *, capacity: int | None, count: int
) -> list[Fit]:
    """Ways in which so many devices hold one network together; looked at where no copies fit.

    Args:
        rows_at: layer rows for so many items.
        device: one of them.
        format_name: as of `fits`.
        capacity: bytes of its memory.
        count: devices.
        batch: items of a step of all.
    """
    held = Held(rows_at, device, format_name, count)
    found = []
    for layout in _CUTS:
        if layout == "tensor" and weighted_share(rows_at(1)) < TENSOR_SHARE:
            continue
        for micro in halves(batch):
            memory = held.cut(micro, layout)
            if memory is not None and (capacity is None or (memory.mid or 0.0) <= capacity):
                parts = math.ceil(batch / micro)
                if layout == "tensor" or parts >= count:
                    found.append(Fit(micro, parts, layout=layout, memory=memory))
                    break
    return found


def _ladder(device: Device, count: int) -> Iterator[tuple[bool, int, bool]]:
    """Offloaded, ZeRO stage, checkpointed: cheapest first."""
    for offloaded in (False, True) if device.host_link else (False,):
        for stage in (0,) if count == 1 else (0, 1, 2, 3):
            for checkpointed in (False, True):
                yield offloaded, stage, checkpointed


class Held:
    """Memory of a device that trains, by what goes through at a time; each asked of the cost model once."""

    def __init__(self, rows_at: Rows, device: Device, format_name: str, count: int) -> None:
        self._rows_at, self._device, self._format, self._count = rows_at, device, format_name, count
        self._plain = cache(self._measured)

    def _measured(self, micro: int, checkpointed: bool, summed: bool) -> tuple[MemoryUse, Interval]:
        names = (("checkpointing",) if checkpointed else ()) + (("accumulation",) if summed else ())
        workload = workload_of(self._device, "training", micro, self._format, names)
        rows = self._rows_at(micro)
        use = memory_of(rows, self._device, workload)
        return use, memory_interval(rows, self._device, workload, use)

    def copies(self, fit: Fit) -> Interval:
        """Bytes of a copy: what is sharded or offloaded is gone, but never what the backward pass needs."""
        use, whole = self._plain(fit.micro, fit.checkpointed, fit.parts > 1)
        gone = 1 - 1 / self._count
        state = use.optimizer if fit.offloaded else use.optimizer * gone if fit.stage >= 1 else 0.0
        weights = (use.weights + use.copies) * gone if fit.stage >= 3 else 0.0
        still = use.weights + use.optimizer + use.copies + use.workspace + use.rounding + use.context
        step = max(0.0, (whole.mid or 0.0) - still)
        if fit.stage >= 2:
            step = min(step, use.saved + use.activations + use.gradients / self._count)
        mid = still - state - weights + step
        return Interval(min(mid, (whole.low or 0.0)), mid, max(mid, (whole.high or 0.0) - state - weights))

    def cut(self, micro: int, layout: Cut) -> Interval | None:
        """Bytes of the fullest device where all hold one network; None where there are fewer layers than devices."""
        rows = self._rows_at(micro)
        use, whole = self._plain(micro, False, True)
        if layout == "pipeline" and len(rows) < self._count:
            return None
        share = 1 / self._count if layout == "tensor" else _largest_share(rows, self._count)
        held = share * (use.weights + use.gradients + use.optimizer + use.copies)
        mid = held + use.saved + use.activations + use.workspace + use.rounding + use.context
        return Interval(held, mid, max(mid, whole.high or 0.0))


def _largest_share(rows: Sequence[Layer], stages: int) -> float:
    """Share of all weights that the fullest of stages with equal work holds."""
    total = sum(row.parameters for row in rows) or 1
    bounds = cut([float(row.flops + row.moved_bytes) for row in rows], stages)
    return max(sum(row.parameters for row in rows[first:last]) for first, last in bounds) / total
