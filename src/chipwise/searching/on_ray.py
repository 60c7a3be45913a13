"""Trials as tasks of a Ray cluster: the one that RAY_ADDRESS names, whose machines must see the folder, or one here.

Ray begins a task again whose worker died; the driver is the only one that writes rows, so that nothing counts twice.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from chipwise.codec.records import decode, encode
from chipwise.core.errors import first_line
from chipwise.searching.execute import execute
from chipwise.searching.job import Job, Outcome
from chipwise.searching.processes import START_S, environment
from chipwise.training.parallel.ray_cluster import join

_RETRIES = 3
_STORE_BYTES = 80 << 20  # arrays lie in files: few bytes go through Ray


class RayTasks:
    """An `Executor` on Ray.

    Args:
        count: of trials at once.
    """

    def __init__(self, count: int) -> None:
        ours = os.environ.items()
        join(count, _STORE_BYTES, {name: value for name, value in environment().items() if (name, value) not in ours})
        self._count = count
        self._task = ray.remote(num_cpus=1, max_retries=_RETRIES)(_executed)
        self._running: dict[Any, tuple[Job, float, float]] = {}

    def free(self) -> int:
        """How many trials could be started now."""
        return self._count - len(self._running)

    def start(self, job: Job, limit_s: float) -> None:
        """Start a trial as a task."""
        self._running[self._task.remote(encode(job))] = job, time.monotonic() + START_S + limit_s, limit_s

    def wait(self, timeout_s: float) -> list[Outcome]:
        """Outcomes of tasks that ended, and of those that took too long."""
        if not self._running:
            return []
        ray.wait(list(self._running), num_returns=1, timeout=timeout_s)
        done, _ = ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
        outcomes = [self._outcome(task) for task in done]
        for task, (job, ends, limit_s) in list(self._running.items()):
            if time.monotonic() >= ends:
                ray.cancel(task, force=True)
                del self._running[task]
                outcomes.append(Outcome(job.id, error=f"it took more than the {limit_s:.3g} s it may take"))
        return outcomes

    def close(self) -> None:
        """End what runs, and a cluster that was begun here."""
        for task in self._running:
            ray.cancel(task, force=True)
        ray.shutdown()

    def _outcome(self, task: Any) -> Outcome:
        job, _, _ = self._running.pop(task)
        try:
            return decode(ray.get(task), Outcome, "outcome")
        except RayError as error:
            return Outcome(job.id, error=f"its worker died, {_RETRIES + 1} times: {first_line(error)}")


def place(count: int) -> Any:
    """What makes the executor, from the folder with the arrays, which tasks find by themselves."""

    def made(_folder: Path) -> RayTasks:
        return RayTasks(count)

    return made


def _executed(job: bytes) -> bytes:
    return encode(execute(decode(job, Job, "job")))
