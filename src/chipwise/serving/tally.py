"""What became of a model's requests: counts and seconds, for Triton's statistics and for Prometheus.

>>> total = Sum()
>>> total.add(0.003)
>>> total.count, total.buckets[:5]
(1, [0, 0, 0, 0, 1])
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

BOUNDS_S = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(slots=True)
class Sum:
    """How many, how long together, and how many up to each of `BOUNDS_S` (the last: above all)."""

    count: int = 0
    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))

    def add(self, seconds: float) -> None:
        """Count one more."""
        self.count += 1
        self.seconds += seconds
        self.buckets[bisect_left(BOUNDS_S, seconds)] += 1


@dataclass(slots=True)
class Tally:
    """Since the model was opened.

    Attributes:
        success, fail: requests from arrival to answer; fail counts what was refused for want of room or time, too.
        queue: waiting; copy: to the worker and back; compute: inside the runtime.
        items: that were answered; calls: of the runtime, by the number of items in them.
        refused: requests that failed, by HTTP status.
        last_s: time of the last answer, seconds since 1970; 0 for none.
    """

    success: Sum = field(default_factory=Sum)
    fail: Sum = field(default_factory=Sum)
    queue: Sum = field(default_factory=Sum)
    copy: Sum = field(default_factory=Sum)
    compute: Sum = field(default_factory=Sum)
    items: int = 0
    calls: dict[int, tuple[Sum, Sum]] = field(default_factory=dict)
    refused: Counter[int] = field(default_factory=Counter)
    last_s: float = 0.0

    def call(self, items: int, copy_s: float, compute_s: float) -> None:
        """Count one call of the runtime."""
        copy, compute = self.calls.setdefault(items, (Sum(), Sum()))
        copy.add(copy_s)
        compute.add(compute_s)

    def answered(self, items: int, queue_s: float, copy_s: float, compute_s: float) -> None:
        """Count one request that was answered."""
        self.success.add(queue_s + copy_s + compute_s)
        self.queue.add(queue_s)
        self.copy.add(copy_s)
        self.compute.add(compute_s)
        self.items += items
        self.last_s = time.time()

    def failed(self, status: int, seconds: float) -> None:
        """Count one request that was not."""
        self.fail.add(seconds)
        self.refused[status] += 1
