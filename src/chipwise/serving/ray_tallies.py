"""What all replicas of a server answered: each tells its own again and again, so that one that is killed leaves it.

>>> tallies = Tallies()
>>> tallies.put("a", (ServedModel("m", "1", 3, 0),), b"")
>>> tallies.put("b", (ServedModel("m", "1", 2, 1),), b"", over=True)
>>> summed(tallies.counts())
(ServedModel(name='m', version='1', answered=5, failed=1),)
>>> [runs for _, runs in tallies.texts().values()]
[True, False]
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from chipwise.core.served import ServedModel

if TYPE_CHECKING:
    from collections.abc import Iterable

_SILENT_S = 10.0  # after which a replica is gone


class Tallies:
    """Counts and numbers by replica; an actor on Ray."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[tuple[ServedModel, ...], bytes, float]] = {}

    def put(self, replica: str, counts: tuple[ServedModel, ...], text: bytes, *, over: bool = False) -> None:
        """Take what a replica counted since it began.

        Args:
            replica: its name.
            counts: by model.
            text: all numbers as Prometheus reads them.
            over: it answers no more.
        """
        self._told[replica] = counts, text, float("-inf") if over else time.monotonic()

    def counts(self) -> list[tuple[ServedModel, ...]]:
        """Of all replicas."""
        return [counts for counts, _, _ in self._told.values()]

    def texts(self) -> dict[str, tuple[bytes, bool]]:
        """By replica all numbers, and whether it still runs."""
        now = time.monotonic()
        return {name: (text, now - heard < _SILENT_S) for name, (_, text, heard) in self._told.items()}


def summed(counts: Iterable[tuple[ServedModel, ...]]) -> tuple[ServedModel, ...]:
    """The counts of each model by all replicas."""
    found: dict[str, ServedModel] = {}
    for each in (model for models in counts for model in models):
        was = found.get(each.name, ServedModel(each.name, each.version, 0, 0))
        answered, failed = was.answered + each.answered, was.failed + each.failed
        found[each.name] = ServedModel(each.name, each.version, answered, failed)
    return tuple(found[name] for name in sorted(found))
