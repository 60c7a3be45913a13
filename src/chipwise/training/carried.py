"""Batches on their way from main memory to a device: the next one is sent before the one before it is used.

From pinned memory a copy runs beside the device's work, on a stream of its own; the work waits for its own batch alone.

>>> [batch.tolist() for batch in ahead(iter([torch.ones(1), torch.zeros(1)]), lambda batch: (lambda: batch))]
[[1.0], [0.0]]
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from chipwise.training.feed import Fed

    Arrival = Callable[[], Tensor]


@dataclass(frozen=True, slots=True)
class Carried:
    """One split whose samples are in main memory or in files, and whose batches are on a device.

    Attributes:
        fed: the split.
        device: where its batches go.
        pinned: through memory that the system leaves where it is, from which the device fetches by itself.
    """

    fed: Fed
    device: torch.device
    pinned: bool

    @property
    def labels(self) -> Tensor:
        """int64 [N], in main memory."""
        return self.fed.labels

    def __len__(self) -> int:
        return len(self.fed)

    def first(self, count: int) -> Tensor:
        """The inputs of so many of the first samples, on the device."""
        return self.fed.first(count).to(self.device)

    def chosen(self, rows: Sequence[Tensor]) -> Iterator[Tensor]:
        """The inputs at each of these lists of row numbers, on the device."""
        return self._carry(self.fed.chosen(rows))

    def in_order(self, count: int) -> Iterator[Tensor]:
        """The inputs of all samples, so many at a time, on the device."""
        return self._carry(self.fed.in_order(count))

    def _carry(self, batches: Iterator[Tensor]) -> Iterator[Tensor]:
        if self.pinned:
            stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
            return ahead(batches, partial(_sent, stream, self.device))
        return (batch.to(self.device) for batch in batches)


def ahead(batches: Iterator[Tensor], send: Callable[[Tensor], Arrival]) -> Iterator[Tensor]:
    """What arrives of batches of which one more is sent than was asked for.

    Args:
        batches: in main memory, each there until the next is asked for.
        send: begins to send one, having read all of it; gives what waits for it.
    """
    coming: Arrival | None = None
    for batch in batches:
        before, coming = coming, send(batch)
        if before is not None:
            yield before()
    if coming is not None:
        yield coming()


def _sent(stream: torch.cuda.Stream, device: torch.device, batch: Tensor) -> Arrival:
    """Copy a batch on a stream; what is asked of the device after its arrival waits for the copy, this process not."""
    pinned = batch if batch.is_pinned() else batch.pin_memory()
    with torch.cuda.stream(stream):
        there = pinned.to(device, non_blocking=True)
        done = stream.record_event()

    def arrive() -> Tensor:
        current = torch.cuda.current_stream(device)
        current.wait_event(done)
        there.record_stream(current)  # its memory is not given to another before this stream is done with it
        return there

    return arrive
