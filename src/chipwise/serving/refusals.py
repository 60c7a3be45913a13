"""What the doors refuse themselves, by door and HTTP status; what fails in a model's queue is in that model's tally.

A series for every pair is there from the start, so that the first refusal is seen as a change, and nothing that a
client sends can make more of them.

>>> refusals = Refusals()
>>> refusals.add("http", RequestError("too much", 413))
>>> refusals.counts["http", 413], sum(refusals.counts.values())
(1, 1)
"""

from __future__ import annotations

from typing import Literal

from chipwise.serving.request_error import STATUSES, RequestError

Door = Literal["http", "grpc"]
_DOORS: tuple[Door, ...] = ("http", "grpc")


class Refusals:
    """Counts since the server began.

    Attributes:
        counts: by door and status; every pair is there.
    """

    def __init__(self) -> None:
        self.counts: dict[tuple[Door, int], int] = {(door, status): 0 for door in _DOORS for status in STATUSES}

    def add(self, door: Door, error: RequestError) -> None:
        """Count one more, unless a model's tally has it."""
        if not error.tallied:
            self.count(door, error.status)

    def count(self, door: Door, status: int) -> None:
        """Count one more."""
        self.counts[door, status] += 1
