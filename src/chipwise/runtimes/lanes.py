"""Several requests in flight: one thread and one way of running (a lane) for each.

A vendor's call lets other Python threads go on while it computes, so that threads are enough, and every runtime can be
driven alike. Requests are handed out one by one: a slow one holds up only its own lane.

>>> with_two = Lanes([lambda arrays: [arrays[0] + 1], lambda arrays: [arrays[0] + 1]])
>>> with_two.run([[1], [2], [3]])
[[2], [3], [4]]
>>> with_two.close()
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from queue import Empty, SimpleQueue
from typing import Any

from numpy.typing import NDArray

from chipwise.runtimes.engine import Arrays

Lane = Callable[[Arrays], list[NDArray[Any]]]


class Lanes:
    """Threads that live as long as the engine: a vendor's workers belong to the thread that first called it."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._lanes = tuple(lanes)
        self._pool = ThreadPoolExecutor(len(self._lanes), thread_name_prefix="chipwise-lane")

    def run(self, batches: Sequence[Arrays]) -> list[list[NDArray[Any]]]:
        """Run every item; results in the order of `batches`. The first error is raised when all lanes have stopped.

        Ctrl-C waits for the calls that have begun, and begins no more.
        """
        todo: SimpleQueue[int] = SimpleQueue()
        for number in range(len(batches)):
            todo.put(number)
        results: dict[int, list[NDArray[Any]]] = {}

        def work(lane: Lane) -> None:
            while True:
                try:
                    number = todo.get_nowait()
                except Empty:
                    return
                results[number] = lane(batches[number])

        jobs = [self._pool.submit(work, lane) for lane in self._lanes[: len(batches)]]
        with ExitStack() as at_end:
            # The engine may be closed next, and no lane may be inside a vendor's call then.
            at_end.callback(lambda: wait(jobs))
            at_end.callback(_emptied, todo)
            wait(jobs)
        for job in jobs:
            job.result()
        return [results[number] for number in range(len(batches))]

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def _emptied(todo: SimpleQueue[int]) -> None:
    with suppress(Empty):
        while True:
            todo.get_nowait()


def lane_count(streams: int, threads: int) -> int:
    """How many lanes `EngineOptions.streams` asks for; 0 is as many as there is room for on the processors allowed.

    >>> lane_count(3, threads=1)
    3
    """
    if streams:
        return streams
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, allowed // max(1, threads))
